"""Output tables: checked before anything runs, and changed all at once.

| table | how |
|---|---|
| local files, by path or of a catalog | staged beside it, one exchange of names, `publish` |
| PostgreSQL | a table beside it, one transaction, `jdbc` |
| Delta, Iceberg and the like | one commit of theirs, `inserts` |
| files elsewhere, Hive's | Spark's dynamic partition overwrite, `inserts` |
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from model_envelope.batch.request import RESERVED, BatchRequest
from model_envelope.batch.tables import CatalogTable, JdbcTable, PathTable
from model_envelope.errors import InvalidInput
from model_envelope.spark_jobs.catalog import create, describe
from model_envelope.spark_jobs.folders import CatalogFolderSink, FolderSink
from model_envelope.spark_jobs.inserts import HadoopSink, HiveSink, TransactionalSink
from model_envelope.spark_jobs.jdbc import PostgresSink
from model_envelope.spark_jobs.sources import spark_schema
from model_envelope.spark_jobs.staged_files import StagedFile
from model_envelope.spark_jobs.tasks import Destination, TaskReport

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_PLAIN = ("parquet", "orc", "csv", "json", "text", "avro", "hive", "jdbc")


class Sink(Protocol):
    """An output table."""

    @property
    def destination(self) -> Destination | None:
        """Where tasks may write Parquet files themselves; None where Spark must write."""
        ...

    @property
    def why_no_files(self) -> str:
        """Why `destination` is None."""
        ...

    def opened(self) -> AbstractContextManager[Sink]:
        """Prepare for rows; what is not published is gone afterwards."""
        ...

    def write(self, frame: DataFrame) -> None:
        """Let Spark write the rows, out of sight where the table allows."""
        ...

    def publish(self, files: Sequence[StagedFile], reports: Sequence[TaskReport]) -> None:
        """Make the rows visible in the place of those that the run owns."""
        ...


def open_sink(spark: SparkSession, request: BatchRequest, schema: pa.Schema) -> Sink:
    """The output table, once the rows are known to fit it.

    Args:
        spark: the session.
        request: names the table.
        schema: of the rows: kept and prediction columns and the envelope's id.

    Raises:
        SchemaError: the table has other columns or partitions.
        InvalidInput: it cannot be written to safely.
    """
    output = request.output
    _check_names(request, schema)
    if isinstance(output, JdbcTable):
        return PostgresSink(spark, request, output, spark_schema(schema))
    if isinstance(output, PathTable):
        if output.local is None:
            return HadoopSink(spark, request, output)
        return FolderSink(request, output.local, output.format, schema)
    return _catalog_sink(spark, request, output, schema)


def _catalog_sink(
    spark: SparkSession, request: BatchRequest, table: CatalogTable, schema: pa.Schema
) -> Sink:
    entry = describe(spark, table) or create(spark, request, table, spark_schema(schema))
    if entry.provider not in _PLAIN:
        return TransactionalSink(spark, request, table)
    entry.require(table, request, spark_schema(schema))
    if entry.is_files and entry.local is not None:
        return CatalogFolderSink(spark, request, table, entry, schema)
    return HiveSink(spark, request, table, entry)


def _check_names(request: BatchRequest, schema: pa.Schema) -> None:
    names = [name.lower() for name in schema.names]
    doubles = sorted({name for name in names if names.count(name) > 1})
    taken = [name for name in schema.names[:-1] if name.lower() in RESERVED]
    if doubles or taken:
        raise InvalidInput(
            f"The output would have the column {(doubles or taken)[0]!r} twice. Leave it out of "
            "keep_columns, or rename the input's column by sql."
        )
    for name in request.partition_columns:
        if name not in schema.names:
            raise InvalidInput(
                f"partition_columns names {name!r}, but the output has {', '.join(schema.names)}. "
                "Add it to keep_columns."
            )
    if set(schema.names[:-1]) <= set(request.partition_columns):
        raise InvalidInput("partition_columns names every column: none would be in the files.")
