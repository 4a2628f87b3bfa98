"""Matches in order, a page at a time: by key, so that no page grows slower than the first."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, and_, or_, select

from model_envelope import names
from model_envelope.errors import InvalidInput
from model_envelope.store import reading, tag_sql
from model_envelope.store.rows import Page
from model_envelope.store.tables import envelope, metric_latest
from model_envelope.tag_query import TagQuery

MAX_LIMIT = 1000


class _Position(msgspec.Struct, array_like=True):
    """Where a page ended: what a cursor holds."""

    order_by: str
    descending: bool
    value: str | None
    """Exact, in hexadecimal: JSON has no infinity."""
    revision: int


def query(
    connection: Connection,
    query: TagQuery,
    *,
    order_by: str,
    descending: bool,
    limit: int,
    after: str | None,
    include_archived: bool,
) -> Page:
    """A page of matches.

    Args:
        connection: in a transaction.
        query: what must hold.
        order_by: `created`, or `metric:<name>`: by the metric's last value, then by
            creation; envelopes without a value come last either way.
        descending: newest or greatest first.
        limit: at most this many, up to 1000.
        after: `Page.next` of the page before, for the same order.
        include_archived: also where the query does not mention `archived`.

    Raises:
        InvalidInput: another order, a limit out of range, a cursor of another query.
    """
    if not isinstance(limit, int) or not 1 <= limit <= MAX_LIMIT:
        raise InvalidInput(f"limit must be between 1 and {MAX_LIMIT}, not {limit!r}.")
    at = None if after is None else _read(after, order_by, descending)
    if order_by == "created":
        ids = tag_sql.newest(
            query,
            connection,
            limit=limit + 1,
            beyond=None if at is None else at.revision,
            descending=descending,
            include_archived=include_archived,
        )
        values: list[float | None] = [None] * len(ids)
    else:
        matches = tag_sql.narrowed(query, connection, include_archived=include_archived)
        chosen = _by_metric(_metric(order_by), descending, at).where(matches).limit(limit + 1)
        rows = connection.execute(chosen).all()
        ids, values = [row.id for row in rows], [row.value for row in rows]
    records = tuple(reading.by_ids(connection, ids[:limit]))
    if len(ids) <= limit:
        return Page(records=records)
    value = values[limit - 1]
    exact = None if value is None else value.hex()
    last = _Position(order_by, descending, exact, records[-1].revision)
    return Page(records=records, next=_write(last))


def before(connection: Connection, revision: int, query: TagQuery, limit: int) -> Page:
    """The newest matches that were committed before a revision, archived ones too."""
    ids = tag_sql.newest(query, connection, limit=limit, beyond=revision, include_archived=True)
    return Page(records=tuple(reading.by_ids(connection, ids)))


def _metric(order_by: str) -> str:
    kind, _, name = order_by.partition(":") if isinstance(order_by, str) else ("", "", "")
    if kind != "metric":
        raise InvalidInput(f"order_by={order_by!r}: use 'created' or 'metric:<name>'.")
    return names.check_metric_name(name)


def _by_metric(name: str, descending: bool, after: _Position | None) -> Select[Any]:
    """Envelopes by the last value of a metric, the newer first of equals, those without last."""
    # Not `metric_latest` itself: the query's own look-ups there must not become part of this join.
    last = metric_latest.alias("last")
    value, revision = last.c.value, envelope.c.revision
    joined = and_(last.c.envelope_id == envelope.c.id, last.c.name == name)
    chosen = (
        select(envelope.c.id, value.label("value"))
        .outerjoin_from(envelope, last, joined)
        .order_by(value.is_(None), value.desc() if descending else value, revision.desc())
    )
    if after is None:
        return chosen
    older = revision < after.revision
    if after.value is None:
        return chosen.where(value.is_(None), older)
    number = float.fromhex(after.value)
    further = value < number if descending else value > number
    return chosen.where(or_(further, and_(value == number, older), value.is_(None)))


def _write(position: _Position) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def _read(cursor: str, order_by: str, descending: bool) -> _Position:
    try:
        body = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        position = msgspec.json.decode(body, type=_Position)
    except (ValueError, TypeError, msgspec.MsgspecError):
        raise InvalidInput(f"after={cursor!r:.60} is no cursor of a page.") from None
    if (position.order_by, position.descending) != (order_by, descending):
        raise InvalidInput("after= is of a page in another order: give the same order again.")
    return position
