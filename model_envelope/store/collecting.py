"""Removing what no envelope needs: the files of saves that never ended, and deleted envelopes.

No step can hit a save in progress. What an expired lease held is marked dead first, in a
transaction of its own, so that the save can no longer commit; then its files go, then its
row. Folders are listed before envelopes and uploads are looked up: an id that has files but
is in neither can never commit later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from itertools import islice

from sqlalchemy import Connection, and_, delete, func, select, update
from sqlalchemy import insert as plain_insert

from model_envelope import names
from model_envelope.artifacts.protocol import ArtifactStore
from model_envelope.errors import ArtifactCorrupted, ArtifactExists, ArtifactMissing, StoreError
from model_envelope.store import changes
from model_envelope.store.database import Database
from model_envelope.store.rows import GarbageReport
from model_envelope.store.tables import envelope, upload

OWNER = f"{'0' * 20}/store"
"""The key that says which store some artifacts belong to: no envelope has this id."""

CHUNK = 500


def claim(database: Database, artifacts: ArtifactStore) -> None:
    """Mark artifacts as those of this store; nothing to do where they are.

    Raises:
        StoreError: they are another store's.
    """
    owner = database.read(changes.store_id).encode()
    try:
        artifacts.put(OWNER, owner, sha256=hashlib.sha256(owner).hexdigest())
    except ArtifactExists as error:
        raise _foreign(artifacts) from error


def _foreign(artifacts: ArtifactStore) -> StoreError:
    return StoreError(
        f"The artifacts in {artifacts.address} belong to another store, and two stores in one "
        "place would remove each other's files. Give each store a place of its own."
    )


def collect_garbage(
    database: Database,
    artifacts: ArtifactStore,
    now: datetime | None = None,
    *,
    dry_run: bool = False,
) -> GarbageReport:
    """Remove what is left of expired uploads, deleted envelopes and unknown ids.

    Args:
        database: the store's.
        artifacts: where its files are.
        now: the store's time unless given.
        dry_run: remove nothing, and tell what would be.

    Raises:
        StoreError: the artifacts belong to another store, or nothing says whose they are
            and some are of no envelope; nothing was removed.
    """
    unclaimed = _check_owner(database, artifacts)
    now = now or database.read(changes.store_time)
    if dry_run:
        return GarbageReport(
            expired_uploads=database.read(lambda connection: _expiring(connection, now)),
            purged_envelopes=tuple(database.read(lambda connection: _due(connection, now))),
            unknown=tuple(_unknown(database, artifacts.list_ids())),
        )
    if unclaimed:
        claim(database, artifacts)
    expired = database.write(lambda connection: _expire(connection, now))
    due = database.read(lambda connection: _due(connection, now))
    purged = tuple(envelope_id for envelope_id in due if _purge(database, envelope_id, now))
    for envelope_id in database.read(_dead):
        _remove(database, artifacts, envelope_id)
    unknown = tuple(_unknown(database, artifacts.list_ids()))
    for envelope_id in unknown:
        artifacts.delete(envelope_id)
    return GarbageReport(expired_uploads=expired, purged_envelopes=purged, unknown=unknown)


def _check_owner(database: Database, artifacts: ArtifactStore) -> bool:
    """Whether nothing says yet whose the artifacts are; then all of them are of envelopes."""
    owner = database.read(changes.store_id).encode()
    try:
        artifacts.fetch(OWNER, sha256=hashlib.sha256(owner).hexdigest())
    except ArtifactCorrupted as error:
        raise _foreign(artifacts) from error
    except ArtifactMissing as error:
        if next(_unknown(database, artifacts.list_ids()), None) is not None:
            raise StoreError(
                f"Some files in {artifacts.address} are of no envelope of this store, and "
                "nothing says that they ever were. If they are this store's, say so with "
                "`model-envelope gc --claim`."
            ) from error
        return True
    return False


def _expiring(connection: Connection, now: datetime) -> int:
    expired = and_(upload.c.state == "open", upload.c.expires_at < now)
    return connection.scalar(select(func.count()).select_from(upload).where(expired)) or 0


def _expire(connection: Connection, now: datetime) -> int:
    expired = update(upload).where(upload.c.state == "open", upload.c.expires_at < now)
    return connection.execute(expired.values(state="dead")).rowcount


def _due(connection: Connection, now: datetime) -> list[str]:
    return list(connection.scalars(select(envelope.c.id).where(envelope.c.purge_at <= now)))


def _purge(database: Database, envelope_id: str, now: datetime) -> bool:
    """Turn a deleted envelope into a dead upload, unless it was undeleted meanwhile."""

    def purge(connection: Connection) -> bool:
        due = select(envelope.c.id).where(envelope.c.id == envelope_id, envelope.c.purge_at <= now)
        if connection.execute(due.with_for_update()).scalar() is None:
            return False
        moment = changes.tick(connection)
        connection.execute(delete(envelope).where(envelope.c.id == envelope_id))
        connection.execute(
            plain_insert(upload).values(id=envelope_id, state="dead", expires_at=now)
        )
        changes.append(connection, moment, "purged", envelope_id, actor="")
        return True

    return database.write(purge)


def _dead(connection: Connection) -> list[str]:
    return list(connection.scalars(select(upload.c.id).where(upload.c.state == "dead")))


def _remove(database: Database, artifacts: ArtifactStore, envelope_id: str) -> None:
    artifacts.delete(envelope_id)
    gone = delete(upload).where(upload.c.id == envelope_id, upload.c.state == "dead")
    database.write(lambda connection: connection.execute(gone))


def _unknown(database: Database, listed: Iterable[str]) -> Iterator[str]:
    ids = (i for i in listed if names.ID.fullmatch(i) and i not in OWNER)
    while chunk := list(islice(ids, CHUNK)):
        known = database.read(partial(_known, ids=chunk))
        yield from (i for i in chunk if i not in known)


def _known(connection: Connection, ids: list[str]) -> set[str]:
    saved = select(envelope.c.id).where(envelope.c.id.in_(ids))
    leased = select(upload.c.id).where(upload.c.id.in_(ids))
    return set(connection.scalars(saved.union_all(leased)))
