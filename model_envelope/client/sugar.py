"""The module-level functions: calls on one client.

They are the client's own methods, so that editors show its signatures and docstrings.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Concatenate, ParamSpec, TypeVar

from model_envelope import config
from model_envelope.client.client import Client

P = ParamSpec("P")
R = TypeVar("R")

_lock = Lock()
_clients: dict[tuple[str, str, Path], Client] = {}
_chosen: list[Client] = []


def connect(store: str | None = None, artifacts: str | None = None) -> Client:
    """Use this store from now on; without arguments, what the environment says.

    Returns:
        The client that `me.*` calls from now on.
    """
    with _lock:
        _chosen.clear()
        if store is None and artifacts is None:
            return _configured()
        _chosen.append(Client(store, artifacts))
        return _chosen[0]


def current() -> Client:
    """The client behind `me.*`: the connected one, else what the environment says now."""
    with _lock:
        return _chosen[0] if _chosen else _configured()


def _configured() -> Client:
    place = (config.store_url(), config.artifacts_address(), config.cache())
    if place not in _clients:
        _clients[place] = Client(place[0], place[1], cache=place[2])
    return _clients[place]


def _call(method: Callable[Concatenate[Client, P], R]) -> Callable[P, R]:
    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return method(current(), *args, **kwargs)

    return call


save_model = _call(Client.save_model)
get = _call(Client.get)
query = _call(Client.query)
count = _call(Client.count)
latest = _call(Client.latest)
facets = _call(Client.facets)
why = _call(Client.why)
load = _call(Client.load)
predict = _call(Client.predict)
plot = _call(Client.plot)
scatter = _call(Client.scatter)
compare = _call(Client.compare)
batch_predict = _call(Client.batch_predict)
deploy = _call(Client.deploy)
rollback = _call(Client.rollback)
undeploy = _call(Client.undeploy)
unpin = _call(Client.unpin)
services = _call(Client.services)
reconcile = _call(Client.reconcile)
rule = _call(Client.rule)
rules = _call(Client.rules)
apply_rules = _call(Client.apply_rules)
pause_rule = _call(Client.pause_rule)
resume_rule = _call(Client.resume_rule)
remove_rule = _call(Client.remove_rule)
plan = _call(Client.plan)
