"""Signatures and Arrow schemas: made, read, compared."""

from __future__ import annotations

import base64
import difflib
import json
from functools import lru_cache
from typing import Any

import pyarrow as pa

from model_envelope.errors import SchemaError
from model_envelope.runtime.spec import Column, Signature

CATEGORIES = b"categories"
"""Field metadata: JSON `{"values": […], "ordered": bool}` of a categorical column."""

NDIM = b"ndim"
"""Schema metadata: the number of dimensions of an ndarray input."""


def to_signature(schema: pa.Schema) -> Signature:
    """A schema as plain data."""
    columns = tuple(
        Column(name=field.name, type=type_name(field.type), nullable=field.nullable)
        for field in schema
    )
    return Signature(columns=columns, arrow=base64.b64encode(schema.serialize()).decode())


def to_schema(signature: Signature) -> pa.Schema:
    """The exact Arrow schema of a signature."""
    return _read(signature.arrow)


@lru_cache(maxsize=256)
def _read(arrow: str) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(arrow)))


def type_name(type_: pa.DataType) -> str:
    """Arrow's name of a type; a categorical is named for its values."""
    if pa.types.is_dictionary(type_):
        return f"categorical<{type_.value_type}>"
    return str(type_)


def categories(field: pa.Field) -> tuple[list[Any], bool] | None:
    """The known values of a categorical column, and whether they are ordered."""
    body = (field.metadata or {}).get(CATEGORIES)
    if body is None:
        return None
    found = json.loads(body)
    return found["values"], found["ordered"]


def compare(signature: Signature, schema: pa.Schema) -> tuple[str, ...]:
    """What keeps a table of `schema` from being predicted; nothing where all is well.

    Columns may come in any order and be more than the model takes.
    """
    problems = []
    for field in to_schema(signature):
        found = schema.get_all_field_indices(field.name)
        expected = type_name(field.type)
        if not found:
            close = _closest(field.name, schema.names)
            hint = f" (there is {close!r})" if close else ""
            problems.append(f"column {field.name!r} is missing: {expected} is expected{hint}")
        elif len(found) > 1:
            problems.append(f"column {field.name!r} is there {len(found)} times")
        elif not accepts(field.type, schema.field(found[0]).type):
            given = type_name(schema.field(found[0]).type)
            problems.append(f"column {field.name!r} is {given}, but {expected} is expected")
    return tuple(problems)


def require(signature: Signature, schema: pa.Schema, what: str) -> None:
    """Check that a table of `schema` can be predicted.

    Raises:
        SchemaError: it cannot; each difference is a line.
    """
    problems = compare(signature, schema)
    if problems:
        raise SchemaError(f"{what} does not fit what the model takes:", problems=problems)


def require_width(signature: Signature, columns: int) -> None:
    """Check how many columns an array has.

    Raises:
        SchemaError: not as many as the model takes.
    """
    if columns != len(signature.columns):
        raise SchemaError(
            f"The input has {columns} columns, but the model takes {len(signature.columns)}: "
            f"{', '.join(signature.names)}."
        )


def accepts(expected: pa.DataType, given: pa.DataType) -> bool:
    """Whether values of `given` become `expected` without loss of meaning.

    Numbers may widen (whether an int64 fits a double exactly is checked by value);
    strings and categoricals of strings are one; timestamps may change unit, not zone.
    """
    expected, given = _plain(expected), _plain(given)
    if expected.equals(given) or pa.types.is_null(given):
        return True
    if pa.types.is_integer(given):
        return bool(pa.types.is_floating(expected)) or (
            pa.types.is_integer(expected) and _holds(expected, given)
        )
    if pa.types.is_floating(given):
        return bool(pa.types.is_floating(expected) and expected.bit_width >= given.bit_width)
    if pa.types.is_timestamp(given):
        return bool(pa.types.is_timestamp(expected) and (expected.tz is None) == (given.tz is None))
    if pa.types.is_list(given):
        return bool(pa.types.is_list(expected)) and accepts(expected.value_type, given.value_type)
    return False


def normalised(type_: pa.DataType) -> pa.DataType:
    """The type without Arrow's storage variants: what Parquet and Spark give back."""
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return pa.string()
    if pa.types.is_large_binary(type_) or pa.types.is_binary_view(type_):
        return pa.binary()
    if pa.types.is_large_list(type_) or pa.types.is_list(type_):
        return pa.list_(normalised(type_.value_type))
    if pa.types.is_struct(type_):
        return pa.struct([field.with_type(normalised(field.type)) for field in type_])
    if pa.types.is_dictionary(type_):
        return pa.dictionary(type_.index_type, normalised(type_.value_type), type_.ordered)
    return type_


def untransportable(type_: pa.DataType) -> str:
    """Why values of a type would change on their way, and what to do; empty where all is well.

    Only pandas knows its periods and intervals, and categories travel as JSON.
    """
    if isinstance(type_, pa.BaseExtensionType):
        return (
            ""
            if isinstance(type_, pa.FixedShapeTensorType)
            else f"is of {type_}, which only this library knows: make it text, numbers or times"
        )
    if not pa.types.is_dictionary(type_):
        return ""
    values = type_.value_type
    plain = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating)
    if pa.types.is_string(normalised(values)) or any(is_(values) for is_ in plain):
        return ""
    return f"has categories of {values}: make them text or numbers, e.g. by `astype(str)`"


def _plain(type_: pa.DataType) -> pa.DataType:
    return normalised(type_.value_type if pa.types.is_dictionary(type_) else type_)


def _holds(wide: pa.DataType, narrow: pa.DataType) -> bool:
    if pa.types.is_signed_integer(wide) == pa.types.is_signed_integer(narrow):
        return bool(wide.bit_width >= narrow.bit_width)
    return pa.types.is_signed_integer(wide) and bool(wide.bit_width > narrow.bit_width)


def _closest(name: str, names: list[str]) -> str | None:
    found = difflib.get_close_matches(name, names, n=1)
    return found[0] if found else None
