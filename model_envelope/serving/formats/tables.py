"""Bodies that are tables already: Arrow IPC streams and CSV.

As in a batch, columns may come in any order and be more than the function takes.
"""

from __future__ import annotations

import io
import struct

import pyarrow as pa
import pyarrow.csv

from model_envelope.errors import SchemaError
from model_envelope.runtime import inputs, schemas
from model_envelope.serving.formats import arrow_messages
from model_envelope.serving.formats.columns import Columns, Layout
from model_envelope.serving.formats.refusals import BadRequest, from_schema_error

_COLUMNS = 1_000


def read_arrow(body: bytes, layout: Layout, max_rows: int | None = None) -> Columns:
    """Rows of an Arrow IPC stream.

    Raises:
        BadRequest: 400 it is none, 413 it has too many rows, 415 it is compressed, 422 it does
            not fit.
    """
    # No type has less than a bit for a row, except nulls.
    limit = 8 * len(body) if max_rows is None else max_rows
    try:
        arrow_messages.check(body, limit)
        with pa.ipc.open_stream(body) as reader:
            table = reader.read_all()
        table.validate(full=True)
        _ = table.column_names  # they are not checked to be UTF-8
    except (pa.ArrowException, OSError, ValueError, struct.error, RecursionError) as error:
        raise BadRequest(f"The body is no Arrow IPC stream: {error}", status=400) from error
    return fitted(table, layout)


def read_csv(body: bytes, layout: Layout) -> Columns:
    """Rows of a CSV file with a header. Empty fields are missing.

    Raises:
        BadRequest: 422 it does not fit.
    """
    types = {
        field.name: field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        for field in layout.schema
    }
    unfit = [name for name, type_ in types.items() if not _is_text(type_)]
    if unfit:
        raise BadRequest(f"CSV cannot hold the column {unfit[0]!r}: send JSON.", status=415)
    options = pa.csv.ConvertOptions(
        column_types=types,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    # In a file of one column, an empty line is a missing value.
    parsing = pa.csv.ParseOptions(ignore_empty_lines=b"," in body.partition(b"\n")[0])
    try:
        table = pa.csv.read_csv(
            io.BytesIO(body),
            parse_options=parsing,
            read_options=pa.csv.ReadOptions(use_threads=False),
            convert_options=options,
        )
        _ = table.column_names
    except (pa.ArrowException, ValueError) as error:
        raise BadRequest(f"The body is no CSV that fits the model: {error}") from error
    return fitted(table, layout)


def fitted(table: pa.Table, layout: Layout) -> Columns:
    """The columns of a table that a function takes.

    Raises:
        BadRequest: 422, names each column that is missing or does not fit.
    """
    most = _COLUMNS + 10 * len(layout.names)
    if table.num_columns > most:
        # Names that are missing are looked for among all that are there.
        raise BadRequest(f"There are {table.num_columns} columns; at most {most} are taken.")
    try:
        found = inputs.conform(table, layout.signature)
    except SchemaError as error:
        expected = {field.name: schemas.type_name(field.type) for field in layout.schema}
        raise from_schema_error(error, expected) from error
    return Columns(layout, tuple(found.columns), found.num_rows)


def write_arrow(table: pa.Table) -> bytes:
    """An Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def can_be_csv(schema: pa.Schema) -> bool:
    """Whether Arrow writes tables of a schema as CSV."""
    try:
        write_csv(schema.empty_table())
    except (pa.ArrowException, NotImplementedError):
        return False
    return all(map(_is_text, schema.types))


def write_csv(table: pa.Table) -> bytes:
    """CSV with a header."""
    # In UTC: offsets of other zones once had seconds, which Arrow leaves out.
    fields = [
        field.with_type(pa.timestamp(field.type.unit, "UTC"))
        if pa.types.is_timestamp(field.type) and field.type.tz
        else field
        for field in table.schema
    ]
    sink = pa.BufferOutputStream()
    pa.csv.write_csv(table.cast(pa.schema(fields)), sink)
    return bytes(sink.getvalue())


def _is_text(type_: pa.DataType) -> bool:
    """Whether CSV shows every value of a type: not bytes, and nothing nested."""
    return not pa.types.is_nested(type_) and "binary" not in str(type_)
