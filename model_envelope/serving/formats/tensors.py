"""Tensors of the Open Inference Protocol as Arrow arrays, and the other way round."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from model_envelope.runtime import schemas
from model_envelope.serving.formats.refusals import Problems, excerpt, problem, unfit
from model_envelope.serving.formats.rows import decode, whole
from model_envelope.serving.formats.wires import REFUSED, Wire, array_of, wire_of

BYTES = "BYTES"
BINARY_SIZE = "binary_data_size"

TYPES = {
    "BOOL": pa.bool_(),
    "UINT8": pa.uint8(),
    "UINT16": pa.uint16(),
    "UINT32": pa.uint32(),
    "UINT64": pa.uint64(),
    "INT8": pa.int8(),
    "INT16": pa.int16(),
    "INT32": pa.int32(),
    "INT64": pa.int64(),
    "FP16": pa.float16(),
    "FP32": pa.float32(),
    "FP64": pa.float64(),
    BYTES: pa.string(),
}
_NAMES = {type_: name for name, type_ in TYPES.items()}
_WIRES = {name: wire_of(pa.field("", type_)) for name, type_ in TYPES.items()}
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor with its elements in a row-major array; raw bytes if BYTES came in binary."""

    name: str
    datatype: str
    shape: list[int]
    values: pa.Array

    @property
    def width(self) -> int:
        """Elements of one row."""
        return math.prod(self.shape[1:])

    def text(self) -> pa.Array:
        """BYTES as strings.

        Raises:
            BadRequest: they are no UTF-8.
        """
        try:
            return self.values.cast(pa.string())
        except pa.ArrowInvalid as error:
            raise unfit([problem(self.name, None, "UTF-8", "other bytes")]) from error


def datatype_of(type_: pa.DataType) -> str:
    """The datatype of a column's elements; `BYTES` for all that is no number."""
    if pa.types.is_dictionary(type_):
        return datatype_of(type_.value_type)
    if holds_numbers(type_):
        return datatype_of(type_.value_type)
    return _NAMES.get(type_, BYTES)


def holds_numbers(type_: pa.DataType) -> bool:
    """Whether each value is an array of numbers: a tensor of its own."""
    if isinstance(type_, pa.FixedShapeTensorType):
        return True
    is_list = pa.types.is_list(type_) or pa.types.is_fixed_size_list(type_)
    return is_list and _NAMES.get(type_.value_type, BYTES) != BYTES


def described(field: pa.Field) -> dict[str, Any]:
    """A column in a model's metadata."""
    shape = [-1]
    if isinstance(field.type, pa.FixedShapeTensorType):
        shape += field.type.shape
    elif holds_numbers(field.type):
        shape.append(-1)
    return {"name": field.name, "datatype": datatype_of(field.type), "shape": shape}


def from_json(name: str, datatype: str, shape: list[int], data: bytes | msgspec.Raw) -> Tensor:
    """A tensor from its JSON `data`, flat or nested.

    Raises:
        BadRequest: an element is of another type, or there are not as many as `shape` says.
    """
    wire = _wire(name, datatype)
    try:
        values = msgspec.json.decode(data, type=array_of(wire.form | None))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        values = _converted(name, datatype, wire, _flat(decode(data)))
    return _checked(name, datatype, shape, wire.read(values))


def from_bytes(name: str, datatype: str, shape: list[int], data: bytes) -> Tensor:
    """A tensor from its binary form.

    Raises:
        BadRequest: there are not as many bytes as `shape` says.
    """
    _wire(name, datatype)
    type_ = TYPES[datatype]
    if datatype == BYTES:
        return _checked(name, datatype, shape, _split(name, data))
    stored = pa.uint8() if datatype == "BOOL" else type_
    count, rest = divmod(len(data), stored.bit_width // 8)
    if rest:
        raise unfit([problem(name, None, f"elements of {datatype}", f"{len(data)} bytes")])
    values = pa.Array.from_buffers(stored, count, [None, pa.py_buffer(data)])
    return _checked(name, datatype, shape, values.cast(type_))


def to_column(tensor: Tensor, type_: pa.DataType, wire: Wire, expected: str) -> pa.Array:
    """One value for each row; the column's own type where `BYTES` stand for it.

    Raises:
        BadRequest: shape or text are not the column's.
    """
    is_array = holds_numbers(type_)
    try:
        if tensor.datatype != BYTES and is_array:
            return _as_arrays(tensor, type_)
        if tensor.width != 1:
            raise unfit([problem(tensor.name, None, "shape [n] or [n, 1]", f"{tensor.shape}")])
        if tensor.datatype != BYTES or not (is_array or datatype_of(type_) == BYTES):
            return tensor.values
        if "binary" in str(type_) and pa.types.is_binary(tensor.values.type):
            return tensor.values.cast(type_)
    except pa.ArrowInvalid as error:
        raise unfit([problem(tensor.name, None, expected, str(error))]) from error
    texts = tensor.text()
    return texts if type_ == pa.string() else _parsed(tensor.name, texts, type_, wire, expected)


def to_bytes(column: pa.ChunkedArray, wire: Wire) -> bytes | None:
    """A column in binary; None where it has missing values that binary cannot show."""
    elements = _elements(column)
    if elements is None or datatype_of(column.type) == BYTES:
        texts = _texts(column, wire)
        if None in texts:
            return None
        raw = [text if isinstance(text, bytes) else text.encode() for text in texts]
        return b"".join(part for item in raw for part in (_LENGTH.pack(len(item)), item))
    if pa.types.is_floating(elements.type):
        elements = pc.fill_null(elements, pa.scalar(float("nan"), elements.type))
    if elements.null_count:
        return None
    if pa.types.is_boolean(elements.type):
        elements = elements.cast(pa.uint8())
    width = elements.type.bit_width // 8
    start = elements.offset * width
    return bytes(memoryview(elements.buffers()[1])[start : start + len(elements) * width])


def to_json(name: str, column: pa.ChunkedArray, wire: Wire, *, data: bool) -> dict[str, Any]:
    """A column as an output tensor, with its elements or (binary) without."""
    elements = _elements(column)
    rows = len(column)
    if elements is None:
        found: dict[str, Any] = {"name": name, "datatype": BYTES, "shape": [rows]}
        return found | ({"data": _texts(column, wire)} if data else {})
    shape = [rows]
    if isinstance(column.type, pa.FixedShapeTensorType):
        shape += column.type.shape
    elif holds_numbers(column.type):
        shape.append(len(elements) // max(rows, 1))
    datatype = datatype_of(column.type)
    found = {"name": name, "datatype": datatype, "shape": shape}
    if not data:
        return found
    if datatype == BYTES:
        return found | {"data": _texts(column, wire)}
    return found | {"data": _WIRES[datatype].write(elements)}


def _wire(name: str, datatype: str) -> Wire:
    wire = _WIRES.get(datatype)
    if wire is None:
        raise unfit([problem(name, None, f"one of {', '.join(TYPES)}", excerpt(datatype))])
    return wire


def _checked(name: str, datatype: str, shape: list[int], values: pa.Array) -> Tensor:
    if 0 in shape[1:] and shape[0]:
        # Any number of rows would fit such a shape.
        raise unfit([problem(name, None, "elements in every row", f"shape {shape}")])
    if len(values) != math.prod(shape):
        expected = f"{math.prod(shape)} elements for the shape {shape}"
        raise unfit([problem(name, None, expected, str(len(values)))])
    return Tensor(name, datatype, shape, values)


def _flat(values: Any, depth: int = 8) -> list[Any]:
    if not isinstance(values, list):
        return [values]
    if depth and any(isinstance(value, list) for value in values):
        return list(itertools.chain.from_iterable(_flat(value, depth - 1) for value in values))
    return values


def _converted(name: str, datatype: str, wire: Wire, values: Iterable[Any]) -> list[Any]:
    found, problems = [], Problems()
    for i, value in enumerate(values):
        try:
            found.append(msgspec.convert(whole(value), wire.form | None))
        except msgspec.ValidationError:
            problems.add(name, i, f"{datatype}, {wire.expected}", excerpt(value))
    problems.raise_if_any()
    return found


def _split(name: str, data: bytes) -> pa.Array:
    """Elements with their lengths before them."""
    found, at = [], 0
    while at < len(data):
        start = at + _LENGTH.size
        at = start + _LENGTH.unpack_from(data, at)[0] if start <= len(data) else len(data) + 1
        if at > len(data):
            raise unfit([problem(name, None, "elements with their lengths", "a cut off one")])
        found.append(data[start:at])
    return pa.array(found, pa.binary())


def _as_arrays(tensor: Tensor, type_: pa.DataType) -> pa.Array:
    """A tensor as a column of arrays. ArrowInvalid if its lengths are not the column's."""
    element, given = type_.value_type, tensor.values.type
    if not schemas.accepts(element, given):
        raise unfit([problem(tensor.name, None, f"elements of {element}", f"{given}")])
    values = tensor.values.cast(element)
    if isinstance(type_, pa.FixedShapeTensorType):
        if tensor.shape[1:] != type_.shape:
            shape = ", ".join(map(str, ["n", *type_.shape]))
            raise unfit([problem(tensor.name, None, f"shape [{shape}]", f"{tensor.shape}")])
        storage = pa.FixedSizeListArray.from_arrays(values, math.prod(type_.shape))
        return pa.ExtensionArray.from_storage(type_, storage.cast(type_.storage_type))
    if len(tensor.shape) != 2:
        raise unfit([problem(tensor.name, None, "shape [n, m]", f"{tensor.shape}")])
    rows, width = tensor.shape
    offsets = pa.array([width * i for i in range(rows + 1)], pa.int32())
    return pa.ListArray.from_arrays(offsets, values).cast(type_)


def _parsed(name: str, texts: pa.Array, type_: pa.DataType, wire: Wire, expected: str) -> pa.Array:
    """Text as JSON has it: a string's content, or the JSON of what is no string there."""
    is_json = holds_numbers(type_) or pa.types.is_nested(type_)
    values, problems = [], Problems()
    for row, text in enumerate(texts.to_pylist()):
        try:
            if is_json and text is not None:
                value = msgspec.json.decode(text, type=wire.form)
            else:
                value = msgspec.convert(text, wire.form | None)
            wire.read([value])
            values.append(value)
        except (*REFUSED, msgspec.MsgspecError, RecursionError):
            problems.add(name, row, expected, excerpt(text))
    problems.raise_if_any()
    return wire.read(values)


def _elements(column: pa.ChunkedArray) -> pa.Array | None:
    """All elements of a column of numbers or strings in one array; None for others."""
    array = column.combine_chunks()
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if isinstance(array.type, pa.FixedShapeTensorType):
        return array.storage.flatten()
    if not holds_numbers(array.type):
        return array if array.type in _NAMES else None
    lengths = set(array.value_lengths().to_pylist())
    return array.flatten() if len(lengths) <= 1 and not lengths & {0, None} else None


def _texts(column: pa.ChunkedArray, wire: Wire) -> list[Any]:
    return [
        value
        if value is None or isinstance(value, (str, bytes))
        else msgspec.json.encode(value).decode()
        for value in wire.write(column)
    ]
