"""What many models measured, as columns: tags, last values, hyperparameters."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import compress
from typing import Any

from sqlalchemy import Column, Connection, Table, and_, func, select

from model_envelope.store import tag_sql
from model_envelope.store.tables import envelope, hyperparameter, metric, metric_latest, tag
from model_envelope.tag_query import TagQuery

FEW = 500
"""Models that a statement names one by one; of more, all values of a name are read."""

MAX_PROJECTIONS = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Matches:
    """Models that match a query, in the order of saving: lists of one length.

    Attributes:
        tags: by key; None for models without the tag.
        metrics: last values by name; None for models that have none, NaN and infinities as
            they were logged.
        hyperparameters: by name; None for models without it.
    """

    revisions: list[int]
    ids: list[str]
    saved_at: list[datetime]
    tags: Mapping[str, list[str | None]]
    metrics: Mapping[str, list[float | None]]
    hyperparameters: Mapping[str, list[Any]]

    def __len__(self) -> int:
        return len(self.ids)

    def between(self, since: datetime | None, until: datetime | None) -> Matches:
        """Those that were saved at `since` or later, and before `until`."""
        kept = [
            (since is None or at >= since) and (until is None or at < until) for at in self.saved_at
        ]
        if all(kept):
            return self

        def columns(found: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
            return {name: list(compress(values, kept)) for name, values in found.items()}

        return replace(
            self,
            revisions=list(compress(self.revisions, kept)),
            ids=list(compress(self.ids, kept)),
            saved_at=list(compress(self.saved_at, kept)),
            tags=columns(self.tags),
            metrics=columns(self.metrics),
            hyperparameters=columns(self.hyperparameters),
        )


def matches(
    connection: Connection,
    query: TagQuery,
    *,
    tags: Sequence[str] = (),
    metrics: Collection[str] = (),
    hyperparameters: Collection[str] = (),
) -> Matches:
    """Every match with some of what is known of it."""
    columns: list[Any] = [envelope.c.revision, envelope.c.id, envelope.c.created_at]
    source: Any = envelope
    for i, key in enumerate(tags):
        one = tag.alias(f"tag_{i}")
        joined = and_(one.c.envelope_id == envelope.c.id, one.c.key == key)
        source = source.outerjoin(one, joined)
        columns.append(one.c.value)
    chosen = select(*columns).select_from(source).where(tag_sql.narrowed(query, connection))
    rows = connection.execute(chosen.order_by(envelope.c.revision)).all()
    revisions, ids, saved_at, *values = (
        map(list, zip(*rows, strict=True)) if rows else ([[] for _ in columns])
    )
    return Matches(
        revisions=revisions,
        ids=ids,
        saved_at=saved_at,
        tags=dict(zip(tags, values, strict=True)),
        metrics=_values(connection, metric_latest, ids, metrics, nothing=math.nan),
        hyperparameters=_values(connection, hyperparameter, ids, hyperparameters),
    )


def _values(
    connection: Connection,
    table: Table,
    ids: Sequence[str],
    names: Collection[str],
    nothing: float | None = None,
) -> dict[str, list[Any]]:
    """A column for each name; `nothing` stands for a NULL that was recorded."""
    places = {envelope_id: i for i, envelope_id in enumerate(ids)}
    found: dict[str, list[Any]] = {name: [None] * len(ids) for name in names}
    if not names or not ids:
        return found
    chosen = select(table.c.envelope_id, table.c.name, table.c.value)
    chosen = chosen.where(table.c.name.in_(list(names)), *_among(table.c.envelope_id, ids))
    for envelope_id, name, value in connection.execute(chosen):
        place = places.get(envelope_id)
        if place is not None:
            found[name][place] = nothing if value is None else value
    return found


def _among(column: Column[Any], ids: Sequence[str]) -> tuple[Any, ...]:
    return (column.in_(ids),) if len(ids) <= FEW else ()


def projections(connection: Connection, name: str) -> tuple[str, ...]:
    """The scalar metrics that a name stands for: itself, or those of a structured metric."""
    own = select(metric_latest.c.name).where(metric_latest.c.name == name).limit(1)
    if connection.scalar(own) is not None:
        return (name,)
    structured = select(metric.c.name).where(metric.c.name == name).limit(1)
    if connection.scalar(structured) is None:
        return ()
    below = metric_latest.c.name.startswith(f"{name}.", autoescape=True)
    chosen = select(metric_latest.c.name).where(below).distinct().limit(MAX_PROJECTIONS)
    return tuple(sorted(connection.scalars(chosen)))


def newest(connection: Connection, query: TagQuery, name: str) -> datetime | None:
    """When the newest match was saved that has a scalar metric."""
    last = metric_latest.alias("last")
    chosen = (
        select(func.max(envelope.c.created_at))
        .join_from(last, envelope, envelope.c.id == last.c.envelope_id)
        .where(tag_sql.narrowed(query, connection), last.c.name == name)
    )
    found: datetime | None = connection.scalar(chosen)
    return found
