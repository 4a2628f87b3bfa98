"""Output tables that are folders of files on this machine's file systems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from model_envelope.batch.request import BatchRequest
from model_envelope.batch.tables import CatalogTable
from model_envelope.errors import SchemaError
from model_envelope.spark_jobs import publish
from model_envelope.spark_jobs.catalog import CatalogEntry
from model_envelope.spark_jobs.footers import data_files
from model_envelope.spark_jobs.output_types import storable
from model_envelope.spark_jobs.staged_files import StagedFile, can_name, parquet_writer
from model_envelope.spark_jobs.tasks import Destination, TaskReport

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


class FolderSink:
    """A table by its path: a folder for each logical date, exchanged as a whole.

    Args:
        request: which partition is this run's.
        table: the folder.
        format: of its files.
        schema: of the rows.
    """

    def __init__(self, request: BatchRequest, table: Path, format: str, schema: pa.Schema) -> None:  # noqa: A002
        self._request = request
        self._table = table
        self._format = format
        self._schema = schema
        self._owned = publish.partition_folder(request.partitions)
        self._whole = request.write_mode == "overwrite"
        self.destination: Destination | None = None
        self.why_no_files = self._why_no_files()
        self._check()

    @contextmanager
    def opened(self) -> Iterator[FolderSink]:
        """A place beside the table for this run; gone afterwards.

        Raises:
            BatchPredictionFailed: it cannot be written to.
        """
        with publish.staging(self._table) as folder:
            self._folder = folder
            if not self.why_no_files:
                self.destination = Destination(
                    folder=str(folder / "tasks"),
                    name=self._request.run_digest,
                    partition_columns=self._request.partition_columns,
                )
            yield self

    def write(self, frame: DataFrame) -> None:
        """Let Spark write files beside the table."""
        writer = frame.write.format(self._format).partitionBy(*self._request.partition_columns)
        if self._format == "csv":
            writer = writer.option("header", True)
        writer.save(f"file://{self._rows}")
        for file in self._rows.rglob(".*.crc"):
            file.unlink()

    def publish(self, files: Sequence[StagedFile], reports: Sequence[TaskReport]) -> None:
        """Exchange the run's folder with what the table has in its place."""
        self._assemble(files)
        self._exchange()

    @property
    def _rows(self) -> Path:
        return self._folder / "new" / self._owned if self._whole else self._folder / "new"

    def _assemble(self, files: Sequence[StagedFile]) -> None:
        """Bring the files of finished tasks together, and only those."""
        self._rows.mkdir(parents=True, exist_ok=True)
        for file in files:
            folder = self._rows / file.partition
            folder.mkdir(parents=True, exist_ok=True)
            Path(file.path).rename(folder / Path(file.path).name)
        if self.destination and not files:
            self._write_no_rows()

    def _exchange(self) -> None:
        owned = None if self._whole else self._owned
        publish.publish(self._folder / "new", self._table, owned)

    def _write_no_rows(self) -> None:
        """A file without rows: a reader still finds the columns."""
        if not self._request.partition_columns:
            name = f"part-00000-{self._request.run_digest}.parquet"
            parquet_writer(self._rows / name, self._schema).close()

    def _why_no_files(self) -> str:
        if self._format != "parquet":
            return f"the output is {self._format}"
        for name in self._request.partition_columns:
            type_ = self._schema.field(name).type
            if not can_name(type_):
                return f"partition column {name!r} is {type_}"
        return ""

    def _check(self) -> None:
        publish.check_table_folder(self._table, suffix=f".{self._format}")
        if self._whole or self._format != "parquet":
            return
        example = next(data_files(self._table), None)
        if example is None:
            return
        folders = [part.partition("=")[0] for part in example.relative_to(self._table).parts[:-1]]
        wanted = [*self._request.partitions, *self._request.partition_columns]
        problems = []
        if [unquote(name) for name in folders] != wanted:
            problems.append(f"it is partitioned by {folders}, this run by {wanted}")
        columns = pa.schema(field for field in self._schema if field.name not in wanted)
        found = storable(pq.read_schema(example), "The table")
        problems += _differences(
            {field.name: str(field.type) for field in columns},
            {field.name: str(field.type) for field in found},
        )
        if problems:
            raise SchemaError(
                f"The output {self._table} has other columns than the predictions (another "
                "output, or write_mode='overwrite', would do):",
                problems=tuple(problems),
            )


class CatalogFolderSink(FolderSink):
    """A catalog's table of plain files: the same, and its partitions are registered."""

    def __init__(
        self,
        spark: SparkSession,
        request: BatchRequest,
        table: CatalogTable,
        entry: CatalogEntry,
        schema: pa.Schema,
    ) -> None:
        assert entry.local is not None  # noqa: S101 - what makes it a folder
        super().__init__(request, entry.local, entry.provider, schema)
        self._spark = spark
        self._name = table.quoted

    def publish(self, files: Sequence[StagedFile], reports: Sequence[TaskReport]) -> None:
        """Exchange the folder, and tell the catalog which partitions there are.

        New partitions are registered before: until the exchange their folders are missing,
        which Spark reads as no rows. Those that are gone are dropped after.
        """
        self._assemble(files)
        before = self._registered()
        now = {
            str(self._owned / file.parent.relative_to(self._rows))
            for file in data_files(self._rows)
        }
        for partition in sorted(now - before):
            self._alter("ADD IF NOT EXISTS", partition)
        self._exchange()
        for partition in sorted(before - now):
            self._alter("DROP IF EXISTS", partition)

    def _registered(self) -> set[str]:
        owned = "" if self._whole else f" PARTITION ({partition_spec(str(self._owned))})"
        found = self._spark.sql(f"SHOW PARTITIONS {self._name}{owned}").collect()
        return {row[0] for row in found}

    def _alter(self, verb: str, partition: str) -> None:
        self._spark.sql(f"ALTER TABLE {self._name} {verb} PARTITION ({partition_spec(partition)})")


def partition_spec(folder: str) -> str:
    """A partition's folder, as SQL names the partition."""
    parts = []
    for part in folder.split("/"):
        name, _, value = part.partition("=")
        text = "null" if value == publish.NULL_PARTITION else sql_text(unquote(value))
        parts.append(f"`{unquote(name).replace('`', '``')}` = {text}")
    return ", ".join(parts)


def sql_text(value: str) -> str:
    """A text as a literal of Spark's SQL."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _differences(wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    return [
        f"column {name!r} is {found.get(name, 'not there')}, in the predictions it is "
        f"{wanted.get(name, 'not there')}"
        for name in {**found, **wanted}
        if found.get(name) != wanted.get(name)
    ]
