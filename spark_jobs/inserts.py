"""Output tables that only Spark's own writers can write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from model_envelope.batch.request import BatchRequest
from model_envelope.batch.tables import CatalogTable, PathTable
from model_envelope.errors import InvalidInput
from model_envelope.spark_jobs.catalog import CatalogEntry
from model_envelope.spark_jobs.folders import partition_spec
from model_envelope.spark_jobs.publish import partition_folder
from model_envelope.spark_jobs.staged_files import StagedFile
from model_envelope.spark_jobs.tasks import Destination, TaskReport

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


class _SparkSink:
    """What the tables here have in common: Spark writes, and commits when it has written."""

    destination: Destination | None = None
    why_no_files = "the output is no local Parquet table"

    def __init__(self, spark: SparkSession, request: BatchRequest) -> None:
        self._spark = spark
        self._request = request
        self._owned = request.partitions

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """Nothing to prepare."""
        yield self

    def publish(self, files: Sequence[StagedFile], reports: Sequence[TaskReport]) -> None:
        """Nothing to do: the write was the commit."""

    def _complete(self, frame: DataFrame) -> DataFrame:
        from pyspark.sql.functions import lit

        for name, value in self._owned.items():
            frame = frame.withColumn(name, lit(value))
        return frame


class TransactionalSink(_SparkSink):
    """Delta, Iceberg and their like: they replace rows by a condition in one commit."""

    def __init__(self, spark: SparkSession, request: BatchRequest, table: CatalogTable) -> None:
        super().__init__(spark, request)
        self._table = table

    def write(self, frame: DataFrame) -> None:
        """Replace this run's rows, or all of them."""
        from pyspark.sql.functions import col, lit

        owned = lit(True)
        if self._request.write_mode != "overwrite":
            for name, value in self._owned.items():
                owned = owned & (col(name) == lit(value))
        columns = self._spark.table(self._table.name).columns
        self._complete(frame).select(columns).writeTo(self._table.name).overwrite(owned)


class HiveSink(_SparkSink):
    """A partitioned table of Hive's, or on a distributed file system.

    Spark's dynamic partition overwrite leaves every other partition alone. It renames
    partitions one after the other at the end; a driver killed between two of them leaves
    the run half visible, until its retry.
    """

    def __init__(
        self, spark: SparkSession, request: BatchRequest, table: CatalogTable, entry: CatalogEntry
    ) -> None:
        super().__init__(spark, request)
        _refuse_overwrite(request, table.name)
        self._table = table
        self._columns = [name for name, _ in entry.columns]

    def write(self, frame: DataFrame) -> None:
        """Insert over the partitions that there are rows for."""
        complete = self._complete(frame).select(self._columns)
        complete.write.mode("overwrite").insertInto(self._table.name)

    def publish(self, files: Sequence[StagedFile], reports: Sequence[TaskReport]) -> None:
        """Drop this run's partitions that there are no rows for any more."""
        written = {partition for report in reports for partition in report.partitions}
        owned = str(partition_folder(self._owned))
        now = {f"{owned}/{partition}" if partition != "." else owned for partition in written}
        rows = self._spark.sql(
            f"SHOW PARTITIONS {self._table.quoted} PARTITION ({partition_spec(owned)})"
        ).collect()
        for row in rows:
            if row[0] not in now:
                self._spark.sql(
                    f"ALTER TABLE {self._table.quoted} DROP IF EXISTS "
                    f"PARTITION ({partition_spec(row[0])})"
                )


class HadoopSink(_SparkSink):
    """Files on a distributed file system or in an object store, by their path."""

    def __init__(self, spark: SparkSession, request: BatchRequest, table: PathTable) -> None:
        super().__init__(spark, request)
        _refuse_overwrite(request, table.address)
        if request.partition_columns:
            raise InvalidInput(
                f"{table.address} is not on this machine's file systems: partition_columns need "
                "a table of a catalog there."
            )
        self._table = table

    def write(self, frame: DataFrame) -> None:
        """Write over the partition of this run."""
        writer = self._complete(frame).write.format(self._table.format).mode("overwrite")
        if self._table.format == "csv":
            writer = writer.option("header", True)
        writer.option("partitionOverwriteMode", "dynamic").partitionBy(*self._owned).save(
            self._table.uri
        )

    def publish(self, files: Sequence[StagedFile], reports: Sequence[TaskReport]) -> None:
        """Remove the partition if there are no rows for it any more."""
        if any(report.rows for report in reports):
            return
        jvm: Any = self._spark._jvm
        path = jvm.org.apache.hadoop.fs.Path(f"{self._table.path}/{partition_folder(self._owned)}")
        configuration = self._spark._jsc.hadoopConfiguration()
        path.getFileSystem(configuration).delete(path, True)


def _refuse_overwrite(request: BatchRequest, name: str) -> None:
    if request.write_mode == "overwrite":
        raise InvalidInput(
            f"write_mode='overwrite' would delete {name} before the new rows are there. Use "
            "'replace', or a table of Delta or Iceberg, or one on a local or mounted file system."
        )
