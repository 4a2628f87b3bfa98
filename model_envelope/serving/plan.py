"""What a service process is told: which functions to load and within which limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from model_envelope.runtime.loading import LoadPlan

LogMode = Literal["off", "statistics", "rows"]
"""What a service keeps of the requests it answered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Where a service says no rather than fall over.

    `queue_rows` are rows that wait or are being predicted; a request that finds no room
    gets 429. `batch_rows` bounds what goes to the model at once; a request with more goes
    alone. Requests that could not
    be begun within `deadline_seconds` get 503. A stopping service finishes what it has
    within `drain_seconds`.
    """

    body_bytes: int = 16 << 20
    queue_rows: int = 20_000
    batch_rows: int = 1_000
    deadline_seconds: float = 30.0
    drain_seconds: float = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionLog:
    """What is kept of inputs and outputs, and of which share of the requests.

    When `folder` has more than `folder_bytes`, its oldest files go.
    """

    mode: LogMode = "off"
    share: float = 1.0
    folder: str = ""
    folder_bytes: int = 512 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ServicePlan:
    """One release of a service, made from the store, never read from the artifact.

    `functions` hold every query function, `predict` first; `golden` the files of golden
    rows with their SHA-256 (`golden-input.arrow`, `golden-<function>.arrow`), which
    are in `directory` with the functions' own files. Custom modules are unpacked below
    `scratch`. `control_token` is what requests below `/-/` must show.
    """

    service: str
    release: str
    envelope_id: str
    description: str
    tags: Mapping[str, str]
    created_at: str
    functions: tuple[LoadPlan, ...]
    golden: Mapping[str, str]
    directory: str
    scratch: str
    control_token: str
    limits: Limits = field(default_factory=Limits)
    log: PredictionLog = field(default_factory=PredictionLog)

    def to_json(self) -> dict[str, Any]:
        """Plain data, for a file that the service reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> ServicePlan:
        """Read `to_json` again."""
        return cls(
            **{
                **body,
                "functions": tuple(LoadPlan.from_json(plan) for plan in body["functions"]),
                "limits": Limits(**body["limits"]),
                "log": PredictionLog(**body["log"]),
            }
        )
