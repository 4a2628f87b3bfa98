"""What training data looked like: mergeable sketches, and the figures read off them.

Quantiles come from KLL sketches (Karnin, Lang, Liberty 2016) and distinct counts from
HyperLogLog, both as in Apache DataSketches; no raw values are kept but the most
frequent ones of text columns.
"""

from __future__ import annotations

import base64
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from model_envelope.runtime import inputs, schemas

QUANTILES = tuple(i / 20 for i in range(21))
"""The ranks of the `quantiles` of a numeric column."""

TOP = 20
_KLL_K = 200  # ranks within 1.7 %, 99 % of the time
_HLL_LG_K = 12  # distinct counts within 3.3 %, 95 % of the time


def describe(table: pa.Table) -> dict[str, dict[str, Any]]:
    """Statistics of every column, plain enough for JSON.

    Returns:
        By column: `type`, `count` (rows) and `missing`; for numbers and times also `min`,
        `max`, `mean`, `std` (of the sample; times in seconds since 1970), `quantiles` at
        `QUANTILES` and `kll`, the sketch in base64; for text, booleans and categories
        `distinct` (estimated), `top` (value and count, most frequent first) and `hll`.
    """
    columns = zip(table.schema, table.columns, strict=True)
    return {field.name: _column(field.type, column) for field, column in columns}


def _column(type_: pa.DataType, column: pa.ChunkedArray) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": schemas.type_name(type_),
        "count": len(column),
        "missing": inputs.count_missing(column),
    }
    if pa.types.is_dictionary(type_):
        column = column.cast(type_.value_type)
    if body["missing"] == body["count"]:
        return body
    numbers = _numbers(column)
    if numbers is not None:
        return body | _numeric(numbers)
    if _is_text(column.type):
        return body | _categorical(column)
    return body


def _numbers(column: pa.ChunkedArray) -> Any | None:
    """Finite values as doubles, or None where the column has no numbers."""
    type_ = column.type
    if pa.types.is_timestamp(type_) or pa.types.is_date(type_):
        # Doubles are exact for whole microseconds from 1684 to 2255, and near enough for 9999.
        micros = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
        column = pc.divide(micros.cast(pa.float64(), safe=False), 1e6)
    elif pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        column = column.cast(pa.float64(), safe=False)
    else:
        return None
    valid = column.drop_null()
    return valid.filter(pc.is_finite(valid)).to_numpy().copy()  # the sketch wants it writable


def _numeric(values: Any) -> dict[str, Any]:
    from datasketches import kll_doubles_sketch

    if not len(values):
        return {}
    sketch = kll_doubles_sketch(_KLL_K)
    sketch.update(values)
    return {
        "min": float(values.min()),
        "max": float(values.max()),
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        "quantiles": [float(q) for q in sketch.get_quantiles(QUANTILES)],
        "kll": base64.b64encode(sketch.serialize()).decode(),
    }


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_boolean(type_))


def _categorical(column: pa.ChunkedArray) -> dict[str, Any]:
    from datasketches import hll_sketch

    counts = column.cast(pa.string()).drop_null().value_counts()
    values, numbers = counts.field("values"), counts.field("counts")
    sketch = hll_sketch(_HLL_LG_K)
    for value in values.to_pylist():
        sketch.update(value)
    order = pc.sort_indices(numbers, sort_keys=[("", "descending")])[:TOP]
    return {
        "distinct": round(sketch.get_estimate()),
        "top": [
            [value[:200], count]
            for value, count in zip(
                values.take(order).to_pylist(), numbers.take(order).to_pylist(), strict=True
            )
        ],
        "hll": base64.b64encode(sketch.serialize_compact()).decode(),
    }
