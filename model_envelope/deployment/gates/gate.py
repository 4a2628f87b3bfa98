"""What a gate is: a few options, and a judgement of a candidate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self

from model_envelope.deployment.targets.protocol import Platform, Release, Route, Running, Target
from model_envelope.envelope import EnvelopeRecord
from model_envelope.errors import InvalidInput

Stage = Literal["before", "after"]
"""Before anything is started, or once the candidate runs off-traffic."""

NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a gate says. `held` is neither: there is too little to judge by, so ask again later.

    `detail` is plain JSON for the ledger: what was measured.
    """

    state: Literal["passed", "failed", "held"]
    reason: str = ""
    detail: Mapping[str, Any] = field(default_factory=lambda: NOTHING)


def passed(reason: str = "", **detail: Any) -> Verdict:
    """Go on."""
    return Verdict(state="passed", reason=reason, detail=detail)


def failed(reason: str, **detail: Any) -> Verdict:
    """Never this envelope, until it or the wish for it changes."""
    return Verdict(state="failed", reason=reason, detail=detail)


def held(reason: str, **detail: Any) -> Verdict:
    """Not now."""
    return Verdict(state="held", reason=reason, detail=detail)


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """What a gate may look at.

    Attributes:
        platform: the store and the artifacts.
        target: where the release is to run.
        release: the candidate; `release.record` is its envelope.
        running: the started release, with the addresses of its replicas; None before.
        live: the envelope that has the traffic now, if any.
        live_route: the release that has it, if it runs at the same target.
        check: raises `FenceLost` once another process has taken the service over; a gate
            that waits calls it now and then.
    """

    platform: Platform
    target: Target
    release: Release
    check: Callable[[], None]
    running: Running | None = None
    live: EnvelopeRecord | None = None
    live_route: Route | None = None

    @property
    def record(self) -> EnvelopeRecord:
        """The candidate's envelope."""
        return self.release.record

    @property
    def addresses(self) -> tuple[str, ...]:
        """Base URLs of the candidate's replicas; none before it is started."""
        return self.running.addresses if self.running else ()


@dataclass(frozen=True, kw_only=True)
class Gate(ABC):
    """A condition for going on; subclasses are frozen dataclasses whose fields are options.

    Other packages add gates by entry points in the group `model_envelope.gates` whose
    names are those that rules use. A gate that raises has refused the candidate, except
    that `TargetFailed` and `StoreUnavailable` are tried again later.
    """

    name: ClassVar[str]
    stage: ClassVar[Stage]
    main: ClassVar[str] = ""
    """The option that is meant where only a value is given: `{"metric": "metric.auc > 0.9"}`."""

    @abstractmethod
    def judge(self, candidate: Candidate) -> Verdict:
        """Whether the candidate may go on."""

    @classmethod
    def read(cls, options: Any) -> Self:
        """A gate with these options: a mapping, the main one's value, or nothing.

        Raises:
            InvalidInput: one is unknown, missing or wrong.
        """
        given = _as_mapping(cls, options)
        known = [option.name for option in fields(cls)]
        unknown = [name for name in given if name not in known]
        if unknown:
            raise InvalidInput(
                f"Gate {cls.name!r} has no option {unknown[0]!r}; it has "
                f"{', '.join(known) or 'none'}."
            )
        try:
            return cls(**given)
        except TypeError as error:
            raise InvalidInput(f"Gate {cls.name!r}: {error}") from None


def _as_mapping(cls: type[Gate], options: Any) -> dict[str, Any]:
    if options is None or options is True:
        return {}
    if isinstance(options, Mapping):
        return {str(name): value for name, value in options.items()}
    if not cls.main:
        raise InvalidInput(f"Gate {cls.name!r} takes options by name, not {options!r:.60}.")
    return {cls.main: options}


def number(
    gate: str,
    option: str,
    value: Any,
    *,
    low: float = 0.0,
    high: float = float("inf"),
) -> None:
    """Check an option that is a number.

    Raises:
        InvalidInput: it is none, or out of bounds.
    """
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
    if not ok:
        bounds = f"{low:g} or more" if high == float("inf") else f"from {low:g} to {high:g}"
        raise InvalidInput(f"Gate {gate!r}: {option} must be a number, {bounds}, not {value!r}.")
