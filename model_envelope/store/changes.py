"""The change feed: what happened, in commit order and without gaps; and who has read how far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select, update

from model_envelope.errors import EnvelopeNotFound
from model_envelope.store.database import insert, printable
from model_envelope.store.rows import Change, ChangeKind
from model_envelope.store.tables import change, clock, cursor


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """The moment of a writing transaction: its first revision, and the store's time."""

    revision: int
    at: datetime


def tick(connection: Connection, count: int = 1) -> Tick:
    """Take the next revisions. From here to the commit no other transaction can.

    So it comes after all that may wait, and directly before the inserts that need it.
    """
    now = func.clock_timestamp() if connection.dialect.name == "postgresql" else None
    taken = update(clock).values(revision=clock.c.revision + count)
    if now is None:
        revision = connection.execute(taken.returning(clock.c.revision)).scalar_one()
        return Tick(revision=revision - count + 1, at=datetime.now(UTC))
    row = connection.execute(taken.returning(clock.c.revision, now)).one()
    return Tick(revision=row[0] - count + 1, at=row[1])


def hold(connection: Connection) -> None:
    """Let no other transaction take a revision from here to the commit, as `tick` does.

    For what must see everything that was committed before, and may turn out to change nothing.
    """
    connection.execute(select(clock.c.revision).with_for_update())


def store_time(connection: Connection) -> datetime:
    """The time that leases are measured by: the same for everyone who uses the store."""
    if connection.dialect.name == "postgresql":
        now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return now
    return datetime.now(UTC)


def append(
    connection: Connection,
    moment: Tick,
    kind: ChangeKind,
    envelope_id: str,
    actor: str,
    **data: Any,
) -> None:
    """Put one change into the feed."""
    append_all(connection, moment, kind, [(envelope_id, data)], actor)


def append_all(
    connection: Connection,
    moment: Tick,
    kind: ChangeKind,
    items: Iterable[tuple[str, dict[str, Any]]],
    actor: str,
) -> None:
    """Put changes of several envelopes into the feed, one revision each."""
    rows = [
        {
            "revision": moment.revision + i,
            "at": moment.at,
            "kind": kind,
            "envelope_id": envelope_id,
            "actor": printable(actor)[:256],
            "data": data,
        }
        for i, (envelope_id, data) in enumerate(items)
    ]
    connection.execute(change.insert(), rows)


def since(connection: Connection, after: int, limit: int) -> tuple[Change, ...]:
    """The first `limit` changes with a revision above `after`."""
    return _select(connection, change.c.revision > after, limit)


def history(connection: Connection, envelope_id: str) -> tuple[Change, ...]:
    """Everything that happened to an envelope, oldest first.

    Raises:
        EnvelopeNotFound: nothing ever did.
    """
    found = _select(connection, change.c.envelope_id == envelope_id, None)
    if not found:
        raise EnvelopeNotFound(f"There never was an envelope {envelope_id}.")
    return found


def _select(
    connection: Connection, which: ColumnElement[bool], limit: int | None
) -> tuple[Change, ...]:
    rows = connection.execute(select(change).where(which).order_by(change.c.revision).limit(limit))
    return tuple(Change(**row) for row in rows.mappings())


def head(connection: Connection) -> int:
    """The newest revision."""
    revision: int = connection.execute(select(clock.c.revision)).scalar_one()
    return revision


def store_id(connection: Connection) -> str:
    """The store's identity."""
    identity: str = connection.execute(select(clock.c.store_id)).scalar_one()
    return identity


def get_cursor(connection: Connection, name: str) -> int:
    """How far the consumer `name` has read; 0 before the first time."""
    found = connection.execute(select(cursor.c.revision).where(cursor.c.name == name)).scalar()
    return found or 0


def advance_cursor(connection: Connection, name: str, from_: int, to: int) -> bool:
    """Move a consumer's cursor, unless another consumer of that name moved it elsewhere."""
    statement = insert(connection, cursor).values(name=name, revision=0)
    connection.execute(statement.on_conflict_do_nothing())
    moved = connection.execute(
        update(cursor)
        .where(cursor.c.name == name, cursor.c.revision.in_((from_, to)))
        .values(revision=to)
    )
    return moved.rowcount == 1
