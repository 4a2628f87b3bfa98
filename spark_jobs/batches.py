"""How many rows go to the model at once: as many as keep the cost of a call small."""

from __future__ import annotations

import pyarrow as pa

_BATCH_BYTES = 24 << 20
_TEXT_BYTES = 64
_LIST_ITEMS = 8


def rows_at_once(schema: pa.Schema, limit: int, bytes_per_row: float = 0.0) -> int:
    """Rows of a batch: at most `limit`, and about 24 MB of them.

    Args:
        schema: of the batch.
        limit: what the user allows.
        bytes_per_row: what is known from the files, if anything.
    """
    width = max(bytes_per_row, sum(_width(field.type) for field in schema), 1.0)
    return int(max(1, min(limit, _BATCH_BYTES / width)))


def has_fixed_width(schema: pa.Schema) -> bool:
    """Whether no value can be longer than another."""
    return all(_is_fixed(field.type) for field in schema)


def _is_fixed(type_: pa.DataType) -> bool:
    try:
        return bool(type_.bit_width)
    except ValueError:
        return False


def _width(type_: pa.DataType) -> float:
    if _is_fixed(type_):
        return type_.bit_width / 8  # type: ignore[no-any-return]
    if pa.types.is_struct(type_):
        return sum(_width(field.type) for field in type_)
    if pa.types.is_list(type_):
        return _LIST_ITEMS * _width(type_.value_type)
    return _TEXT_BYTES
