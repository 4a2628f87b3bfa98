"""What a place that runs services must be able to do. Nothing above knows which one it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from model_envelope.artifacts.protocol import ArtifactStore
from model_envelope.envelope import EnvelopeRecord
from model_envelope.serving.plan import Limits, LogMode
from model_envelope.store.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class Platform:
    """What targets work with: the store, the artifacts, and folders of their own.

    `state` outlives processes and reboots (supervisors' files, the proxy's configuration);
    `cache` holds what can be made again.
    """

    store: Store
    artifacts: ArtifactStore
    cache: Path
    state: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """One envelope to be run as one service: what a deployment starts.

    `id` is the deployment's; `fence` grows with every claim of the service, and nothing
    of a lower fence may take its traffic. `options` are the target's own, as its
    `check_options` gave them.
    """

    id: str
    service: str
    fence: int
    record: EnvelopeRecord
    options: Mapping[str, Any]
    limits: Limits = field(default_factory=Limits)
    log_mode: LogMode = "off"
    log_share: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """Who gets the traffic of a service."""

    service: str
    release: str
    fence: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """A share of a service's requests that also, or instead, go to a candidate.

    `canary` answers with the candidate's answer where it gives a good one, with the live
    one's otherwise; `shadow` always answers with the live one's and compares afterwards.
    """

    mode: Literal["canary", "shadow"]
    candidate: str
    share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitCounts:
    """What a split has shown so far: requests that reached the candidate, and what came back."""

    requests: int
    failures: int
    different: int
    live_seconds: float
    candidate_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """One release that a target has, live or not.

    `addresses` are base URLs of its replicas, reached past the proxy. `outdated`: what keeps
    it running is of before an upgrade of this package, and can be renewed.
    """

    release: str
    service: str
    fence: int
    ready: bool
    addresses: tuple[str, ...]
    restarts: int = 0
    detail: str = ""
    outdated: bool = False


class Target(Protocol):
    """A place that runs services. Every method may be called again with the same arguments.

    Whoever calls holds the lease of the service, or held it a moment ago: a call with a
    lower fence than the target has seen must change nothing (`FenceLost`).

    Raises (any method):
        TargetFailed: the place refused or failed; says what to look at.
    """

    kind: str

    def check_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options complete with defaults.

        Raises:
            InvalidInput: one is unknown or wrong; nothing was started.
        """
        ...

    def url(self, service: str, options: Mapping[str, Any]) -> str:
        """The stable base URL of a service; the same before, during and after swaps."""
        ...

    def prepare(self, release: Release) -> None:
        """Do what takes long and touches nothing that runs: an environment, an image."""
        ...

    def start(self, release: Release) -> Running:
        """Start a release off-traffic. It need not be ready when this returns."""
        ...

    def route(self, routes: Sequence[Route]) -> None:
        """Give each service's traffic to its release: the whole truth, not a change.

        Services that are not named get no traffic. Requests under way are finished by
        whoever has them.
        """
        ...

    def split(self, route: Route, split: Split | None) -> None:
        """Begin, change or (None) end a split of a service's traffic."""
        ...

    def split_counts(self, route: Route) -> SplitCounts:
        """What the current split has shown, over all replicas."""
        ...

    def scale(self, route: Route, replicas: int) -> None:
        """Have so many replicas of a live release."""
        ...

    def stop(self, release: str, *, drain: timedelta) -> None:
        """Let a release finish what it has, then remove it and all that it left."""
        ...

    def running(self) -> tuple[Running, ...]:
        """Every release there is, also those that a crash left behind."""
        ...

    def logs(self, release: str, lines: int = 200) -> str:
        """The last lines of a release's log."""
        ...


@runtime_checkable
class Renewable(Protocol):
    """A target that keeps releases running by code of this package."""

    def renew(self, service: str) -> None:
        """Have what is `outdated` go on by the code of this installation.

        Raises:
            TargetFailed: it goes on as it was.
        """
        ...
