"""Splits of a service's traffic: each live pod does its own, as it is told."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from model_envelope.deployment.cluster.releases import Deployed
from model_envelope.deployment.controlling import add_counts, control, split_order
from model_envelope.deployment.targets.protocol import Split, SplitCounts
from model_envelope.errors import TargetFailed


def divide(
    split: Split, live: Deployed, candidate: Deployed, pods: Collection[str] | None = None
) -> None:
    """Have live pods do a split, each with one of the candidate's.

    Args:
        split: what they are to do.
        live: whose traffic it is.
        candidate: whom it is shared with.
        pods: names of those that are told; all unless given.

    Raises:
        TargetFailed: the candidate has no ready pod, or a live one does not answer.
    """
    others, token = candidate.inner_addresses(), candidate.token

    def order(number: int) -> Any:
        return split_order(split, address=others[number % len(others)], token=token)

    _each(live, "PUT", "/-/split", order, pods)


def end(live: Deployed) -> None:
    """Have live pods answer by themselves."""
    _each(live, "DELETE", "/-/split")


def count(live: Deployed) -> tuple[SplitCounts, list[str]]:
    """What a split has shown, and which pods know of none: they were added, or started again."""
    states = _each(live, "GET", "/-/state")
    unaware = [name for name, state in states.items() if state["split"] is None]
    return add_counts(states.values()), unaware


def _each(
    live: Deployed,
    method: str,
    path: str,
    body: Callable[[int], Any] = lambda _: None,
    pods: Collection[str] | None = None,
) -> dict[str, Any]:
    """What pods answer, by their names; all are asked at the same time."""
    token, reached = live.token, live.reached()
    if not reached:
        raise TargetFailed(f"No pod of release {live.release} runs. {live.detail}".rstrip())

    def ask(number: int, name: str) -> tuple[str, Any]:
        address = reached[name]
        return name, control(address, token, method, path, body(number), name=name)

    asked = [(number, name) for number, name in enumerate(reached) if pods is None or name in pods]
    with ThreadPoolExecutor(len(reached)) as pool:
        return dict(pool.map(lambda item: ask(*item), asked))
