"""The general path: whatever Spark can read, handed to Python as Arrow batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from model_envelope.batch.request import ENVELOPE_ID
from model_envelope.spark_jobs.staged_files import by_partition
from model_envelope.spark_jobs.tasks import Destination, TaskReport, Work, predicted, write_task

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

_ENVELOPE = pa.field(ENVELOPE_ID, pa.string())

Batches = Iterator[pa.RecordBatch]


def to_files(frame: DataFrame, work: Work, destination: Destination) -> None:
    """Predict every row into staged Parquet files; rows do not go back to the JVM.

    Raises:
        Exception: Spark's, where a task failed for good; see `failures.as_error`.
    """
    from pyspark.sql.types import LongType, StructField, StructType

    def predict(batches: Batches) -> Iterable[pa.RecordBatch]:
        write_task(work, destination, _task(), batches)
        return ()

    nothing = StructType([StructField("nothing", LongType())])
    done = _map_in_arrow(frame, predict, nothing)
    done.write.format("noop").mode("overwrite").save()


def to_frame(frame: DataFrame, work: Work, partition_columns: Sequence[str]) -> DataFrame:
    """The predicted rows, for Spark's own writers; nothing runs before they do.

    The reports say which partitions there are rows for.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    def predict(batches: Batches) -> Iterator[pa.RecordBatch]:
        report = TaskReport()
        for table in predicted(work, report, batches):
            report.partitions |= {str(name) for name, _ in by_partition(table, partition_columns)}
            envelope = pa.repeat(pa.scalar(work.envelope_id), table.num_rows)
            yield from table.append_column(_ENVELOPE, envelope).to_batches()
        work.reports.add({_task(): report})

    schema = pa.ipc.read_schema(pa.py_buffer(work.schema)).append(_ENVELOPE)
    return _map_in_arrow(frame, predict, from_arrow_schema(schema))


def _map_in_arrow(
    frame: DataFrame, function: Callable[[Batches], Any], schema: StructType
) -> DataFrame:
    from pyspark.errors import PySparkImportError
    from pyspark.sql.classic.dataframe import DataFrame as ClassicFrame
    from pyspark.sql.pandas.functions import vectorized_udf  # type: ignore[attr-defined]
    from pyspark.util import PythonEvalType

    try:
        return frame.mapInArrow(function, schema)
    except PySparkImportError:
        pass  # It asks for a recent pandas, needs none here, and the model need not have one.
    udf = vectorized_udf(function, schema, PythonEvalType.SQL_MAP_ARROW_ITER_UDF)
    column = udf(*[frame[f"`{name.replace('`', '``')}`"] for name in frame.columns])
    return ClassicFrame(frame._jdf.mapInArrow(column._jc, False, None), frame.sparkSession)


def _task() -> int:
    from pyspark import TaskContext

    context = TaskContext.get()
    assert context is not None  # noqa: S101 - in a task there is one
    return context.partitionId()
