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
]
"""What happened to an envelope."""

BatchState = Literal["running", "done", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One committed change of an envelope; `data` says what it was.

    `saved` and `tags` have `before` and `after`, the tags that differ; `description` the
    two texts; `metrics` and `hyperparameters` their `names`; `function` its `name`;
    `verified` has `status` and `reason`; `batch` has `run_key` and `state`.
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
    what came of it (tables, row counts, durations, statistics), both plain JSON.
    """

    run_key: str
    envelope_id: str
    state: BatchState
    started_at: datetime
    finished_at: datetime | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TagFacet:
    """How many envelopes have a tag, and its most frequent values with their counts."""

    key: str
    envelopes: int
    values: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class GarbageReport:
    """What a garbage collection removed."""

    expired_uploads: int
    """Saves that never ended."""
    purged_envelopes: tuple[str, ...]
    """Deleted envelopes whose grace period was over."""
    unknown: tuple[str, ...]
    """Folders of no envelope and no save."""
