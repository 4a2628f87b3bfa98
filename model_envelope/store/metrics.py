"""Logged metrics and hyperparameters."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, ScalarSelect, and_, case, func, select

from model_envelope import names
from model_envelope.errors import InvalidInput
from model_envelope.store import changes, reading, tag_sql, tagging
from model_envelope.store.database import upsert
from model_envelope.store.rows import Inventory, MetricPoint
from model_envelope.store.tables import envelope, hyperparameter, metric, metric_latest, tag
from model_envelope.tag_query import TagQuery

Logged = tuple[str, int, Sequence[MetricPoint]]
"""Points of an envelope, with its id and revision."""

COLUMNS = ("envelope_id", "saved_at", "name", "step", "at", "type", "value", "body")


def log_many(
    connection: Connection, items: Mapping[str, Sequence[MetricPoint]], actor: str
) -> None:
    """Log points of several envelopes, all or none; a step that was logged is replaced.

    Raises:
        EnvelopeNotFound: one of the envelopes is not there.
        InvalidInput: a name or a value that cannot be kept.
    """
    items = {envelope_id: points for envelope_id, points in items.items() if points}
    if not items:
        return
    revisions = _lock(connection, items)
    insert_points(connection, [(i, revisions[i], points) for i, points in sorted(items.items())])
    logged = [
        (i, {"names": sorted({p.name for p in points})}) for i, points in sorted(items.items())
    ]
    moment = changes.tick(connection, len(logged))
    changes.append_all(connection, moment, "metrics", logged, actor)


def _lock(connection: Connection, ids: Collection[str]) -> Mapping[str, int]:
    chosen = select(envelope.c.id, envelope.c.revision).where(reading.live, envelope.c.id.in_(ids))
    rows = connection.execute(chosen.order_by(envelope.c.id).with_for_update(key_share=True))
    revisions = {row.id: row.revision for row in rows}
    for missing in set(ids) - set(revisions):
        raise reading.not_found(missing)
    return revisions


def insert_points(connection: Connection, logged: Iterable[Logged]) -> None:
    """Put points into the tables of all and of last values."""
    rows: dict[tuple[int, str, int], dict[str, Any]] = {}
    last: dict[tuple[str, str], dict[str, Any]] = {}
    for envelope_id, revision, points in logged:
        for point in points:
            rows[revision, point.name, point.step] = _row(envelope_id, revision, point)
            before = last.get((envelope_id, point.name))
            if point.type == "scalar" and (before is None or before["step"] <= point.step):
                last[envelope_id, point.name] = _last(envelope_id, point)
    if rows:
        upsert(connection, metric, list(rows.values()), ("at", "type", "value", "body"))
    if last:
        values = list(last.values())
        upsert(connection, metric_latest, values, ("step", "value"), in_order_of="step")


def _row(envelope_id: str, revision: int, point: MetricPoint) -> dict[str, Any]:
    if point.value is not None and not math.isfinite(point.value):
        raise InvalidInput(f"Metric {point.name!r}: {point.value} goes into the point's body.")
    return {
        "envelope_revision": revision,
        "name": names.check_metric_name(point.name),
        "step": point.step,
        "envelope_id": envelope_id,
        "at": point.at,
        "type": point.type,
        "value": point.value,
        "body": point.body,
    }


def _last(envelope_id: str, point: MetricPoint) -> dict[str, Any]:
    value = float(point.body or "nan") if point.value is None else point.value
    return {
        "envelope_id": envelope_id,
        "name": point.name,
        "step": point.step,
        "value": None if math.isnan(value) else value,
    }


def metric_rows(
    connection: Connection,
    *,
    query: TagQuery | None,
    names: Collection[str] | None,
    since: datetime | None,
    until: datetime | None,
    envelope_ids: Collection[str] | None,
    tags: Sequence[str],
) -> dict[str, list[Any]]:
    """Columns of the logged points: by envelope in the order of creation, name and step."""
    columns = {name: metric.c[name] for name in COLUMNS if name != "saved_at"}
    columns["saved_at"] = envelope.c.created_at
    source = metric.join(envelope, envelope.c.revision == metric.c.envelope_revision)
    for i, key in enumerate(tags):
        one = tag.alias(f"tag_{i}")
        of_envelope = and_(one.c.envelope_id == metric.c.envelope_id, one.c.key == key)
        source = source.outerjoin(one, of_envelope)
        columns[f"tag.{key}"] = one.c.value
    chosen = (
        select(*columns.values())
        .select_from(source)
        .where(reading.live if query is None else tag_sql.narrowed(query, connection))
        .order_by(metric.c.envelope_revision, metric.c.name, metric.c.step)
    )
    if names is not None:
        chosen = chosen.where(metric.c.name.in_(names))
    if envelope_ids is not None:
        chosen = chosen.where(envelope.c.id.in_(envelope_ids))
    if since is not None:
        chosen = chosen.where(metric.c.at >= since)
    if until is not None:
        chosen = chosen.where(metric.c.at < until)
    found = list(zip(*connection.execute(chosen).all(), strict=True)) or [()] * len(columns)
    return {name: list(values) for name, values in zip(columns, found, strict=True)}


def last_values(
    connection: Connection, ids: Collection[str], names: Collection[str] | None
) -> dict[str, dict[str, float]]:
    """The last values of scalar metrics, by envelope and name; each envelope has an entry."""
    found: dict[str, dict[str, float]] = {envelope_id: {} for envelope_id in ids}
    chosen = select(metric_latest).where(metric_latest.c.envelope_id.in_(ids))
    if names is not None:
        chosen = chosen.where(metric_latest.c.name.in_(names))
    for row in connection.execute(chosen.order_by(metric_latest.c.name)):
        found[row.envelope_id][row.name] = math.nan if row.value is None else row.value
    return found


def last_points(connection: Connection, envelope_id: str) -> tuple[MetricPoint, ...]:
    """The last point of each name; a structured one without its body, which may be large."""
    mine = metric.c.envelope_revision == _revision_of(envelope_id)
    steps = (
        select(metric.c.name, func.max(metric.c.step).label("step"))
        .where(mine)
        .group_by(metric.c.name)
        .subquery()
    )
    body = case((metric.c.type == "scalar", metric.c.body)).label("body")
    columns = (metric.c.name, metric.c.step, metric.c.at, metric.c.type, metric.c.value, body)
    last = and_(steps.c.name == metric.c.name, steps.c.step == metric.c.step)
    chosen = select(*columns).join_from(metric, steps, last).where(mine).order_by(metric.c.name)
    return tuple(MetricPoint(**row) for row in connection.execute(chosen).mappings())


def _revision_of(envelope_id: str) -> ScalarSelect[int]:
    return select(envelope.c.revision).where(envelope.c.id == envelope_id).scalar_subquery()


def inventory(connection: Connection, query: TagQuery) -> Inventory:
    """How many matching envelopes have what."""
    chosen = select(envelope.c.revision, envelope.c.id).where(tag_sql.narrowed(query, connection))
    matching = chosen.cte("matching")
    models = func.count()

    def counted(name: Column[str], envelope_id: Column[str]) -> dict[str, int]:
        joined = matching.c.id == envelope_id
        rows = select(name, models).join(matching, joined).group_by(name)
        return {name: n for name, n in connection.execute(rows)}  # noqa: C416 - a Result has keys

    structured = (
        select(metric.c.name, metric.c.type, func.count(metric.c.envelope_revision.distinct()))
        .join(matching, matching.c.revision == metric.c.envelope_revision)
        .where(metric.c.name.in_(_structured(connection)))
        .group_by(metric.c.name, metric.c.type)
    )
    tags = (
        select(tag.c.key, models, func.count(tag.c.value.distinct()))
        .join(matching, matching.c.id == tag.c.envelope_id)
        .group_by(tag.c.key)
        .order_by(models.desc(), tag.c.key)
    )
    scalars = counted(metric_latest.c.name, metric_latest.c.envelope_id)
    return Inventory(
        metrics={(name, "scalar"): n for name, n in scalars.items()}
        | {(name, kind): n for name, kind, n in connection.execute(structured)},
        hyperparameters=counted(hyperparameter.c.name, hyperparameter.c.envelope_id),
        tags={key: (n, values) for key, n, values in connection.execute(tags)},
    )


def _structured(connection: Connection) -> Sequence[str]:
    """The names under which no scalar was logged.

    They are looked up one after the other: there are few, and millions of points.
    """
    first = select(func.min(metric.c.name).label("name")).cte("names", recursive=True)
    further = select(func.min(metric.c.name)).where(metric.c.name > first.c.name)
    names = first.union_all(
        select(further.correlate(first).scalar_subquery()).where(first.c.name.is_not(None))
    )
    scalar = select(metric_latest.c.name).where(metric_latest.c.name == names.c.name).exists()
    return connection.scalars(select(names.c.name).where(names.c.name.is_not(None), ~scalar)).all()


def metric_names(connection: Connection, query: TagQuery) -> tuple[str, ...]:
    """The names of everything that matching envelopes logged."""
    chosen = (
        select(metric.c.name)
        .join(envelope, envelope.c.revision == metric.c.envelope_revision)
        .where(tag_sql.narrowed(query, connection))
    )
    return tuple(sorted(connection.scalars(chosen.distinct())))


def set_hyperparameters(
    connection: Connection, envelope_id: str, values: Mapping[str, Any], actor: str
) -> None:
    """Record hyperparameters, or replace those of the same names.

    Raises:
        EnvelopeNotFound: there is no such envelope.
        InvalidInput: a name, or a value that is not JSON.
    """
    if not values:
        return
    tagging.lock_envelope(connection, envelope_id)
    insert_hyperparameters(connection, envelope_id, values)
    moment = changes.tick(connection)
    changes.append(connection, moment, "hyperparameters", envelope_id, actor, names=sorted(values))


def insert_hyperparameters(
    connection: Connection, envelope_id: str, values: Mapping[str, Any]
) -> None:
    """Put hyperparameters into their table."""
    rows = [
        {"envelope_id": envelope_id, "name": names.check_metric_name(name), "value": _json(name, v)}
        for name, v in values.items()
    ]
    if rows:
        upsert(connection, hyperparameter, rows, ("value",))


def _json(name: str, value: Any) -> Any:
    """The value as JSON holds it: NaN and infinities, which it does not, by their names."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    try:
        return msgspec.to_builtins(value, builtin_types=())
    except TypeError as error:
        raise InvalidInput(
            f"Hyperparameter {name!r} is no plain value: {error}. Give numbers, texts, "
            "booleans, None, or lists and dicts of them."
        ) from None


def hyperparameters(connection: Connection, ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """The hyperparameters of envelopes, by id and name."""
    found: dict[str, dict[str, Any]] = {envelope_id: {} for envelope_id in ids}
    chosen = select(hyperparameter).where(hyperparameter.c.envelope_id.in_(ids))
    for row in connection.execute(chosen.order_by(hyperparameter.c.name)):
        found[row.envelope_id][row.name] = row.value
    return found
