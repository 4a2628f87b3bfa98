"""What the data was that a model was trained on, beside another model's."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from model_envelope.statistics import QUANTILES
from model_envelope.web.shapes.models import Number, number

BINS = 20
SHOWN = ("p5", "p25", "p50", "p75", "p95")
"""Quantiles that are sent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Histogram:
    """`counts[i]` values from `edges[i]` to `edges[i + 1]`, estimated to about 2 %."""

    edges: Sequence[float]
    counts: Sequence[int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Frequent:
    """A value, and how often it is."""

    value: str
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnStatistics:
    """What a column held.

    Numbers have `min` to `histogram`; times, too, in seconds since 1970, UTC. Texts have
    `distinct`, an estimate, and `top`.

    Attributes:
        count: rows.
        nulls: rows without a value; `missing_share` of all.
        against: the same column of the other model; null where that has none.
    """

    name: str
    type: str
    count: int
    nulls: int
    missing_share: float
    min: Number = None
    max: Number = None
    mean: Number = None
    std: Number = None
    quantiles: Mapping[str, float] | None = None
    histogram: Histogram | None = None
    distinct: int | None = None
    top: Sequence[Frequent] | None = None
    against: ColumnStatistics | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SideStatistics:
    """The columns of what goes in, or comes out; `against` is the other model's id."""

    against: str | None
    columns: Sequence[ColumnStatistics]


Described = Mapping[str, Mapping[str, Any]]
"""Statistics by column, as `statistics.describe` gives them."""


def statistics(described: Described, other: Described) -> list[ColumnStatistics]:
    """Every column with the other's; histograms of one column share their edges."""
    return [_pair(name, column, other.get(name)) for name, column in described.items()]


def _pair(name: str, mine: Mapping[str, Any], other: Mapping[str, Any] | None) -> ColumnStatistics:
    edges = _edges([column for column in (mine, other) if column and "kll" in column])
    against = None if other is None else _column(name, other, edges)
    return _column(name, mine, edges, against)


def _column(
    name: str,
    body: Mapping[str, Any],
    edges: Sequence[float],
    against: ColumnStatistics | None = None,
) -> ColumnStatistics:
    count, missing = body["count"], body["missing"]
    return ColumnStatistics(
        name=name,
        type=body["type"],
        count=count,
        nulls=missing,
        missing_share=missing / count if count else 0.0,
        min=number(body.get("min")),
        max=number(body.get("max")),
        mean=number(body.get("mean")),
        std=number(body.get("std")),
        quantiles=_quantiles(body.get("quantiles")),
        histogram=_histogram(body, edges),
        distinct=body.get("distinct"),
        top=[Frequent(value=value, count=n) for value, n in body["top"]] if "top" in body else None,
        against=against,
    )


def _quantiles(values: Sequence[float] | None) -> dict[str, float] | None:
    if not values:
        return None
    named = {f"p{rank * 100:.0f}": value for rank, value in zip(QUANTILES, values, strict=True)}
    return {name: named[name] for name in SHOWN}


def _edges(columns: Sequence[Mapping[str, Any]]) -> list[float]:
    """Bins of one width over all that there is; one bin where that is one value."""
    if not columns:
        return []
    least, most = min(c["min"] for c in columns), max(c["max"] for c in columns)
    edges = [least + (most - least) * (i / BINS) for i in range(BINS)] + [most]
    return edges if all(a < b for a, b in pairwise(edges)) else [least, most]


def _histogram(body: Mapping[str, Any], edges: Sequence[float]) -> Histogram | None:
    """Read off the sketch, which is data: nothing of it is executed."""
    if "kll" not in body:
        return None
    from datasketches import kll_doubles_sketch

    sketch = kll_doubles_sketch.deserialize(base64.b64decode(body["kll"]))
    shares = sketch.get_pmf(edges[1:-1]) if len(edges) > 2 else [1.0]
    return Histogram(edges=edges, counts=[round(share * sketch.n) for share in shares])
