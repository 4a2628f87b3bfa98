"""The hashed locks of environments, content-addressed."""

from __future__ import annotations

from sqlalchemy import Connection, select

from model_envelope.store import changes
from model_envelope.store.database import insert
from model_envelope.store.tables import environment_lock


def get(connection: Connection, digest: str) -> str | None:
    """The lock of an environment, if it was resolved before."""
    chosen = select(environment_lock.c.lock).where(environment_lock.c.digest == digest)
    return connection.execute(chosen).scalar()


def put(connection: Connection, digest: str, text: str) -> str:
    """Keep a lock; gives the one that was there first, so that all use the same."""
    statement = insert(connection, environment_lock).values(
        digest=digest, lock=text, created_at=changes.store_time(connection)
    )
    connection.execute(statement.on_conflict_do_nothing())
    return get(connection, digest) or text
