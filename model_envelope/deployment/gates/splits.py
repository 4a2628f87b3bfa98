"""Gates that show a candidate real traffic: a copy of it, or a small share."""

from __future__ import annotations

import time
from abc import abstractmethod
from dataclasses import asdict, dataclass
from typing import ClassVar, Literal

from model_envelope.deployment.gates.gate import (
    Candidate,
    Gate,
    Stage,
    Verdict,
    failed,
    held,
    number,
    passed,
)
from model_envelope.deployment.targets.protocol import Route, Split, SplitCounts
from model_envelope.errors import FenceLost, InvalidInput

_PAUSE = 0.5


@dataclass(frozen=True, kw_only=True)
class _Traffic(Gate):
    """What both have in common.

    Attributes:
        share: of the requests that the candidate sees, from 0 to 1.
        seconds: how long it is watched at least.
        min_requests: how many it must have seen; fewer within `patience` hold.
        max_failures: share of them that it may have answered badly or not at all.
        max_slowdown: how many times longer than the live one it may take on average; None
            for any.
        patience: seconds after which too few requests hold.
    """

    stage: ClassVar[Stage] = "after"
    mode: ClassVar[Literal["canary", "shadow"]]

    share: float = 0.1
    seconds: float = 60.0
    min_requests: int = 100
    max_failures: float = 0.01
    max_slowdown: float | None = 3.0
    patience: float = 900.0

    def __post_init__(self) -> None:
        number(self.name, "share", self.share, low=1e-6, high=1.0)
        number(self.name, "seconds", self.seconds)
        number(self.name, "min_requests", self.min_requests, low=1)
        number(self.name, "max_failures", self.max_failures, high=1.0)
        number(self.name, "patience", self.patience)
        if self.max_slowdown is not None:
            number(self.name, "max_slowdown", self.max_slowdown)
        if not isinstance(self.min_requests, int):
            raise InvalidInput(f"Gate {self.name!r}: min_requests is no whole number.")

    def judge(self, candidate: Candidate) -> Verdict:
        """Watches until enough requests came, or one failure too many."""
        route = candidate.live_route
        if candidate.live is None:
            return passed("Nothing else runs, so there is no traffic to share.")
        if route is None:
            return failed("The live release runs at another kind of target: it shares nothing.")
        split = Split(mode=self.mode, candidate=candidate.release.id, share=self.share)
        candidate.target.split(route, split)
        try:
            return self._watch(candidate, route)
        except FenceLost:
            # What is split now is somebody else's.
            route = None
            raise
        finally:
            if route is not None:
                candidate.target.split(route, None)

    def _watch(self, candidate: Candidate, route: Route) -> Verdict:
        began = time.monotonic()
        while True:
            candidate.check()
            waited = time.monotonic() - began
            counts = candidate.target.split_counts(route)
            enough = counts.requests >= self.min_requests and self._comparable(counts)
            reason = self._too_many(counts) or (self._too_slow(counts) if enough else "")
            if reason:
                return failed(reason, **asdict(counts))
            if enough and waited >= self.seconds:
                return passed(**asdict(counts))
            if waited > max(self.patience, self.seconds):
                return held(
                    f"It saw {counts.requests} requests within {waited:.0f} s; to judge it, "
                    f"{self.min_requests} are needed, and some that the live one answers.",
                    **asdict(counts),
                )
            time.sleep(_PAUSE)

    @abstractmethod
    def _too_many(self, counts: SplitCounts) -> str:
        """What cannot become right by more requests; empty where nothing is wrong."""

    def _failures(self, counts: SplitCounts) -> str:
        # Judged against all it will have seen at least, so that it fails as soon as it must.
        allowed = self.max_failures * max(counts.requests, self.min_requests)
        if counts.failures > allowed:
            return f"It failed on {counts.failures} of {counts.requests} requests."
        return ""

    def _comparable(self, counts: SplitCounts) -> bool:
        """Whether the live one has answered something itself, where its speed is asked for."""
        return self.max_slowdown is None or counts.live_seconds > 0

    def _too_slow(self, counts: SplitCounts) -> str:
        if self.max_slowdown is None or not counts.live_seconds:
            return ""
        ratio = counts.candidate_seconds / counts.live_seconds
        if ratio > self.max_slowdown:
            return f"It took {ratio:.1f} times as long as the live one."
        return ""


@dataclass(frozen=True, kw_only=True)
class Canary(_Traffic):
    """A share of the requests is answered by the candidate, if it answers well."""

    name: ClassVar[str] = "canary"
    mode: ClassVar[Literal["canary", "shadow"]] = "canary"
    main: ClassVar[str] = "share"

    def _too_many(self, counts: SplitCounts) -> str:
        return self._failures(counts)


@dataclass(frozen=True, kw_only=True)
class Shadow(_Traffic):
    """The candidate gets copies of requests; its answers are compared and thrown away.

    Attributes:
        max_different: share of the answers that may differ; None where they may, and are
            only counted.
    """

    name: ClassVar[str] = "shadow"
    mode: ClassVar[Literal["canary", "shadow"]] = "shadow"
    main: ClassVar[str] = "share"

    share: float = 1.0
    max_different: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_different is not None:
            number(self.name, "max_different", self.max_different, high=1.0)

    def _too_many(self, counts: SplitCounts) -> str:
        if self.max_different is not None:
            allowed = self.max_different * max(counts.requests, self.min_requests)
            if counts.different > allowed:
                return f"{counts.different} of {counts.requests} answers differ."
        return self._failures(counts)
