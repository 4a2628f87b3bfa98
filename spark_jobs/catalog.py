"""What Spark's catalog knows of a table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model_envelope.batch.request import BatchRequest
from model_envelope.batch.tables import CatalogTable
from model_envelope.errors import InvalidInput, SchemaError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructType

_FILES = ("parquet", "orc", "csv", "json")


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogEntry:
    """A table that is there. `local` is its folder on this machine's file systems."""

    provider: str
    local: Path | None
    columns: tuple[tuple[str, str], ...]
    partitions: tuple[str, ...]

    @property
    def is_files(self) -> bool:
        """Whether it is a folder of files in a format of Spark's own."""
        return self.provider in _FILES and self.local is not None

    @property
    def has_padding(self) -> bool:
        """Whether Spark gives texts that are not in the files."""
        return any(type_.startswith(("char(", "varchar(")) for _, type_ in self.columns)

    def require(self, table: CatalogTable, request: BatchRequest, schema: StructType) -> None:
        """Check that the table takes rows of a schema, partitioned as the request says.

        Raises:
            SchemaError: it has other columns or partitions; each difference is a line.
        """
        wanted = {field.name: field.dataType.simpleString() for field in schema.fields}
        wanted |= dict.fromkeys(request.partitions, "string")
        partitions = (*request.partitions, *request.partition_columns)
        found = dict(self.columns)
        problems = [
            f"column {name!r} is {found.get(name, 'not there')}, in the predictions it is "
            f"{wanted.get(name, 'not there')}"
            for name in {**found, **wanted}
            if found.get(name, "").lower() != wanted.get(name, "").lower()
        ]
        if self.partitions != partitions:
            problems.append(f"it is partitioned by {self.partitions}, this run by {partitions}")
        if problems:
            raise SchemaError(
                f"The output {table.name} cannot take the predictions:", problems=tuple(problems)
            )


def create(
    spark: SparkSession, request: BatchRequest, table: CatalogTable, schema: StructType
) -> CatalogEntry:
    """Create an output table, empty, and give its entry.

    Raises:
        InvalidInput: the catalog refuses.
    """
    from pyspark.errors import PySparkException
    from pyspark.sql.types import StringType, StructField, StructType

    fields = [*schema.fields, *(StructField(name, StringType()) for name in request.partitions)]
    partitions = (*request.partitions, *request.partition_columns)
    # Partition columns come last, in their order, as they do in every catalog.
    fields.sort(key=lambda f: partitions.index(f.name) if f.name in partitions else -1)
    try:
        empty = spark.createDataFrame([], StructType(fields))
        writer = empty.write.format(request.table_format or "parquet").mode("ignore")
        writer.partitionBy(*partitions).saveAsTable(table.name)
    except PySparkException as error:
        raise InvalidInput(f"The output {table.name} cannot be created: {error}") from error
    entry = describe(spark, table)
    if entry is None:
        raise InvalidInput(f"The output {table.name} is no table.")
    return entry


def describe(spark: SparkSession, table: CatalogTable) -> CatalogEntry | None:
    """A table's entry; None where there is no such table, or only a view."""
    if not spark.catalog.tableExists(table.name):
        return None
    rows = spark.sql(f"DESCRIBE TABLE EXTENDED {table.quoted}").collect()
    texts = [(row["col_name"].strip(), (row["data_type"] or "").strip()) for row in rows]
    names = [name for name, _ in texts]
    ends = [i for i, name in enumerate(names) if not name or name.startswith("#")]
    columns = texts[: ends[0]] if ends else texts
    details = dict(texts[names.index("# Detailed Table Information") :])
    location = details.get("Location", "")
    return CatalogEntry(
        provider=details.get("Provider", "").lower(),
        local=Path("/" + location[5:].lstrip("/")) if location.startswith("file:") else None,
        columns=tuple(columns),
        partitions=_partitions(texts),
    )


def _partitions(texts: list[tuple[str, str]]) -> tuple[str, ...]:
    names = [name for name, _ in texts]
    if "# Partition Information" not in names:
        return ()
    found = []
    for name in names[names.index("# Partition Information") + 1 :]:
        if name.startswith("# col_name"):
            continue
        if not name or name.startswith("#"):
            break
        found.append(name)
    return tuple(found)
