"""Files of rows to predict, and of predictions."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from model_envelope.artifacts import copying
from model_envelope.cli import output
from model_envelope.cli.text import plain
from model_envelope.errors import InvalidInput
from model_envelope.runtime import schemas
from model_envelope.runtime.spec import FunctionSpec

STANDARD = "-"
KINDS = ("csv", "parquet", "json", "jsonl")

# In columns of text, only an empty cell is a missing value.
_MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]


def read(source: str, spec: FunctionSpec, keep: Sequence[str]) -> pa.Table:
    """The rows of a file, with the types that a query function takes.

    Args:
        source: a file whose name says what it is; or `-`, whose first bytes do.
        spec: the query function.
        keep: columns to read besides those it takes.

    Raises:
        InvalidInput: there is no such file, or it cannot be read as what it seems to be.
    """
    content, kind = _content(source)
    schema = schemas.to_schema(spec.input) if spec.input else pa.schema([])
    try:
        table = _READERS[kind](content, schema)
    except (pa.ArrowException, ValueError, RecursionError) as error:
        raise InvalidInput(f"{_named(source)} cannot be read as {kind}: {error}") from error
    missing = [name for name in keep if name not in table.column_names]
    if missing:
        raise InvalidInput(
            f"{_named(source)} has no column {missing[0]!r} to keep; it has "
            f"{', '.join(table.column_names)}."
        )
    return table


def beside(table: pa.Table, keep: Sequence[str], predictions: pa.Table) -> pa.Table:
    """Predictions with columns of their input before them.

    Raises:
        InvalidInput: a column would be there twice.
    """
    for name in keep:
        if name in predictions.column_names:
            raise InvalidInput(f"The predictions have a column {name!r}, too: do not keep it.")
    columns = [*(table.column(name) for name in keep), *predictions.columns]
    return pa.table(columns, names=[*keep, *predictions.column_names])


def writer(target: str) -> Callable[[pa.Table], None]:
    """What writes predictions to a file, which appears whole or not at all, or to stdout.

    Raises:
        InvalidInput: the name of the file does not say what it is.
    """
    if target == STANDARD:
        return lambda table: output.raw(_bytes(table, "csv").decode())
    path, kind = Path(target), _kind(target)

    def write(table: pa.Table) -> None:
        with copying.written(path) as partial:
            partial.write_bytes(_bytes(table, kind))
            partial.replace(path)

    return write


def _content(source: str) -> tuple[bytes, str]:
    if source == STANDARD:
        content = sys.stdin.buffer.read()
        return content, _sniffed(content)
    kind = _kind(source)
    try:
        return Path(source).read_bytes(), kind
    except OSError as error:
        raise InvalidInput(f"{source} cannot be read: {error.strerror or error}.") from error


def _kind(name: str) -> str:
    kind = Path(name).suffix.removeprefix(".").lower()
    if kind not in KINDS:
        raise InvalidInput(f"{name}: name a file that ends in .{', .'.join(KINDS)}, or give -.")
    return kind


def _sniffed(content: bytes) -> str:
    start = content[:4096].lstrip()
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"["):
        return "json"
    return "jsonl" if start.startswith(b"{") else "csv"


def _named(source: str) -> str:
    return "The input" if source == STANDARD else source


def _from_csv(content: bytes, schema: pa.Schema) -> pa.Table:
    from pyarrow import csv

    types = {field.name: _plain_type(field.type) for field in schema}
    options = csv.ConvertOptions(column_types=types, null_values=_MISSING)
    # A thread that reads ahead can abort a process that ends soon after (Arrow 26).
    alone = csv.ReadOptions(use_threads=False)
    table = csv.read_csv(io.BytesIO(content), read_options=alone, convert_options=options)
    for i, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            text = table.column(i)
            filled = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
            table = table.set_column(i, field.name, filled)
    return table


def _from_parquet(content: bytes, _: pa.Schema) -> pa.Table:
    from pyarrow import parquet

    return parquet.read_table(pa.BufferReader(content))


def _from_json(content: bytes, schema: pa.Schema) -> pa.Table:
    found = json.loads(content)
    return _from_records([found] if isinstance(found, dict) else found, schema)


def _from_json_lines(content: bytes, schema: pa.Schema) -> pa.Table:
    if b"\n" not in content.strip():
        return _from_json(content, schema)
    return _from_records(
        [json.loads(line) for line in content.splitlines() if line.strip()], schema
    )


def _from_records(rows: Any, schema: pa.Schema) -> pa.Table:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("an object for each row is expected")
    names = dict.fromkeys(name for row in rows for name in row)
    types = {field.name: _plain_type(field.type) for field in schema}
    return pa.table(
        {name: _array([row.get(name) for row in rows], types.get(name)) for name in names}
    )


def _array(values: list[Any], type_: pa.DataType | None) -> pa.Array:
    """Values of JSON, which has no times: those are read from text where they are expected."""
    if type_ is not None:
        try:
            return pa.array(values, type_)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            if pa.types.is_temporal(type_):
                return pa.array(values, pa.string()).cast(type_)
    # Another type than expected: the model's signature will say so.
    return pa.array(values)


def _plain_type(type_: pa.DataType) -> pa.DataType:
    return type_.value_type if pa.types.is_dictionary(type_) else type_


_READERS: Mapping[str, Callable[[bytes, pa.Schema], pa.Table]] = {
    "csv": _from_csv,
    "parquet": _from_parquet,
    "json": _from_json,
    "jsonl": _from_json_lines,
}


def _bytes(table: pa.Table, kind: str) -> bytes:
    target = io.BytesIO()
    try:
        if kind == "csv":
            from pyarrow import csv

            csv.write_csv(table, target)
        elif kind == "parquet":
            from pyarrow import parquet

            parquet.write_table(table, target)
        else:
            target.write(_json(table, kind).encode())
    except pa.ArrowException as error:
        raise InvalidInput(
            f"The predictions cannot be written as {kind}: {error}. Name a .parquet or .json file."
        ) from error
    return target.getvalue()


def _json(table: pa.Table, kind: str) -> str:
    lines = [json.dumps(plain(row), default=str) for row in table.to_pylist()]
    if kind == "jsonl":
        return "".join(f"{line}\n" for line in lines)
    return "[\n" + ",\n".join(lines) + "\n]\n"
