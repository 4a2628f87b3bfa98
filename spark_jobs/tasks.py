"""What a task does with its rows, whichever way they came and go: predict and count."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.accumulators import Accumulator, AccumulatorParam

from model_envelope.batch.request import ENVELOPE_ID
from model_envelope.errors import EnvelopeError, PredictionFailed
from model_envelope.runtime.calling import Predictor
from model_envelope.spark_jobs.failures import TaskFailed
from model_envelope.spark_jobs.models import Shipment
from model_envelope.spark_jobs.output_types import stored
from model_envelope.spark_jobs.staged_files import StagedFile, TaskFiles
from model_envelope.spark_jobs.statistics import ColumnStatistics, Sample, TableStatistics

_ENVELOPE = pa.field(ENVELOPE_ID, pa.dictionary(pa.int8(), pa.string()))
_SHOWN_VALUES = 12
_SHOWN_CHARACTERS = 80


@dataclass(kw_only=True, slots=True)
class TaskReport:
    """What a finished task says of itself."""

    rows: int = 0
    worker: str = ""
    loaded: bool = False
    predicting: float = 0.0
    files: tuple[StagedFile, ...] = ()
    partitions: set[str] = field(default_factory=set)
    input: dict[str, ColumnStatistics] = field(default_factory=dict)
    output: dict[str, ColumnStatistics] = field(default_factory=dict)
    input_sample: Sample | None = None
    output_sample: Sample | None = None


class Reports(AccumulatorParam[dict[int, TaskReport]]):
    """Reports by task. Spark counts each successful task; a repeated one changes nothing."""

    def zero(self, value: dict[int, TaskReport]) -> dict[int, TaskReport]:
        """No reports."""
        return {}

    def addInPlace(  # noqa: N802 - Spark's name
        self, value1: dict[int, TaskReport], value2: dict[int, TaskReport]
    ) -> dict[int, TaskReport]:
        """Reports of both, the first one of a task kept."""
        for task, report in value2.items():
            value1.setdefault(task, report)
        return value1


@dataclass(frozen=True, kw_only=True)
class Work:
    """What every task of a run has in common; travels with each, so it is small.

    `keep` are the input columns that go to the output, in the types of `schema`, which is
    the serialised Arrow schema of kept and prediction columns.
    """

    shipment: Shipment
    keep: tuple[str, ...]
    schema: bytes
    envelope_id: str
    sample_rows: int
    reports: Accumulator[dict[int, TaskReport]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Destination:
    """Where tasks put Parquet files: the staging folder of a run, see `publish`."""

    folder: str
    name: str
    partition_columns: tuple[str, ...]


def write_task(
    work: Work, destination: Destination, number: int, batches: Iterable[pa.RecordBatch]
) -> None:
    """Predict the rows of a task into files, and report them.

    Raises:
        TaskFailed: see `predicted`.
    """
    from pyspark import TaskContext

    context = TaskContext.get()
    attempt = context.taskAttemptId() if context else 0
    schema = pa.ipc.read_schema(pa.py_buffer(work.schema)).append(_ENVELOPE)
    files = TaskFiles(
        Path(destination.folder) / f"{number:05d}-{attempt}",
        f"part-{number:05d}-{destination.name}.parquet",
        schema,
        destination.partition_columns,
    )
    report = TaskReport()
    for table in predicted(work, report, batches):
        files.write(_with_envelope(table, work.envelope_id))
    report.files = files.close()
    work.reports.add({number: report})


def predicted(
    work: Work, report: TaskReport, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.Table]:
    """Predict batches; gives tables of kept and prediction columns, and counts into `report`.

    Raises:
        TaskFailed: a file of the model is not what was saved, the input does not fit, or
            the model raised. Its text is for the driver.
    """
    try:
        model, report.loaded = work.shipment.load()
    except EnvelopeError as error:
        raise TaskFailed(error) from None
    report.worker = f"{platform.node()}:{os.getpid()}"
    schema = pa.ipc.read_schema(pa.py_buffer(work.schema))
    spec = model.spec
    inputs = TableStatistics(spec.input.names if spec.input else (), work.sample_rows)
    outputs = TableStatistics(spec.output.names if spec.output else (), work.sample_rows)
    for batch in batches:
        table = pa.Table.from_batches([batch])
        started = time.perf_counter()
        predictions = _predict(model, table, work.keep)
        report.predicting += time.perf_counter() - started
        report.rows += table.num_rows
        inputs.update(table)
        outputs.update(predictions)
        columns = table.select(list(work.keep)).columns + predictions.columns
        yield stored(pa.Table.from_arrays(columns, names=schema.names), schema)
    report.input, report.input_sample = inputs.columns, inputs.sample()
    report.output, report.output_sample = outputs.columns, outputs.sample()


def _with_envelope(table: pa.Table, envelope_id: str) -> pa.Table:
    rows = table.num_rows
    indices = pa.Array.from_buffers(pa.int8(), rows, [None, pa.py_buffer(bytes(rows))])
    return table.append_column(
        _ENVELOPE, pa.DictionaryArray.from_arrays(indices, pa.array([envelope_id]), safe=False)
    )


def _predict(model: Predictor, table: pa.Table, keep: tuple[str, ...]) -> pa.Table:
    try:
        return model.predict(table)
    except PredictionFailed as error:
        raise TaskFailed(error, f"{error}{_where(model, table, keep)}") from None
    except EnvelopeError as error:
        raise TaskFailed(error) from None


def _where(model: Predictor, table: pa.Table, keep: tuple[str, ...]) -> str:
    """The row that a model fails on, found by halving, or nothing where no single one does."""
    row = table
    while row.num_rows > 1:
        half = row.num_rows // 2
        first, second = row.slice(0, half), row.slice(half)
        failing = next((part for part in (first, second) if _fails(model, part)), None)
        if failing is None:
            return f" It does so for these {row.num_rows} rows together, not for one of them."
        row = failing
    names = dict.fromkeys((*keep, *(model.spec.input.names if model.spec.input else ())))
    shown = ", ".join(
        f"{name}={_short(row.column(name)[0].as_py())}" for name in list(names)[:_SHOWN_VALUES]
    )
    return f" The first such row has {shown}."


def _fails(model: Predictor, table: pa.Table) -> bool:
    try:
        model.predict(table)
    except EnvelopeError:
        return True
    return False


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
