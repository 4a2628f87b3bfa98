"""The save protocol: lease, write the artifact, make all of it visible in one transaction."""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from model_envelope import names
from model_envelope.artifacts.protocol import ArtifactStore, Progress
from model_envelope.client.drafting import MODEL, Draft
from model_envelope.envelope import EnvelopeRecord, FileRef
from model_envelope.errors import EnvelopeError, LeaseLost, SaveConflict, StoreUnavailable
from model_envelope.store.rows import MetricPoint
from model_envelope.store.store import Store

_log = logging.getLogger(__name__)

MANIFEST = "envelope.json"

LEASE = timedelta(hours=1)
"""How long one file of a save may take to be written; each begins a new lease."""

_PATIENCE = (1.0, 4.0, 15.0)
"""Seconds between tries of a commit whose database is away."""


def save(
    store: Store,
    artifacts: ArtifactStore,
    draft: Draft,
    *,
    points: Sequence[MetricPoint] = (),
    hyperparameters: Mapping[str, Any],
    save_key: str | None = None,
    progress: Progress | None = None,
) -> EnvelopeRecord:
    """Store a draft: all of it becomes visible, or nothing.

    Args:
        store: where its record goes.
        artifacts: where its files go.
        draft: what to save.
        points: metrics that are logged with it.
        hyperparameters: likewise.
        save_key: makes a repeated save harmless: the same key with the same model gives
            the envelope that is there.
        progress: called with bytes done and bytes in all, over all files.

    Raises:
        SaveConflict: the save key was used for another model.
        StoreError: the database is away; what was written is swept later.
        ArtifactError: the files could not be written.
    """
    store.claim_artifacts(artifacts)
    if save_key is not None:
        existing = store.find_save(save_key)
        if existing is not None:
            return _same_model(existing, draft, save_key)
    key = save_key or uuid.uuid4().hex
    commit = partial(
        store.commit_envelope,
        description=draft.description,
        tags=draft.tags,
        save_key=key,
        metrics=points,
        hyperparameters=hyperparameters,
    )
    try:
        return _attempt(store, artifacts, draft, commit, save_key=key, progress=progress)
    except LeaseLost:
        _log.warning("The upload %s outlived its lease; saving again.", draft.manifest.id)
        fresh = replace(draft, manifest=replace(draft.manifest, id=names.new_id()))
        return _attempt(store, artifacts, fresh, commit, save_key=key, progress=progress)


def put_files(
    artifacts: ArtifactStore,
    envelope_id: str,
    folder: Path,
    files: Mapping[str, FileRef],
    *,
    before_each: Callable[[], None] = lambda: None,
    progress: Progress | None = None,
) -> None:
    """Write files of an envelope, reporting progress over all of them."""
    total = sum(ref.size for ref in files.values())
    done = 0
    for name, ref in files.items():
        before_each()
        step = _offset(progress, done, total) if progress else None
        artifacts.put(f"{envelope_id}/{name}", folder / name, sha256=ref.sha256, progress=step)
        done += ref.size


def _attempt(
    store: Store,
    artifacts: ArtifactStore,
    draft: Draft,
    commit: Callable[..., EnvelopeRecord],
    *,
    save_key: str,
    progress: Progress | None,
) -> EnvelopeRecord:
    manifest = draft.manifest
    content = manifest.to_bytes()
    digest = hashlib.sha256(content).hexdigest()

    def lease() -> None:
        # An id that another process committed meanwhile must not be reserved again: what
        # is reserved and not committed is swept.
        if store.find_save(save_key) is not None:
            raise SaveConflict(f"Another process saved under the key {save_key!r} meanwhile.")
        store.begin_upload(manifest.id, LEASE)

    try:
        put_files(
            artifacts,
            manifest.id,
            draft.folder,
            manifest.files,
            before_each=lease,
            progress=progress,
        )
        lease()
        artifacts.put(f"{manifest.id}/{MANIFEST}", content, sha256=digest)
    except LeaseLost:
        raise
    except (EnvelopeError, OSError):
        with suppress(EnvelopeError):
            store.abandon_upload(manifest.id)
        raise
    return _patiently(partial(commit, manifest=manifest, manifest_sha256=digest))


def _patiently(commit: Callable[[], EnvelopeRecord]) -> EnvelopeRecord:
    """Commit; its save key makes it harmless to do again when the answer was lost."""
    for pause in _PATIENCE:
        try:
            return commit()
        except StoreUnavailable as error:
            _log.warning("The store is away, trying again in %g s: %s", pause, error)
            time.sleep(pause)
    return commit()


def _same_model(existing: EnvelopeRecord, draft: Draft, save_key: str) -> EnvelopeRecord:
    if existing.manifest.files[MODEL] == draft.manifest.files[MODEL]:
        return existing
    raise SaveConflict(
        f"The save key {save_key!r} was used for envelope {existing.id}, which is another model. "
        "Use a new save key for each model."
    )


def _offset(progress: Progress, done: int, total: int) -> Progress:
    return lambda part, _: progress(done + part, total)
