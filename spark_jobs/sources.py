"""Input tables as one Spark frame, and the files behind it where there are only files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from model_envelope.batch.request import BatchRequest
from model_envelope.batch.tables import CatalogTable, JdbcTable, PathTable, Table
from model_envelope.errors import InvalidInput, SchemaError
from model_envelope.runtime import schemas
from model_envelope.runtime.spec import Signature
from model_envelope.spark_jobs.catalog import describe
from model_envelope.spark_jobs.footers import data_files, flat_files, read_footers
from model_envelope.spark_jobs.jdbc import read_options
from model_envelope.spark_jobs.output_types import storable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The rows to predict: needed columns only, in the order signature, then kept.

    `files_under` is the folder of a table that is nothing but Parquet files; else None, and
    `why_not_files` says why. Only what goes the general way needs the frame, which takes
    Spark longer than listing the files of a folder.
    """

    schema: pa.Schema
    frame: Callable[[], DataFrame]
    files: Callable[[], Sequence[Path]]
    files_under: Path | None
    why_not_files: str


def open_source(spark: SparkSession, request: BatchRequest, signature: Signature) -> Source:
    """Find the input's columns and check them; no row is read.

    Raises:
        SchemaError: columns are missing, of other types, ambiguous, or more than allowed.
        InvalidInput: a table is not there, or the SQL cannot be run.
    """
    files_under, why = _files_under(spark, request)
    needed = tuple(dict.fromkeys((*signature.names, *request.keep_columns)))

    def choose(frame: DataFrame) -> DataFrame:
        return frame.select([frame[_quoted(name)] for name in needed])

    files = _flat_files(request)
    known = _schema_in_file(files[0]) if files else None
    if files and known:
        return Source(
            schema=_checked(known, request, signature, needed),
            frame=lambda: choose(_frame(spark, request, signature)),
            files=lambda: files,
            files_under=files_under,
            why_not_files=why,
        )
    frame = _frame(spark, request, signature)
    schema = _checked(frame.schema, request, signature, needed)
    chosen = choose(frame)
    return Source(
        schema=schema,
        frame=lambda: chosen,
        files=lambda: _input_files(chosen),
        files_under=files_under,
        why_not_files=why,
    )


def arrow_schema(schema: StructType) -> pa.Schema:
    """Spark's types as Arrow's.

    Raises:
        SchemaError: Arrow has none for one.
    """
    from pyspark.errors import PySparkException
    from pyspark.sql.pandas.types import to_arrow_schema

    try:
        return to_arrow_schema(schema, timezone="UTC")
    except PySparkException as error:
        raise SchemaError(f"A column of the input cannot be given to Python: {error}") from error


def spark_schema(schema: pa.Schema) -> StructType:
    """Arrow's types as Spark's, all columns nullable."""
    from pyspark.sql.pandas.types import from_arrow_schema

    return from_arrow_schema(storable(schema, "A column"))


def _frame(spark: SparkSession, request: BatchRequest, signature: Signature) -> DataFrame:
    frames = {
        name: _read(spark, table, request, signature) for name, table in request.inputs.items()
    }
    return _combined(spark, request, frames)


def _read(
    spark: SparkSession, table: Table, request: BatchRequest, signature: Signature
) -> DataFrame:
    from pyspark.errors import PySparkException

    try:
        if isinstance(table, CatalogTable):
            return spark.read.table(table.name)
        if isinstance(table, JdbcTable):
            frame = spark.read.format("jdbc").options(**read_options(table)).load()
            # One connection gives one part; the model shall have all cores.
            return frame.repartition(spark.sparkContext.defaultParallelism)
        if table.format in ("csv", "json"):
            return _read_text(spark, table, request, signature)
        if table.format == "parquet":
            return _read_parquet(spark, table)
        return spark.read.format(table.format).load(table.uri)
    except PySparkException as error:
        raise InvalidInput(f"The input {table.address} cannot be read: {_first(error)}") from error


def _read_parquet(spark: SparkSession, table: PathTable) -> DataFrame:
    """Parquet files, with the schema that Spark would find by a job of its own."""
    file = next(data_files(table.local), None) if table.local else None
    schema = _schema_in_file(file) if file else None
    reader = spark.read if schema is None else spark.read.schema(schema)
    return reader.parquet(table.uri)


def _schema_in_file(file: Path) -> StructType | None:
    """The schema of a local file; None where Spark had better look itself."""
    from pyspark.sql.types import StructType

    try:
        footer = next(iter(read_footers([file])))
    except (OSError, pa.ArrowException):
        return None
    names = {name.lower() for name in footer.schema.names}
    if not footer.is_read_alike or len(names) < len(footer.schema.names):
        return None
    written = footer.spark_schema
    return StructType.fromJson(written) if written else spark_schema(footer.schema)


def _read_text(
    spark: SparkSession, table: PathTable, request: BatchRequest, signature: Signature
) -> DataFrame:
    """Text files with the signature's types; other columns are texts: nothing is guessed."""
    from pyspark.sql.types import StringType, StructField, StructType

    known = {field.name: field for field in spark_schema(schemas.to_schema(signature))}
    if table.format == "csv":
        names = spark.read.csv(table.uri, header=True).columns
    else:
        kept = (*request.keep_columns, *request.join_on)
        names = list(dict.fromkeys((*known, *kept)))
    fields = [known.get(name) or StructField(name, StringType()) for name in names]
    reader = spark.read.schema(StructType(fields)).option("mode", "FAILFAST")
    if table.format == "csv":
        return reader.csv(table.uri, header=True, enforceSchema=False)
    return reader.json(table.uri)


def _combined(
    spark: SparkSession, request: BatchRequest, frames: Mapping[str, DataFrame]
) -> DataFrame:
    if request.sql:
        return _by_sql(spark, request.sql, frames)
    if len(frames) == 1:
        return next(iter(frames.values()))
    keys = list(request.join_on)
    _check_join(keys, frames)
    return reduce(lambda one, other: one.join(other, keys, request.join_type), frames.values())


def _by_sql(spark: SparkSession, sql: str, frames: Mapping[str, DataFrame]) -> DataFrame:
    from pyspark.errors import PySparkException

    for name, frame in frames.items():
        frame.createOrReplaceTempView(name)
    try:
        # As a subquery it can be nothing but a query: Spark runs commands when it parses them.
        return spark.sql(f"SELECT * FROM (\n{sql}\n)")  # noqa: S608 - the SQL is the user's own
    except PySparkException as error:
        raise InvalidInput(f"sql is no query that can be run: {_first(error)}") from error


def _check_join(keys: list[str], frames: Mapping[str, DataFrame]) -> None:
    problems = [
        f"{name!r} has no column {key!r}; it has {', '.join(frame.columns)}"
        for name, frame in frames.items()
        for key in keys
        if key not in frame.columns
    ]
    seen: dict[str, str] = {}
    for name, frame in frames.items():
        for column in set(frame.columns) - set(keys):
            if column.lower() in seen:
                problems.append(f"column {column!r} is in {seen[column.lower()]!r} and {name!r}")
            seen[column.lower()] = name
    if problems:
        raise SchemaError(
            f"The inputs cannot be joined on {', '.join(keys)} (use sql to choose and rename "
            "columns):",
            problems=tuple(sorted(problems)),
        )


def _checked(
    given: StructType, request: BatchRequest, signature: Signature, needed: tuple[str, ...]
) -> pa.Schema:
    """The schema of the needed columns, once they are there and fit."""
    from pyspark.sql.types import StructType

    names = given.names
    # The other columns count for names only: they may have types that Arrow has not.
    found = pa.schema(
        arrow_schema(StructType([field])).field(0)
        if field.name in needed
        else pa.field(field.name, pa.null())
        for field in given.fields
    )
    problems = [*schemas.compare(signature, found)]
    problems += [
        f"column {name!r} of keep_columns is there {names.count(name)} times"
        for name in request.keep_columns
        if name not in signature.names and names.count(name) != 1
    ]
    extra = [name for name in names if name not in needed and name not in request.join_on]
    if request.extra_columns == "refuse":
        problems += [f"column {name!r} is neither needed nor kept" for name in extra]
    elif extra:
        _log.info("Columns that are neither needed nor kept: %s", ", ".join(extra))
    if problems:
        raise SchemaError(
            f"The input table, with the columns {', '.join(names)}, does not fit:",
            problems=tuple(problems),
        )
    return pa.schema([found.field(name) for name in needed])


def _flat_files(request: BatchRequest) -> list[Path] | None:
    """The files of an input that is one folder of local Parquet files, or such a file."""
    table = next(iter(request.inputs.values()))
    plain = isinstance(table, PathTable) and table.format == "parquet" and table.local
    if not plain or request.sql or len(request.inputs) > 1:
        return None
    try:
        return flat_files(plain)
    except OSError:  # for Spark to tell
        return None


def _files_under(spark: SparkSession, request: BatchRequest) -> tuple[Path | None, str]:
    """The folder of an input that is nothing but local Parquet files, or why it is not."""
    table = next(iter(request.inputs.values()))
    if request.sql or len(request.inputs) > 1:
        return None, "the input is a query over tables"
    if isinstance(table, PathTable) and table.format == "parquet" and table.local:
        return table.local, ""
    entry = describe(spark, table) if isinstance(table, CatalogTable) else None
    if entry is None or entry.provider != "parquet" or entry.local is None:
        return None, f"the input {table.address} is no table of local Parquet files"
    if entry.has_padding:
        return None, f"{table.address} has char columns, which Spark pads"
    return entry.local, ""


def _input_files(frame: DataFrame) -> list[Path]:
    return [Path(unquote(urlsplit(uri).path)) for uri in frame.inputFiles()]


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def _first(error: Exception) -> str:
    return str(error).split("\n\nJVM", 1)[0].strip()[:1_000]
