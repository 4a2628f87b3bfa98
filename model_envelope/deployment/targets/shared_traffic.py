"""Splits of the traffic of containers: each live replica does its own, as it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from model_envelope.deployment.controlling import add_counts, split_order
from model_envelope.deployment.targets.containers import PORT, Replica
from model_envelope.deployment.targets.protocol import Split, SplitCounts
from model_envelope.errors import TargetFailed

T = TypeVar("T")


def each(replicas: Sequence[Replica], do: Callable[[Replica], T]) -> list[T]:
    """Do something with all replicas at the same time."""
    if not replicas:
        return []
    with ThreadPoolExecutor(len(replicas)) as pool:
        return list(pool.map(do, replicas))


def candidates(split: Split, present: Iterable[Replica]) -> list[Replica]:
    """The running replicas of a split's candidate.

    Raises:
        TargetFailed: there are none.
    """
    found = _running(split.candidate, present)
    if not found:
        raise TargetFailed(f"The candidate {split.candidate} does not run here.")
    return found


def divide(split: Split, live: Sequence[Replica], present: Iterable[Replica]) -> None:
    """Have live replicas do a split, each with one of the candidate's.

    Raises:
        TargetFailed: there is no candidate, or one does not answer.
    """
    others = candidates(split, present)

    def tell(replica: Replica) -> None:
        other = others[replica.number % len(others)]
        address = f"http://{other.name}:{PORT}"
        order = split_order(split, address=address, token=other.launch.token)
        replica.control("PUT", "/-/split", order)

    each(live, tell)


def remind(split: Split, live: Sequence[Replica], present: Sequence[Replica]) -> None:
    """Have live replicas that came later do a split, too.

    A candidate that starts again just now is left alone: who counts reminds again.
    """
    if _running(split.candidate, present):
        divide(split, live, present)


def end(live: Sequence[Replica]) -> None:
    """Have live replicas answer by themselves."""
    each(live, lambda replica: replica.control("DELETE", "/-/split"))


def count(live: Sequence[Replica]) -> tuple[SplitCounts, list[Replica]]:
    """What a split has shown, and which replicas know of none: they were started again."""
    states = each(live, lambda replica: replica.control("GET", "/-/state"))
    unaware = [r for r, state in zip(live, states, strict=True) if state["split"] is None]
    return add_counts(states), unaware


def _running(release: str, present: Iterable[Replica]) -> list[Replica]:
    return [r for r in present if r.launch.release == release and r.is_running]
