"""Reconciling again and again, and having replicas follow the load meanwhile: a daemon's work."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from threading import Event, Thread

from model_envelope.deployment.planning import follow
from model_envelope.deployment.reconciling import Outcome, reconcile
from model_envelope.deployment.rollout import Tell
from model_envelope.deployment.scaling import Autoscaler, Scaled
from model_envelope.deployment.targets.protocol import Platform
from model_envelope.errors import StoreUnavailable

_log = logging.getLogger(__name__)

Told = Callable[[Outcome | Scaled], None]
"""Is told what came out otherwise than the time before, and of each change of replicas."""


def keep(
    platform: Platform,
    actor: str,
    stop: Event,
    *,
    every: float,
    services: Collection[str] | None = None,
    told: Told,
    tell: Tell | None = None,
) -> None:
    """Do so until told to stop, and then end what it is at.

    A deployment that takes long keeps no other service from its replicas. A store that does
    not answer is waited for.

    Args:
        platform: store, artifacts and folders.
        actor: who has services want what their rules say.
        stop: ends it.
        every: seconds.
        services: which; all unless given.
        told: see `Told`; called from several threads.
        tell: is told of each step of a deployment.

    Raises:
        ServiceNotFound: one of those named.
    """
    arguments = {"services": services, "told": told}
    scaling = Thread(target=Autoscaler(platform).follow, args=(stop, every), kwargs=arguments)
    scaling.start()
    last: dict[str, Outcome] = {}
    try:
        while True:
            try:
                follow(platform.store, actor, services=services)
                for outcome in reconcile(platform, services=services, tell=tell):
                    if outcome != last.get(outcome.service):
                        told(outcome)
                    last[outcome.service] = outcome
            except StoreUnavailable as error:
                _log.warning("The store is waited for: %s", error)
            if stop.wait(every):
                return
    finally:
        stop.set()
        scaling.join()
