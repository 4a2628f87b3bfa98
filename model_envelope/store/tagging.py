"""What is said of an envelope after it was saved: tags, description, archived, deleted."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, select, true, tuple_, update
from sqlalchemy import insert as plain_insert

from model_envelope import names
from model_envelope.envelope import Reproducible
from model_envelope.errors import InvalidTag
from model_envelope.store import bitmaps, changes, reading
from model_envelope.store.changes import Tick
from model_envelope.store.database import insert, printable
from model_envelope.store.references import refuse_if_used
from model_envelope.store.rows import ChangeKind
from model_envelope.store.tables import envelope, tag, tag_count


def lock_envelope(
    connection: Connection, envelope_id: str, *, even_deleted: bool = False
) -> Row[Any]:
    """The row of an envelope, which nobody else changes until the commit.

    Every change locks its envelopes first and takes the clock last, so none wait in a ring.

    Raises:
        EnvelopeNotFound: there is none.
    """
    which = true() if even_deleted else reading.live
    chosen = select(envelope).where(envelope.c.id == envelope_id, which)
    row = connection.execute(chosen.with_for_update(key_share=True)).one_or_none()
    if row is None:
        raise reading.not_found(envelope_id)
    return row


def touch(connection: Connection, envelope_id: str, moment: Tick, **values: Any) -> None:
    """Write columns of an envelope, with the revision of the change."""
    changed = update(envelope).where(envelope.c.id == envelope_id)
    connection.execute(changed.values(updated_revision=moment.revision, **values))


def set_tags(connection: Connection, envelope_id: str, tags: Mapping[str, str], actor: str) -> None:
    """Add tags, or give them other values.

    Raises:
        EnvelopeNotFound: there is no such envelope.
        InvalidTag: it would have too many.
    """
    _edit_tags(connection, envelope_id, tags, (), actor)


def remove_tags(
    connection: Connection, envelope_id: str, keys: Collection[str], actor: str
) -> None:
    """Take tags away; those it does not have are fine.

    Raises:
        EnvelopeNotFound: there is no such envelope.
    """
    _edit_tags(connection, envelope_id, {}, keys, actor)


def _edit_tags(
    connection: Connection,
    envelope_id: str,
    new: Mapping[str, str],
    gone: Collection[str],
    actor: str,
) -> None:
    row = lock_envelope(connection, envelope_id)
    old = reading.tags_of(connection, [envelope_id]).get(envelope_id, {})
    after = {key: value for key, value in new.items() if old.get(key) != value}
    before = {key: old[key] for key in {*after, *gone} if key in old}
    if not before and not after:
        return
    if len(old | after) > names.MAX_TAGS:
        raise InvalidTag(f"Envelope {envelope_id} would have more than {names.MAX_TAGS} tags.")
    moment = changes.tick(connection)
    connection.execute(
        delete(tag).where(tag.c.envelope_id == envelope_id, tag.c.key.in_(list(before)))
    )
    _index(connection, row.revision, before, -1)
    add(connection, envelope_id, row.revision, after)
    touch(connection, envelope_id, moment)
    changes.append(connection, moment, "tags", envelope_id, actor, before=before, after=after)


def add(connection: Connection, envelope_id: str, revision: int, tags: Mapping[str, str]) -> None:
    """Insert tags that the envelope, created in that revision, does not have."""
    rows = [
        {"key": key, "value": value, "revision": revision, "envelope_id": envelope_id}
        for key, value in tags.items()
    ]
    if rows:
        connection.execute(plain_insert(tag), rows)
        _index(connection, revision, tags, +1)


def _index(connection: Connection, revision: int, tags: Mapping[str, str], change: int) -> None:
    """Count tags and mark their bits, of an envelope that got them (+1) or lost them (-1)."""
    if not tags:
        return
    bitmaps.mark(connection, [(k, v, revision) for k, v in tags.items()], present=change > 0)
    statement = insert(connection, tag_count)
    counted = statement.on_conflict_do_update(
        index_elements=[tag_count.c.key, tag_count.c.value],
        set_={"envelopes": tag_count.c.envelopes + statement.excluded.envelopes},
    )
    connection.execute(
        counted, [{"key": k, "value": v, "envelopes": change} for k, v in tags.items()]
    )
    if change < 0:
        pairs = tuple_(tag_count.c.key, tag_count.c.value).in_(list(tags.items()))
        connection.execute(delete(tag_count).where(pairs, tag_count.c.envelopes <= 0))


def set_description(connection: Connection, envelope_id: str, text: str, actor: str) -> None:
    """Give an envelope another description.

    Raises:
        EnvelopeNotFound: there is no such envelope.
    """
    before = lock_envelope(connection, envelope_id).description
    if before == text:
        return
    moment = changes.tick(connection)
    touch(connection, envelope_id, moment, description=text)
    changes.append(connection, moment, "description", envelope_id, actor, before=before, after=text)


def set_archived(connection: Connection, envelope_id: str, archived: bool, actor: str) -> None:
    """Archive an envelope, or take it out of the archive.

    Raises:
        EnvelopeNotFound: there is no such envelope.
    """
    if lock_envelope(connection, envelope_id).archived == archived:
        return
    moment = changes.tick(connection)
    at = moment.at if archived else None
    touch(connection, envelope_id, moment, archived=archived, archived_at=at)
    kind: ChangeKind = "archived" if archived else "unarchived"
    changes.append(connection, moment, kind, envelope_id, actor)


def delete_envelope(connection: Connection, envelope_id: str, grace: timedelta, actor: str) -> None:
    """Make an envelope invisible at once; garbage collection removes it after the grace period.

    Raises:
        EnvelopeNotFound: there is no such envelope.
        EnvelopeInUse: a service needs it.
    """
    row = lock_envelope(connection, envelope_id, even_deleted=True)
    if row.deleted_at is not None:
        return
    refuse_if_used(connection, envelope_id)
    moment = changes.tick(connection)
    touch(connection, envelope_id, moment, deleted_at=moment.at, purge_at=moment.at + grace)
    _index(connection, row.revision, _tags(connection, envelope_id), -1)
    changes.append(connection, moment, "deleted", envelope_id, actor)


def undelete(connection: Connection, envelope_id: str, actor: str) -> None:
    """Make a deleted envelope visible again, as it was.

    Raises:
        EnvelopeNotFound: there never was one, or its grace period is over and it is gone.
    """
    row = lock_envelope(connection, envelope_id, even_deleted=True)
    if row.deleted_at is None:
        return
    moment = changes.tick(connection)
    touch(connection, envelope_id, moment, deleted_at=None, purge_at=None)
    _index(connection, row.revision, _tags(connection, envelope_id), +1)
    changes.append(connection, moment, "undeleted", envelope_id, actor)


def _tags(connection: Connection, envelope_id: str) -> Mapping[str, str]:
    return reading.tags_of(connection, [envelope_id]).get(envelope_id, {})


def record_verification(
    connection: Connection, envelope_id: str, status: Reproducible, reason: str, actor: str
) -> None:
    """Record whether the golden rows gave the saved outputs in a rebuilt environment.

    Raises:
        EnvelopeNotFound: there is no such envelope.
    """
    reason = printable(reason)
    lock_envelope(connection, envelope_id)
    moment = changes.tick(connection)
    touch(connection, envelope_id, moment, reproducible=status, reproducible_reason=reason)
    changes.append(connection, moment, "verified", envelope_id, actor, status=status, reason=reason)
