"""Points of many models over steps or time: each one, or quartiles of buckets.

Which models and which series is settled by then, so the database is told numbers only.
PostgreSQL sorts and reduces a million points where they are; SQLite has no percentiles, so
its numbers are reduced here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    any_,
    cast,
    func,
    literal,
    select,
    text,
)

from model_envelope.store.tables import metric

Place = Literal["step", "at"]

SHARES = (0.25, 0.5, 0.75)

SORT_MEMORY = "96MB"
"""What PostgreSQL may use to sort a million points; its default of 4 MB goes to disk."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Reduced = tuple[int, int, int, Sequence[float]]
"""Series, bucket, count, quartiles."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Points of one metric.

    Attributes:
        name: of the scalar metric.
        place: what they are ordered by.
        since: measured at this time or later.
        until: measured before this time.
    """

    name: str
    place: Place
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """What a model logged of one metric: how much, and from which place to which."""

    revision: int
    points: int
    finite: int
    low: Any
    high: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Bucket:
    """Quartiles of the finite points of a series from a place on, to the next bucket."""

    series: int
    place: Any
    count: int
    p25: float
    median: float
    p75: float


def extents(connection: Connection, span: Span, revisions: Sequence[int]) -> list[Extent]:
    """How much each model logged; those that logged nothing are left out."""
    place = metric.c[span.place]
    chosen = select(
        metric.c.envelope_revision,
        func.count(),
        func.count(metric.c.value),
        func.min(place),
        func.max(place),
    )
    of_models = chosen.where(*_those(connection, span, revisions), metric.c.type == "scalar")
    return [
        Extent(revision=revision, points=points, finite=finite, low=low, high=high)
        for revision, points, finite, low, high in connection.execute(
            of_models.group_by(metric.c.envelope_revision)
        )
    ]


def points(
    connection: Connection, span: Span, revisions: Sequence[int]
) -> list[tuple[int, Any, float]]:
    """Revision, place and value of each finite point, by model and place."""
    place = metric.c[span.place]
    chosen = select(metric.c.envelope_revision, place, metric.c.value)
    finite = chosen.where(*_those(connection, span, revisions), metric.c.value.is_not(None))
    ordered = finite.order_by(metric.c.envelope_revision, place)
    return [(revision, at, value) for revision, at, value in connection.execute(ordered)]


def buckets(
    connection: Connection, span: Span, series: Mapping[int, int], first: int, width: int
) -> list[Bucket]:
    """Quartiles of each series in buckets of equal width.

    Args:
        connection: in a transaction.
        span: which points.
        series: the number of each model's series, from 0 on, by the model's revision.
        first: where the first bucket begins: a step, or seconds since 1970.
        width: of a bucket, likewise.
    """
    if not series:
        return []
    reduce = _in_postgres if connection.dialect.name == "postgresql" else _in_memory
    return [
        Bucket(
            series=number,
            place=first + i * width if span.place == "step" else _moment(first + i * width),
            count=count,
            p25=p25,
            median=median,
            p75=p75,
        )
        for number, i, count, (p25, median, p75) in reduce(connection, span, series, first, width)
    ]


def _in_postgres(
    connection: Connection, span: Span, series: Mapping[int, int], first: int, width: int
) -> list[_Reduced]:
    place: ColumnElement[Any] = metric.c.step
    if span.place == "at":
        place = cast(func.floor(func.date_part("epoch", metric.c.at)), BigInteger)
    # One small number for bucket and series is what a million points are sorted by. A series is
    # looked up in an array: PostgreSQL would join a list of numbers in the wrong order, since
    # it has no statistics of it.
    low, n_series = min(series), max(series.values()) + 1
    numbers = [0] * (max(series) - low + 1)
    for revision, number in series.items():
        numbers[revision - low] = number
    listed = select(literal(numbers, ARRAY(Integer))).scalar_subquery()
    key = (place - first) // width * n_series + listed[metric.c.envelope_revision - (low - 1)]
    three = func.percentile_cont(literal(list(SHARES), ARRAY(metric.c.value.type)))
    chosen = select(key.label("key"), func.count(), three.within_group(metric.c.value))
    finite = chosen.where(
        *_those(connection, span, list(series)), metric.c.value.is_not(None)
    ).group_by(text("key"))
    connection.execute(text(f"SET LOCAL work_mem = '{SORT_MEMORY}'"))
    connection.execute(text("SET LOCAL jit = off"))
    rows = connection.execute(finite)
    return sorted((found % n_series, found // n_series, n, values) for found, n, values in rows)


def _in_memory(
    connection: Connection, span: Span, series: Mapping[int, int], first: int, width: int
) -> list[_Reduced]:
    import numpy as np

    place: Any = metric.c.step
    if span.place == "at":
        place = cast(func.strftime("%s", metric.c.at), BigInteger)
    chosen = select(metric.c.envelope_revision, place, metric.c.value)
    finite = chosen.where(*_those(connection, span, list(series)), metric.c.value.is_not(None))
    rows = connection.execute(finite).all()
    if not rows:
        return []
    revisions, places, values = zip(*rows, strict=True)
    known = np.array(sorted(series))
    numbers = np.array([series[revision] for revision in known.tolist()])
    return quartiles(
        numbers[np.searchsorted(known, np.array(revisions))],
        (np.array(places) - first) // width,
        np.array(values, dtype=np.float64),
    )


def quartiles(series: Any, bucket: Any, values: Any) -> list[_Reduced]:
    """The quartiles of each series in each bucket, as PostgreSQL interpolates them.

    Args:
        series: (n,) integers.
        bucket: (n,) integers.
        values: (n,) finite numbers, at least one.
    """
    import numpy as np

    order = np.lexsort((values, bucket, series))
    series, bucket, values = series[order], bucket[order], values[order]
    begins = (series[1:] != series[:-1]) | (bucket[1:] != bucket[:-1])
    starts = np.flatnonzero(np.concatenate(([True], begins)))
    counts = np.diff(np.append(starts, len(values)))
    found = []
    for share in SHARES:
        below = np.floor(share * (counts - 1)).astype(np.int64)
        rest = share * (counts - 1) - below
        above = np.minimum(below + 1, counts - 1)
        # Not by the difference of the two, which may be infinite.
        found.append(values[starts + below] * (1 - rest) + values[starts + above] * rest)
    three = np.column_stack(found).tolist()
    return list(
        zip(series[starts].tolist(), bucket[starts].tolist(), counts.tolist(), three, strict=True)
    )


def _those(
    connection: Connection, span: Span, revisions: Sequence[int]
) -> tuple[ColumnElement[bool], ...]:
    """Points of some models within a span."""
    of = metric.c.envelope_revision
    if connection.dialect.name == "postgresql":
        conditions = [of == any_(literal(list(revisions), ARRAY(BigInteger)))]
    else:
        # A list of any length, as one parameter.
        listed = func.json_each(msgspec.json.encode(list(revisions)).decode())
        conditions = [of.in_(select(listed.table_valued("value").c.value))]
    conditions.append(metric.c.name == span.name)
    if span.since is not None:
        conditions.append(metric.c.at >= span.since)
    if span.until is not None:
        conditions.append(metric.c.at < span.until)
    return tuple(conditions)


def _moment(seconds: int) -> datetime:
    return EPOCH + timedelta(seconds=seconds)
