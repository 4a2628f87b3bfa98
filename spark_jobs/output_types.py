"""Types of output columns: what Spark's tables can hold, the same whichever way rows go."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from model_envelope.errors import SchemaError

_WIDER = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.float16(): pa.float32(),
    pa.date64(): pa.date32(),
}
_MAX_PRECISION = 38


def storable(schema: pa.Schema, what: str) -> pa.Schema:
    """The schema with every type as Spark has it, all columns nullable, as files say it.

    Unsigned integers become the next wider type, zoned timestamps UTC, categoricals their
    values, arrays lists.

    Raises:
        SchemaError: a type that Spark's tables have no place for.
    """
    fields, problems = [], []
    for field in schema:
        try:
            fields.append(pa.field(field.name, _storable(field.type)))
        except SchemaError as error:
            problems.append(f"column {field.name!r} is {field.type}: {error}")
    if problems:
        raise SchemaError(f"{what} cannot be stored in a table:", problems=tuple(problems))
    return pa.schema(fields)


def stored(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table in the types of `storable`. Times finer than a microsecond are cut off.

    Raises:
        SchemaError: a value does not fit.
    """
    columns = []
    for field, column in zip(schema, table.columns, strict=True):
        if column.type.equals(field.type):
            columns.append(column)
            continue
        try:
            columns.append(column.cast(field.type, safe=not pa.types.is_timestamp(field.type)))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SchemaError(f"Column {field.name!r} does not fit {field.type}: {error}") from None
    return pa.Table.from_arrays(columns, schema=schema)


def _storable(type_: pa.DataType) -> pa.DataType:
    if isinstance(type_, pa.BaseExtensionType):
        return _storable(type_.storage_type)
    for family, convert in _FAMILIES:
        if family(type_):
            return convert(type_)
    return _WIDER.get(type_, type_)


def _decimal(type_: pa.DataType) -> pa.DataType:
    if type_.precision > _MAX_PRECISION:
        raise SchemaError(f"Spark's decimals have at most {_MAX_PRECISION} digits")
    return pa.decimal128(type_.precision, type_.scale)


def _struct(type_: pa.DataType) -> pa.DataType:
    return pa.struct([pa.field(field.name, _storable(field.type)) for field in type_])


def _no_duration(type_: pa.DataType) -> pa.DataType:
    raise SchemaError("return a number of seconds, or a text")


def _no_null(type_: pa.DataType) -> pa.DataType:
    raise SchemaError("it holds nothing, so its type is not known")


_FAMILIES: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.DataType], pa.DataType]], ...]
_FAMILIES = (
    (pa.types.is_dictionary, lambda t: _storable(t.value_type)),
    (pa.types.is_large_string, lambda _: pa.string()),
    (pa.types.is_large_binary, lambda _: pa.binary()),
    (pa.types.is_fixed_size_binary, lambda _: pa.binary()),
    (pa.types.is_timestamp, lambda t: pa.timestamp("us", tz="UTC" if t.tz else None)),
    (pa.types.is_list, lambda t: pa.list_(pa.field("element", _storable(t.value_type)))),
    (pa.types.is_large_list, lambda t: pa.list_(pa.field("element", _storable(t.value_type)))),
    (pa.types.is_fixed_size_list, lambda t: pa.list_(pa.field("element", _storable(t.value_type)))),
    (pa.types.is_struct, _struct),
    (pa.types.is_map, lambda t: pa.map_(_storable(t.key_type), _storable(t.item_type))),
    (pa.types.is_decimal, _decimal),
    (pa.types.is_time, _no_duration),
    (pa.types.is_duration, _no_duration),
    (pa.types.is_null, _no_null),
)
