"""What can be told of an input before Spark is started: seconds instead of a minute."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa

from model_envelope.batch.request import BatchRequest
from model_envelope.batch.tables import PathTable
from model_envelope.errors import InvalidInput, SchemaError
from model_envelope.runtime import schemas
from model_envelope.runtime.spec import Signature
from model_envelope.spark_jobs.footers import Footer, data_files, null_problems, read_footers

_MANY_FILES = 1_000


def check_input(request: BatchRequest, signature: Signature) -> None:
    """Compare local files with what the model takes. Other tables are Spark's to look at.

    Raises:
        InvalidInput: a table is not there, or not in the format that it should have.
        SchemaError: columns are missing or of other types, or hold nulls where the model
            never saw one; each difference is a line.
    """
    local = {
        name: table.local
        for name, table in request.inputs.items()
        if isinstance(table, PathTable) and table.local is not None
    }
    files = {name: _data_files(path) for name, path in local.items()}
    table = next(iter(request.inputs.values()))
    if len(request.inputs) > 1 or request.sql or not isinstance(table, PathTable):
        return
    found = next(iter(files.values()), [])
    if not found or table.local is None:
        return
    footers = _footers(found) if table.format == "parquet" else []
    schema = _schema(table, found[0], footers, signature)
    if schema is None:
        return
    problems = [
        *schemas.compare(signature, _with_folders(schema, table.local, found[0], signature)),
        *null_problems(footers, signature),
        *_nanoseconds(schema if table.format == "parquet" else None),
    ]
    if problems:
        raise SchemaError(
            f"The input {table.address}, with the columns {', '.join(schema.names)}, does not fit:",
            problems=tuple(problems),
        )


def _data_files(path: Path) -> list[Path]:
    if not path.exists():
        raise InvalidInput(f"The input {path} is not there.")
    return list(data_files(path))


def _footers(files: list[Path]) -> list[Footer]:
    try:
        return read_footers(files[:_MANY_FILES])
    except (OSError, pa.ArrowInvalid) as error:
        raise InvalidInput(f"The input is no table of Parquet files: {error}") from error


def _schema(
    table: PathTable, file: Path, footers: list[Footer], signature: Signature
) -> pa.Schema | None:
    if footers:
        return footers[0].schema
    if table.format == "orc":
        from pyarrow import orc

        return orc.ORCFile(file).schema
    if table.format == "csv":
        with file.open(newline="", encoding="utf-8-sig") as lines:
            names = next(csv.reader(lines), [])
        # Texts are read with the signature's types, so that only their names can differ.
        known = {field.name: field.type for field in schemas.to_schema(signature)}
        return pa.schema([(name, known.get(name, pa.string())) for name in names])
    return None


def _with_folders(schema: pa.Schema, table: Path, file: Path, signature: Signature) -> pa.Schema:
    """The schema with the columns that folders name; their types are Spark's to tell."""
    known = {field.name: field.type for field in schemas.to_schema(signature)}
    for part in file.relative_to(table).parts[:-1]:
        name = part.partition("=")[0]
        if name in known and name not in schema.names:
            schema = schema.append(pa.field(name, known[name]))
    return schema


def _nanoseconds(schema: pa.Schema | None) -> list[str]:
    return [
        f"column {field.name!r} is {field.type}: Spark reads no nanoseconds. Write the file with "
        "coerce_timestamps='us'"
        for field in schema or ()
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns"
    ]
