"""Moving an envelope between stores as one file. Nothing of the model runs on the way."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from model_envelope import names
from model_envelope.artifacts import copying
from model_envelope.artifacts.protocol import Progress
from model_envelope.client import exported, saving
from model_envelope.client.drafting import Draft
from model_envelope.client.exported import CONTENTS, Contents, Exported
from model_envelope.client.saving import MANIFEST
from model_envelope.envelope import EnvelopeRecord
from model_envelope.errors import EnvelopeNotFound, InvalidInput, SaveConflict
from model_envelope.golden import golden_file
from model_envelope.scratch import scratch_folder
from model_envelope.store.rows import MetricPoint

if TYPE_CHECKING:
    from model_envelope.client.client import Client
    from model_envelope.store.store import Store

_POINT = ("name", "step", "at", "type", "value", "body")


def write(
    client: Client,
    record: EnvelopeRecord,
    path: Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write an envelope to a file, which appears whole or not at all.

    Raises:
        InvalidInput: the file exists.
        ArtifactError: a file of the envelope is missing or corrupted, or the disk is full.
    """
    if path.exists() and not overwrite:
        raise InvalidInput(f"{path} exists and was kept: choose another name, or overwrite it.")
    contents = msgspec.json.encode(_contents(client.store, record), order="sorted")
    steps = _Steps(progress, 2 * sum(ref.size for ref in record.files.values()))
    with copying.written(path) as partial:
        with zipfile.ZipFile(partial, "w") as archive:
            exported.add_text(archive, MANIFEST, record.manifest.to_bytes())
            exported.add_text(archive, CONTENTS, contents)
            for name, ref in record.files.items():
                fetched = client.artifacts.fetch(
                    f"{record.id}/{name}", sha256=ref.sha256, progress=steps.next(ref.size)
                )
                exported.add_file(archive, name, ref, fetched, steps.next(ref.size))
        partial.replace(path)


def _contents(store: Store, record: EnvelopeRecord) -> Contents:
    rows = store.metric_rows(envelope_ids=[record.id])
    points = zip(*(rows[field] for field in _POINT), strict=True)
    return Contents(
        description=record.description,
        tags=dict(record.tags),
        archived=record.archived,
        metrics=tuple(MetricPoint(**dict(zip(_POINT, point, strict=True))) for point in points),
        hyperparameters=store.hyperparameters([record.id]).get(record.id, {}),
        functions=dict(record.added_functions),
        files=dict(record.added_files),
        lock=store.get_lock(record.manifest.environment.digest),
    )


def read(client: Client, path: Path, *, progress: Progress | None = None) -> EnvelopeRecord:
    """Put the envelope of a file into a store, under its own id if that is free there.

    The same file again gives the envelope that is there, and completes an import that was
    cut off.

    Raises:
        InvalidInput: there is no such file, or its envelope was deleted in this store.
        ArtifactCorrupted: the file is not what `write` wrote. Nothing was stored.
    """
    with exported.opened(path) as archive, scratch_folder() as folder:
        found = exported.describe(archive)
        steps = _Steps(progress, 2 * sum(ref.size for ref in found.files.values()))
        for file, ref in found.files.items():
            exported.extract(archive, file, ref, folder / file, steps.next(ref.size))
        return _Import(client, found, folder, steps).run()


@dataclass(frozen=True)
class _Import:
    """A file's envelope on its way into a store; its verified files are in a folder."""

    client: Client
    found: Exported
    folder: Path
    steps: _Steps

    @property
    def key(self) -> str:
        """The save key: one for each exported manifest, whatever id it gets."""
        return hashlib.sha256(f"import {self.found.manifest_sha256}".encode()).hexdigest()

    def run(self) -> EnvelopeRecord:
        store, contents = self.client.store, self.found.contents
        record = self._there()
        if contents.lock is not None:
            store.put_lock(self.found.manifest.environment.digest, contents.lock)
        if record is None:
            record = self._save()
        self._add_functions(record)
        return store.get(record.id)

    def _there(self) -> EnvelopeRecord | None:
        """The envelope, where it is in the store already: by import, or saved there."""
        store, manifest = self.client.store, self.found.manifest
        imported = store.find_save(self.key)
        envelope_id = manifest.id if imported is None else imported.id
        try:
            record = store.get(envelope_id)
        except EnvelopeNotFound:
            if self._knows(envelope_id):
                raise InvalidInput(
                    f"Envelope {envelope_id} was in this store and was deleted: "
                    f"`model-envelope undelete {envelope_id}` brings it back."
                ) from None
            return None
        return record if imported or record.manifest == manifest else None

    def _knows(self, envelope_id: str) -> bool:
        """Whether the id is in use, if only by an envelope that can be brought back."""
        try:
            history = self.client.store.history(envelope_id)
        except EnvelopeNotFound:
            return False
        return [c.kind for c in history if c.kind in ("saved", "purged")][-1:] != ["purged"]

    def _save(self) -> EnvelopeRecord:
        contents, manifest = self.found.contents, self.found.manifest
        if self._knows(manifest.id):
            manifest = replace(manifest, id=names.new_id())
        draft = Draft(
            folder=self.folder,
            manifest=manifest,
            description=contents.description,
            tags=contents.tags,
        )
        try:
            record = saving.save(
                self.client.store,
                self.client.artifacts,
                draft,
                points=contents.metrics,
                hyperparameters=contents.hyperparameters,
                save_key=self.key,
                progress=self.steps.next(manifest.size),
            )
        except SaveConflict:
            # Another process imported the same file meanwhile.
            theirs = self.client.store.find_save(self.key)
            if theirs is None:
                raise
            return theirs
        if contents.archived:
            self.client.store.archive(record.id, self.client.actor)
        return record

    def _add_functions(self, record: EnvelopeRecord) -> None:
        added = self.found.contents
        for name, spec in added.functions.items():
            if name not in record.functions:
                own = (spec.file, golden_file(name))
                files = {file: added.files[file] for file in own if file in added.files}
                report = self.steps.next(sum(ref.size for ref in files.values()))
                saving.put_files(
                    self.client.artifacts, record.id, self.folder, files, progress=report
                )
                self.client.store.add_function(record.id, spec, files, self.client.actor)


class _Steps:
    """Progress over several steps: each counts from where the one before ends."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def next(self, size: int) -> Progress:
        start, self._done = self._done, self._done + size

        def report(done: int, _: int) -> None:
            if self._progress:
                self._progress(start + done, self._total)

        return report
