"""How many replicas a service is to have: a number, or as many as its load asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable

from model_envelope.deployment import probing
from model_envelope.deployment.targets.protocol import Route
from model_envelope.errors import InvalidInput, TargetFailed

MOST = 64
EXPECTED = (
    f"a number from 1 to {MOST}, or a mapping of min and max, and if need be of in_flight, "
    "queued_rows and cooldown_seconds"
)

_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Replicas:
    """Between how many replicas a service is kept, and by what.

    Attributes:
        min: there are never fewer.
        max: there are never more.
        in_flight: unanswered requests that one replica should have at most.
        queued_rows: rows, waiting or being predicted, that one should have at most.
        cooldown_seconds: for how long fewer must have been enough before one is removed.
    """

    min: int
    max: int
    in_flight: float = 16
    queued_rows: float = 1000
    cooldown_seconds: float = 120

    @classmethod
    def read(cls, option: int | Mapping[str, Any]) -> Replicas:
        """What a target's option `replicas` says.

        Raises:
            InvalidInput: it says nothing that can be.
        """
        if isinstance(option, Mapping):
            if not option.keys() <= {field.name for field in fields(cls)}:
                raise _unfit(option)
            given = {"min": 1, **option}
        else:
            given = {"min": option, "max": option}
        if not _fits(given):
            raise _unfit(option)
        return cls(**given)

    @property
    def is_fixed(self) -> bool:
        """Whether the load changes nothing."""
        return self.min == self.max

    def clamp(self, number: int) -> int:
        """The nearest number that is allowed."""
        return max(self.min, min(self.max, number))


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What the replicas of a release have to do.

    Attributes:
        replicas: how many there are, ready or not.
        silent: how many of them did not say.
        in_flight: requests that those that did have not answered yet.
        queued_rows: rows that wait there, or are being predicted.
    """

    replicas: int
    silent: int
    in_flight: float
    queued_rows: float


@runtime_checkable
class Scalable(Protocol):
    """A target whose number of replicas is ours to follow the load with.

    One that does so by itself, as Kubernetes does, leaves this out.
    """

    def load(self, route: Route) -> Load:
        """What a live release has to do now.

        Raises:
            TargetFailed: the place does not answer.
        """
        ...

    def scale(self, route: Route, replicas: int) -> None:
        """See `Target`."""
        ...


def fits(option: Any) -> bool:
    """Whether `Replicas.read` takes it."""
    try:
        Replicas.read(option)
    except InvalidInput:
        return False
    return True


def ask_load(replicas: Iterable[tuple[str, str]]) -> Load:
    """Ask replicas, by their address and the token of their control routes."""
    asked = tuple(replicas)
    with ThreadPoolExecutor(max(len(asked), 1)) as pool:
        states = list(pool.map(_state, asked))
    told = [state for state in states if state is not None]
    return Load(
        replicas=len(asked),
        silent=len(asked) - len(told),
        in_flight=sum(state["in_flight"] for state in told),
        queued_rows=sum(state["queued_rows"] for state in told),
    )


def _state(replica: tuple[str, str]) -> Mapping[str, Any] | None:
    address, token = replica
    headers = {"Authorization": f"Bearer {token}"}
    try:
        answer = probing.ask(address, "GET", "/-/state", headers=headers, timeout=_SECONDS)
        return dict(answer.json()) if answer.status == 200 else None
    except (TargetFailed, ValueError):
        return None


def _fits(given: Mapping[str, Any]) -> bool:
    whole = (given.get("min"), given.get("max"))
    if not all(type(number) is int for number in whole):
        return False
    if not 1 <= given["min"] <= given["max"] <= MOST:
        return False
    return (
        _is_number(given.get("in_flight", 1), above=0, most=1e6)
        and _is_number(given.get("queued_rows", 1), above=0, most=1e9)
        and _is_number(given.get("cooldown_seconds", 1), above=-1e-9, most=86_400)
    )


def _is_number(value: Any, *, above: float, most: float) -> bool:
    return type(value) in (int, float) and above < value <= most


def _unfit(option: Any) -> InvalidInput:
    return InvalidInput(f"replicas must be {EXPECTED}; not {option!r:.200}.")
