"""The save protocol: lease, write the artifact, then one transaction makes all of it visible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, delete, select, update
from sqlalchemy import insert as plain_insert

from model_envelope import names
from model_envelope.envelope import EnvelopeRecord, FileRef, Manifest
from model_envelope.errors import InvalidInput, LeaseLost, SaveConflict
from model_envelope.runtime.spec import FunctionSpec
from model_envelope.store import changes, lineage, reading, tagging
from model_envelope.store import metrics as logged
from model_envelope.store.database import insert
from model_envelope.store.rows import MetricPoint
from model_envelope.store.tables import envelope, query_function, upload


def begin_upload(connection: Connection, envelope_id: str, lease: timedelta) -> None:
    """Reserve an id for a save, or prolong the reservation.

    Raises:
        LeaseLost: it expired and was swept.
        SaveConflict: an envelope has this id already.
    """
    # A reservation of its id would let garbage collection take a live envelope's files.
    if connection.scalar(select(envelope.c.id).where(envelope.c.id == envelope_id)):
        raise SaveConflict(f"Envelope {envelope_id} is in this store already.")
    expires = changes.store_time(connection) + lease
    statement = insert(connection, upload).values(
        id=names.check_id(envelope_id), state="open", expires_at=expires
    )
    kept = connection.execute(
        statement.on_conflict_do_update(
            index_elements=[upload.c.id],
            set_={"expires_at": expires},
            where=upload.c.state == "open",
        ).returning(upload.c.id)
    )
    if kept.one_or_none() is None:
        raise _lost(envelope_id)


def abandon_upload(connection: Connection, envelope_id: str) -> None:
    """Give up a save: garbage collection removes what it wrote."""
    connection.execute(update(upload).where(upload.c.id == envelope_id).values(state="dead"))


def commit_envelope(
    connection: Connection,
    *,
    manifest: Manifest,
    manifest_sha256: str,
    description: str,
    tags: Mapping[str, str],
    save_key: str,
    metrics: Sequence[MetricPoint],
    hyperparameters: Mapping[str, Any],
) -> EnvelopeRecord:
    """End an upload and make its envelope visible, with its tags and its change.

    Doing it again gives the envelope that is there.

    Raises:
        LeaseLost: the upload expired and was swept, or never began.
        SaveConflict: the save key was used for another manifest.
    """
    if not _end_upload(connection, manifest.id):
        existing = _saved_before(connection, save_key, manifest_sha256)
        if existing is None:
            raise _lost(manifest.id)
        return existing
    moment = changes.tick(connection)
    # Now, because from here on nobody else can commit.
    _saved_before(connection, save_key, manifest_sha256)
    connection.execute(
        plain_insert(envelope).values(
            id=manifest.id,
            revision=moment.revision,
            updated_revision=moment.revision,
            save_key=save_key,
            created_at=manifest.created_at,
            description=description,
            archived=False,
            manifest_sha256=manifest_sha256,
            manifest=manifest.to_bytes().decode(),
            environment_digest=manifest.environment.digest,
            reproducible="unproved",
            reproducible_reason="",
            dag_run=lineage.run_of(manifest.provenance.airflow),
        )
    )
    tagging.add(connection, manifest.id, moment.revision, tags)
    logged.insert_points(connection, [(manifest.id, moment.revision, metrics)])
    logged.insert_hyperparameters(connection, manifest.id, hyperparameters)
    actor = manifest.provenance.user
    changes.append(connection, moment, "saved", manifest.id, actor, before={}, after=dict(tags))
    return reading.get(connection, manifest.id)


def _end_upload(connection: Connection, envelope_id: str) -> bool:
    ended = and_(upload.c.id == envelope_id, upload.c.state == "open")
    return connection.execute(delete(upload).where(ended)).rowcount == 1


def _saved_before(
    connection: Connection, save_key: str, manifest_sha256: str
) -> EnvelopeRecord | None:
    existing = reading.by_save_key(connection, save_key)
    if existing is not None and existing.manifest_sha256 != manifest_sha256:
        raise SaveConflict(
            f"The save key {save_key} was used for envelope {existing.id}, which is another "
            "model. Use a new save key for each model."
        )
    return existing


def _lost(envelope_id: str) -> LeaseLost:
    return LeaseLost(
        f"The upload {envelope_id} took longer than its lease and was swept; nothing was saved. "
        "Save again, with a longer lease for a large model or a slow line."
    )


def add_function(
    connection: Connection,
    envelope_id: str,
    spec: FunctionSpec,
    files: Mapping[str, FileRef],
    actor: str,
) -> None:
    """Add a query function whose files are stored already.

    Raises:
        EnvelopeNotFound: there is no such envelope.
        InvalidInput: it has another function of that name.
    """
    tagging.lock_envelope(connection, envelope_id)
    record = reading.get(connection, envelope_id)
    if record.functions.get(spec.name) == spec:
        return
    if spec.name in record.functions:
        raise InvalidInput(
            f"Envelope {envelope_id} has a query function {spec.name!r}, and functions do not "
            "change. Choose another name, or save a new envelope."
        )
    moment = changes.tick(connection)
    connection.execute(
        plain_insert(query_function).values(
            envelope_id=envelope_id,
            name=names.check_identifier(spec.name, "query function's name"),
            spec=msgspec.json.encode(spec).decode(),
            files=msgspec.json.encode(dict(files)).decode(),
        )
    )
    tagging.touch(connection, envelope_id, moment)
    changes.append(connection, moment, "function", envelope_id, actor, name=spec.name)
