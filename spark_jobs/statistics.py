"""Statistics of rows as they pass: exact where that merges, sampled where it does not.

Counts, missing values, extremes, mean and standard deviation are exact. Quantiles and
frequent values come from an even sample of every task's rows. Only pyarrow is needed,
since this runs in the model's environment, and each batch is seen once, while it is warm.
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

RANKS = tuple(i / 20 for i in range(21))
"""The ranks of `quantiles`: those of the statistics that are saved with a model."""

TOP = 20
_TEXT = 200
_SHORT = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_boolean,
)


@dataclass(slots=True)
class Moments:
    """Of the finite values of a column; times are seconds since 1970."""

    number: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    def add(self, other: Moments) -> None:
        """Count the values of `other` too (Chan, Golub, LeVeque 1983)."""
        if not other.number:
            return
        total = self.number + other.number
        apart = other.mean - self.mean
        self.squares += other.squares + apart * apart * self.number * other.number / total
        self.mean += apart * other.number / total
        self.number = total
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)


@dataclass(slots=True)
class ColumnStatistics:
    """What is known of one column; plain enough to be pickled."""

    type: str
    count: int = 0
    missing: int = 0
    moments: Moments = field(default_factory=Moments)

    def add(self, other: ColumnStatistics) -> None:
        """Count the rows of `other` too."""
        self.count += other.count
        self.missing += other.missing
        self.moments.add(other.moments)


@dataclass(slots=True)
class Sample:
    """Every `stride`-th row of a task: `weight` rows stand behind each of them.

    `values` are floats or texts by column, without those that are missing; columns of
    other types have none.
    """

    values: dict[str, pa.Array]
    weight: float


class TableStatistics:
    """Statistics of the batches of one task.

    Args:
        names: the columns to describe.
        sample_rows: about so many rows are kept for quantiles.
    """

    def __init__(self, names: Sequence[str], sample_rows: int) -> None:
        self.columns: dict[str, ColumnStatistics] = {}
        self._names = list(names)
        self._sample_rows = max(1, sample_rows)
        self._sampled: list[pa.Table] = []
        self._stride = 0
        self._rows = 0

    def update(self, table: pa.Table) -> None:
        """Count a batch."""
        for name in self._names:
            column = table.column(name)
            found = _describe(column)
            known = self.columns.setdefault(name, ColumnStatistics(type=str(column.type)))
            known.add(found)
        self._take_sample(table.select(self._names))

    def sample(self) -> Sample:
        """The rows kept, with their weight."""
        if not self._sampled:
            return Sample(values={}, weight=0.0)
        table = pa.concat_tables(self._sampled)
        return Sample(
            values={name: _plain(table.column(name)) for name in self._names},
            weight=self._rows / table.num_rows,
        )

    def _take_sample(self, table: pa.Table) -> None:
        rows = table.num_rows
        if not rows:
            return
        self._stride = self._stride or max(1, rows // self._sample_rows)
        first = -self._rows % self._stride
        self._sampled.append(_every(table, self._stride, first))
        self._rows += rows
        while sum(kept.num_rows for kept in self._sampled) > 2 * self._sample_rows:
            self._sampled = [_every(pa.concat_tables(self._sampled), 2)]
            self._stride *= 2


def summary(columns: dict[str, ColumnStatistics], samples: Iterable[Sample]) -> dict[str, Any]:
    """Statistics by column, plain enough for JSON.

    Returns:
        `type`, `count` and `missing`; for numbers and times also `min`, `max`, `mean`,
        `std` and `quantiles` at `RANKS`; for texts and booleans `top`, the most frequent
        values with their estimated counts. The forms are those of `Manifest.statistics`.
    """
    kept = list(samples)
    return {name: _summary(name, found, kept) for name, found in columns.items()}


def _describe(column: pa.ChunkedArray) -> ColumnStatistics:
    found = ColumnStatistics(type="", count=len(column), missing=column.null_count)
    numbers = _numbers(column)
    if numbers is None or found.missing == found.count:
        return found
    mean = pc.mean(numbers).as_py()
    if not math.isfinite(mean):
        found.missing += pc.sum(pc.is_nan(numbers)).as_py() or 0
        numbers = numbers.filter(pc.is_finite(numbers))
        mean = pc.mean(numbers).as_py()
    number = len(numbers) - numbers.null_count
    if number:
        squares = pc.variance(numbers, ddof=0).as_py() * number
        found.moments = Moments(number, mean, squares, *_extremes(numbers))
    return found


def _extremes(numbers: pa.ChunkedArray) -> tuple[float, float]:
    """Least and greatest of finite floats.

    IEEE 754 numbers are in the order of their bits read as integers, the negative ones in
    reverse. Arrow's integer kernel is several times faster than its float kernel, which
    cost more than everything else here together.
    """
    wide = pa.types.is_float64(numbers.type)
    signed = _min_max(numbers, pa.int64() if wide else pa.int32())
    unsigned = _min_max(numbers, pa.uint64() if wide else pa.uint32())
    low = unsigned[1] if signed[0] < 0 else signed[0]
    high = unsigned[0] if signed[1] < 0 else signed[1]
    integer, real = ("<Q", "<d") if wide else ("<I", "<f")
    mask = (1 << (64 if wide else 32)) - 1
    low, high = (struct.unpack(real, struct.pack(integer, bits & mask))[0] for bits in (low, high))
    return low, high


def _min_max(numbers: pa.ChunkedArray, bits: pa.DataType) -> tuple[int, int]:
    views = pa.chunked_array([chunk.view(bits) for chunk in numbers.chunks], bits)
    ends = pc.min_max(views)
    return ends["min"].as_py(), ends["max"].as_py()


def _numbers(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    types, type_ = pa.types, column.type
    if types.is_float64(type_) or types.is_float32(type_):
        return column
    if types.is_timestamp(type_) or types.is_date(type_):
        zone = getattr(type_, "tz", None)
        micros = column.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
        return pc.divide(micros.cast(pa.float64(), safe=False), 1e6)
    if types.is_integer(type_) or types.is_decimal(type_) or types.is_float16(type_):
        return column.cast(pa.float64(), safe=False)
    return None


def _every(table: pa.Table, stride: int, first: int = 0) -> pa.Table:
    if stride == 1:
        return table
    return table.take(pa.array(range(first, table.num_rows, stride), pa.int64()))


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """What `Sample` keeps of a column."""
    numbers = _numbers(column)
    if numbers is not None:
        numbers = numbers.cast(pa.float64())
        return numbers.filter(pc.is_finite(numbers)).combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if any(is_a(column.type) for is_a in _SHORT):
        texts = column.cast(pa.string()).drop_null()
        return pc.utf8_slice_codeunits(texts, 0, _TEXT).combine_chunks()
    return pa.array([], pa.null())


def _summary(name: str, found: ColumnStatistics, samples: list[Sample]) -> dict[str, Any]:
    body: dict[str, Any] = {"type": found.type, "count": found.count, "missing": found.missing}
    moments = found.moments
    values, weights = _weighted(name, samples)
    if moments.number:
        body |= {
            "min": moments.low,
            "max": moments.high,
            "mean": moments.mean,
            "std": math.sqrt(moments.squares / max(1, moments.number - 1)),
            "quantiles": _quantiles(values, weights, moments),
        }
    elif len(values) and pa.types.is_string(values.type):
        body["top"] = _top(values, weights)
    return body


def _weighted(name: str, samples: list[Sample]) -> tuple[pa.Array, pa.Array]:
    """The sampled values of a column, and how many rows stand behind each."""
    found = [(sample.values[name], sample.weight) for sample in samples if name in sample.values]
    if not found:
        return pa.array([], pa.null()), pa.array([], pa.float64())
    weights = [pa.repeat(weight, len(values)) for values, weight in found]
    return pa.concat_arrays([values for values, _ in found]), pa.concat_arrays(weights)


def _quantiles(values: pa.Array, weights: pa.Array, moments: Moments) -> list[float]:
    if not len(values):  # all that were sampled are missing
        return [moments.low, *[moments.mean] * len(RANKS[1:-1]), moments.high]
    order = pc.sort_indices(values)
    ordered = values.take(order).to_pylist()
    passed = pc.cumulative_sum(weights.take(order)).to_pylist()
    within = [
        ordered[min(bisect_left(passed, rank * passed[-1]), len(ordered) - 1)]
        for rank in RANKS[1:-1]
    ]
    return [moments.low, *within, moments.high]


def _top(values: pa.Array, weights: pa.Array) -> list[list[Any]]:
    table = pa.table({"value": values, "weight": weights})
    counts = table.group_by("value", use_threads=False).aggregate([("weight", "sum")])
    counts = counts.sort_by([("weight_sum", "descending"), ("value", "ascending")])
    return [[row["value"], round(row["weight_sum"])] for row in counts.slice(0, TOP).to_pylist()]
