"""What the store gives and takes besides envelopes: plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from model_envelope.envelope import EnvelopeRecord

ChangeKind = Literal[
    "saved",
    "tags",
    "description",
    "archived",
    "unarchived",
    "deleted",
    "undeleted",
    "purged",
    "function",
    "metrics",
    "hyperparameters",
    "verified",
    "batch",
    "rule",
    "service",
    "deployment",
]
"""What happened to an envelope, to a deployment rule, or to a service."""

BatchState = Literal["running", "done", "failed"]

DeploymentState = Literal["running", "live", "failed", "superseded", "retired"]
"""`superseded` was given up for another before it was live; `retired` was live once."""

StepState = Literal["running", "passed", "failed", "held"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One committed change; `data` says what it was.

    `saved` and `tags` have `before` and `after`, the tags that differ; `description` the
    two texts; `metrics` and `hyperparameters` their `names`; `function` its `name`;
    `verified` has `status` and `reason`; `batch` has `run_key` and `state`.

    Changes of online inference: `rule` has `rule`, `revision` and `event`, and no envelope
    (an empty id); `service` is a new wish and has `service`, `generation`, `pinned` and
    `reason`, with an empty id where nothing is wanted; `deployment` has `service`,
    `deployment` and `state`.
    """

    revision: int
    at: datetime
    kind: ChangeKind
    envelope_id: str
    actor: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Some envelopes; `next` is the cursor of the page after it, None on the last."""

    records: tuple[EnvelopeRecord, ...]
    next: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricPoint:
    """One logged value.

    A number stands in `value`. NaN and infinities, which not every database column
    holds, have no `value` and a `body` of `NaN`, `Infinity` or `-Infinity`. A structured
    metric has no `value` and its JSON as `body`.
    """

    name: str
    step: int = 0
    at: datetime
    type: str = "scalar"
    value: float | None = None
    body: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchRecord:
    """One run of an envelope over a table.

    `run_key` names the logical run, not the try; `request` is what was asked, `result`
    what came of it (tables, row counts, durations, statistics), both plain JSON. `airflow`
    is the task of the last try, as in `Provenance.airflow`; empty outside Airflow.
    """

    run_key: str
    envelope_id: str
    state: BatchState
    started_at: datetime
    finished_at: datetime | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] | None = None
    error: str | None = None
    airflow: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleRecord:
    """A deployment rule as it is, or was after one change of it.

    `revision` counts what it says: 1, 2, 3…; pausing does not change it. `spec` is plain
    JSON, read by `deployment.rule.Rule`. `at` and `actor` are of the last change.
    """

    name: str
    revision: int
    service: str
    spec: Mapping[str, Any]
    paused: bool
    pause_reason: str
    removed: bool
    at: datetime
    actor: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceRecord:
    """A service: what it should run, what it runs, and who is at work on it.

    Attributes:
        target: what is wanted of the place it runs at: `{"kind": …, "options": {…}}`.
        url: where it answers; None while nothing is live.
        desired_envelope: None where it should not run.
        desired_by: a person, or `rule:<name>@<revision>`.
        pinned: no rule may want anything else.
        generation: grows with every new wish; those up to `observed_generation` were tried.
        previous_envelope: what was live before, and is what a rollback puts back.
        fence: grows with every claim.
        lease_owner: who holds it, until `lease_until`; None after a release.
    """

    name: str
    target: Mapping[str, Any]
    url: str | None
    desired_envelope: str | None
    desired_by: str
    reason: str
    pinned: bool
    generation: int
    observed_generation: int
    live_deployment: str | None
    live_envelope: str | None
    previous_envelope: str | None
    fence: int
    lease_owner: str | None
    lease_until: datetime | None
    updated_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DeploymentRecord:
    """One attempt to make a service run an envelope.

    `target` is what it ran on and with. It was live from `live_from` until just before
    `live_to`; the periods of one service never overlap. `airflow` is the task that made it,
    as in `Provenance.airflow`; empty outside Airflow.
    """

    id: str
    service: str
    envelope_id: str
    target: Mapping[str, Any]
    by: str
    fence: int
    generation: int
    state: DeploymentState
    reason: str
    started_at: datetime
    finished_at: datetime | None
    live_from: datetime | None
    live_to: datetime | None
    airflow: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRecord:
    """What one step of a deployment came to; `number` orders them."""

    deployment_id: str
    number: int
    name: str
    state: StepState
    at: datetime
    detail: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveRoute:
    """Which deployment of a service is live, and by which fence it became so."""

    service: str
    deployment: str
    fence: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TagFacet:
    """How many envelopes have a tag, and its most frequent values with their counts."""

    key: str
    envelopes: int
    values: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Inventory:
    """How many envelopes have what.

    Attributes:
        metrics: by name and type.
        hyperparameters: by name.
        tags: by key, with how many different values, the most frequent first.
    """

    metrics: Mapping[tuple[str, str], int]
    hyperparameters: Mapping[str, int]
    tags: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class GarbageReport:
    """What a garbage collection removed."""

    expired_uploads: int
    """Saves that never ended."""
    purged_envelopes: tuple[str, ...]
    """Deleted envelopes whose grace period was over."""
    unknown: tuple[str, ...]
    """Folders of no envelope and no save."""
