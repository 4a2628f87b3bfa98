"""Batch predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from model_envelope.store.rows import BatchRecord, BatchState
from model_envelope.store.store import Store
from model_envelope.web.shapes.models import TaskRef, task_ref
from model_envelope.web.shapes.services import names_of


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchRow:
    """One run of an envelope over tables; `seconds` is how long all of it took."""

    run_key: str
    envelope: str
    name: str
    state: BatchState
    started_at: datetime
    finished_at: datetime | None
    function: str
    logical_date: str
    rows: int | None
    seconds: float | None
    input_tables: Sequence[str]
    output_table: str
    error: str | None
    run: TaskRef | None


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchList:
    """A page of batch predictions, the latest first."""

    items: Sequence[BatchRow]
    next: str | None


def batches(store: Store, records: Sequence[BatchRecord]) -> list[BatchRow]:
    """Batch predictions, with one more query however many there are."""
    names = names_of(store, (record.envelope_id for record in records))
    return [_row(record, names[record.envelope_id]) for record in records]


def _row(record: BatchRecord, name: str) -> BatchRow:
    asked, result = record.request, record.result or {}
    inputs: Any = asked.get("inputs", {})
    return BatchRow(
        run_key=record.run_key,
        envelope=record.envelope_id,
        name=name,
        state=record.state,
        started_at=record.started_at,
        finished_at=record.finished_at,
        function=asked.get("query_function", ""),
        logical_date=asked.get("logical_date", ""),
        rows=result.get("rows"),
        seconds=result.get("seconds", {}).get("total"),
        input_tables=list(inputs.values()) if isinstance(inputs, dict) else list(inputs),
        output_table=asked.get("output", ""),
        error=record.error,
        run=task_ref(record.airflow),
    )
