"""Lists, structs, maps and tensors in JSON: built from the wires of their parts."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any

import msgspec
import pyarrow as pa

from model_envelope.errors import SchemaError
from model_envelope.serving.formats import wires
from model_envelope.serving.formats.wires import Values, Wire

_NO_NAME = frozenset(map(chr, range(32))) | {'"', "\\"}


def wire_of(type_: pa.DataType) -> Wire:
    """The wire of a nested type.

    Raises:
        SchemaError: the type has no form in JSON.
    """
    if pa.types.is_fixed_size_list(type_):
        return _fixed(type_)
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return _list(type_)
    if pa.types.is_struct(type_):
        return _struct(type_)
    if pa.types.is_map(type_):
        return _map(type_)
    if isinstance(type_, pa.FixedShapeTensorType):
        return _tensor(type_)
    raise SchemaError(f"A column of type {type_} cannot be written as JSON.")


def can_be_named(name: str) -> bool:
    """Whether msgspec can have a field of this name."""
    return not _NO_NAME.intersection(name)


def record_type(title: str, fields: list[tuple[str, Any]]) -> type[msgspec.Struct]:
    """An object with just these members, all of them needed.

    Attributes are `c0`, `c1`, …, whatever the members are called.
    """
    return msgspec.defstruct(
        title,
        [(f"c{i}", form) for i, (_, form) in enumerate(fields)],
        rename={f"c{i}": name for i, (name, _) in enumerate(fields)},
        forbid_unknown_fields=True,
        gc=False,
    )


def _list(type_: pa.DataType) -> Wire:
    inner = wires.wire_of(type_.value_field)
    return Wire(
        form=wires.array_of(inner.form | None),
        expected=f"an array, each element {inner.expected}",
        read=lambda values: _lists(values, inner.read, type_.value_field).cast(type_),
        write=lambda array: _write_lists(array, inner),
    )


def _fixed(type_: pa.DataType) -> Wire:
    inner, size = wires.wire_of(type_.value_field), type_.list_size
    exactly = msgspec.Meta(min_length=size, max_length=size)
    return Wire(
        form=Annotated[wires.array_of(inner.form | None), exactly],
        expected=f"an array of {size}, each element {inner.expected}",
        read=lambda values: _lists(values, inner.read, type_.value_field).cast(type_),
        write=lambda array: _write_lists(array.cast(pa.list_(type_.value_field)), inner),
    )


def _lists(values: Values, read: Callable[[Values], pa.Array], field: pa.Field) -> pa.Array:
    elements = read(_elements(values))
    return pa.ListArray.from_arrays(_offsets(values), elements, type=pa.list_(field))


def _elements(values: Values) -> Values:
    return [element for value in values if value is not None for element in value]


def _offsets(values: Values) -> pa.Array:
    offsets, end = [], 0
    for value in values:
        offsets.append(None if value is None else end)
        end += len(value or ())
    return pa.array([*offsets, end], pa.int32())


def _write_lists(array: pa.Array | pa.ChunkedArray, inner: Wire) -> list[Any]:
    if isinstance(array, pa.ChunkedArray):
        return [value for chunk in array.chunks for value in _write_lists(chunk, inner)]
    elements = iter(inner.write(array.flatten()))
    lengths = array.value_lengths().to_pylist()
    return [None if n is None else [next(elements) for _ in range(n)] for n in lengths]


def _struct(type_: pa.DataType) -> Wire:
    parts = [(field, wires.wire_of(field)) for field in type_]
    named = all(can_be_named(field.name) for field in type_)

    def members(value: Any) -> tuple[Any, ...]:
        if value is None:
            return (None,) * len(parts)
        if named:
            return msgspec.structs.astuple(value)
        return tuple(
            msgspec.convert(value.get(field.name), wire.form | None) for field, wire in parts
        )

    def read(values: Values) -> pa.Array:
        rows = [members(value) for value in values]
        columns = [
            wire.read([row[i] for row in rows]).cast(field.type)
            for i, (field, wire) in enumerate(parts)
        ]
        missing = pa.array([value is None for value in values], pa.bool_())
        return pa.StructArray.from_arrays(columns, fields=list(type_), mask=missing)

    def write(array: pa.Array | pa.ChunkedArray) -> list[Any]:
        if isinstance(array, pa.ChunkedArray):
            return [value for chunk in array.chunks for value in write(chunk)]
        names = [field.name for field in type_]
        columns = [wire.write(array.field(i)) for i, (_, wire) in enumerate(parts)]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        valid = array.is_valid().to_pylist()
        return [row if there else None for row, there in zip(rows, valid, strict=True)]

    told = ", ".join(f"{field.name}: {wire.expected}" for field, wire in parts)
    form: Any = _struct_form(type_) if named else dict[str, Any]
    return Wire(form=form, expected=f"an object of {told}", read=read, write=write)


@lru_cache(maxsize=256)
def _struct_form(type_: pa.DataType) -> Any:
    # All members of a struct may be missing: Arrow's structs are nullable throughout.
    fields = [(field.name, wires.wire_of(field).form | None) for field in type_]
    # One name for one type: they are told apart by it in the OpenAPI document.
    return record_type(f"Struct{hashlib.sha256(str(type_).encode()).hexdigest()[:8]}", fields)


def _map(type_: pa.DataType) -> Wire:
    key, item = wires.wire_of(type_.key_field), wires.wire_of(type_.item_field)

    def read(values: Values) -> pa.Array:
        pairs = _elements(values)
        keys = key.read([pair[0] for pair in pairs])
        items = item.read([pair[1] for pair in pairs])
        return pa.MapArray.from_arrays(_offsets(values), keys, items).cast(type_)

    return Wire(
        form=wires.array_of(wires.tuple_of([key.form, item.form | None])),
        expected=f"an array of pairs of {key.expected} and {item.expected}",
        read=read,
        write=lambda array: _write_maps(array, key, item),
    )


def _write_maps(array: pa.Array | pa.ChunkedArray, key: Wire, item: Wire) -> list[Any]:
    if isinstance(array, pa.ChunkedArray):
        return [value for chunk in array.chunks for value in _write_maps(chunk, key, item)]
    written: list[Any] = []
    for value in array:
        if value.values is None:
            written.append(None)
            continue
        keys, items = key.write(value.values.field(0)), item.write(value.values.field(1))
        written.append([list(pair) for pair in zip(keys, items, strict=True)])
    return written


def _tensor(type_: Any) -> Wire:
    inner = wires.wire_of(pa.field("", type_.value_type))
    size = math.prod(type_.shape)
    form: Any = inner.form
    for length in reversed(type_.shape):
        form = Annotated[wires.array_of(form), msgspec.Meta(min_length=length, max_length=length)]

    def read(values: Values) -> pa.Array:
        flat = list(values)
        for _ in type_.shape:
            flat = [element for value in flat for element in value]
        storage = pa.FixedSizeListArray.from_arrays(inner.read(flat), size)
        return pa.ExtensionArray.from_storage(type_, storage.cast(type_.storage_type))

    def write(array: pa.Array | pa.ChunkedArray) -> list[Any]:
        chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
        return [value for chunk in chunks for value in chunk.to_numpy_ndarray().tolist()]

    shape = " x ".join(map(str, type_.shape))
    return Wire(
        form=form,
        expected=f"nested arrays of {shape}, each element {inner.expected}",
        read=read,
        write=write,
    )
