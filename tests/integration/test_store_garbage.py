"""Garbage collection removes what no envelope needs, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from model_envelope.artifacts.opening import open_artifacts
from model_envelope.artifacts.protocol import ArtifactStore
from model_envelope.envelope import EnvelopeRecord, Manifest
from model_envelope.errors import EnvelopeNotFound, LeaseLost, StoreError
from model_envelope.names import new_id
from model_envelope.store.opening import open_store
from model_envelope.store.store import Store
from model_envelope.tag_query import parse

Save = Callable[..., EnvelopeRecord]
NewManifest = Callable[..., Manifest]

HOUR = timedelta(hours=1)
EVERYTHING = parse({})
SHA256 = hashlib.sha256(b"model").hexdigest()


@pytest.fixture
def artifacts(tmp_path: Path, store: Store) -> ArtifactStore:
    opened = open_artifacts(str(tmp_path / "artifacts"))
    store.claim_artifacts(opened)
    return opened


def put(artifacts: ArtifactStore, envelope_id: str) -> None:
    artifacts.put(f"{envelope_id}/predict.bundle", b"model", sha256=SHA256)


def folders(artifacts: ArtifactStore) -> set[str]:
    return set(artifacts.list_ids()) - {"0" * 20}


def later(hours: float) -> datetime:
    return datetime.now(UTC) + timedelta(hours=hours)


def test_only_expired_uploads_are_swept(
    store: Store, artifacts: ArtifactStore, save: Save, new_manifest: NewManifest
) -> None:
    kept = save()
    put(artifacts, kept.id)
    expired, running = new_manifest(), new_manifest()
    store.begin_upload(expired.id, HOUR)
    store.begin_upload(running.id, 3 * HOUR)
    put(artifacts, expired.id)
    put(artifacts, running.id)
    report = store.collect_garbage(artifacts, now=later(2))
    assert (report.expired_uploads, report.purged_envelopes, report.unknown) == (1, (), ())
    assert folders(artifacts) == {kept.id, running.id}
    late: dict[str, Any] = {"manifest_sha256": "", "description": "", "tags": {}, "save_key": "k"}
    with pytest.raises(LeaseLost):
        store.commit_envelope(manifest=expired, **late)
    store.commit_envelope(manifest=running, **late)
    assert store.count(EVERYTHING) == 2
    again = store.collect_garbage(artifacts, now=later(2))
    assert (again.expired_uploads, again.purged_envelopes, again.unknown) == (0, (), ())


def test_a_dry_run_tells_what_would_go_and_removes_nothing(
    store: Store, artifacts: ArtifactStore, save: Save, new_manifest: NewManifest
) -> None:
    kept, deleted = save(), save()
    store.delete(deleted.id, HOUR)
    expired, running, stranger = new_manifest().id, new_manifest().id, new_id()
    store.begin_upload(expired, HOUR)
    store.begin_upload(running, 3 * HOUR)
    everything = {kept.id, deleted.id, expired, running, stranger}
    for envelope_id in everything:
        put(artifacts, envelope_id)
    head = store.head()
    for _ in range(2):
        told = store.collect_garbage(artifacts, now=later(2), dry_run=True)
        assert told.expired_uploads == 1
        assert (told.purged_envelopes, told.unknown) == ((deleted.id,), (stranger,))
        assert folders(artifacts) == everything
    assert store.head() == head
    store.undelete(deleted.id)
    store.delete(deleted.id, HOUR)
    assert store.collect_garbage(artifacts, now=later(2)) == told
    assert folders(artifacts) == {kept.id, running}


def test_a_dry_run_claims_nothing(store: Store, save: Save, tmp_path: Path) -> None:
    unclaimed = open_artifacts(str(tmp_path / "unclaimed"))
    put(unclaimed, save().id)
    before = set(unclaimed.list_ids())
    store.collect_garbage(unclaimed, dry_run=True)
    assert set(unclaimed.list_ids()) == before
    store.collect_garbage(unclaimed)
    assert set(unclaimed.list_ids()) == before | {"0" * 20}


def test_a_prolonged_lease_is_kept(store: Store, artifacts: ArtifactStore) -> None:
    envelope_id = new_id()
    store.begin_upload(envelope_id, HOUR)
    store.begin_upload(envelope_id, 3 * HOUR)
    put(artifacts, envelope_id)
    assert store.collect_garbage(artifacts, now=later(2)).expired_uploads == 0
    assert folders(artifacts) == {envelope_id}


def test_an_abandoned_upload_is_swept_at_once(store: Store, artifacts: ArtifactStore) -> None:
    envelope_id = new_id()
    store.begin_upload(envelope_id, HOUR)
    put(artifacts, envelope_id)
    store.abandon_upload(envelope_id)
    store.collect_garbage(artifacts)
    assert folders(artifacts) == set()


def test_a_deleted_envelope_goes_after_its_grace_period(
    store: Store, artifacts: ArtifactStore, save: Save
) -> None:
    kept, deleted, restored = save(name="x"), save(name="x", save_key="k"), save(name="x")
    for saved in (kept, deleted, restored):
        put(artifacts, saved.id)
    store.delete(deleted.id, HOUR)
    store.delete(restored.id, HOUR)
    store.collect_garbage(artifacts)
    assert folders(artifacts) == {kept.id, deleted.id, restored.id}
    store.undelete(restored.id)
    report = store.collect_garbage(artifacts, now=later(2))
    assert report.purged_envelopes == (deleted.id,)
    assert folders(artifacts) == {kept.id, restored.id}
    with pytest.raises(EnvelopeNotFound):
        store.undelete(deleted.id)
    kinds = [change.kind for change in store.history(deleted.id)]
    assert kinds == ["saved", "deleted", "purged"]
    assert [change.revision for change in store.changes(0)] == list(range(1, store.head() + 1))
    assert store.find_save("k") is None
    save(save_key="k")


def test_a_folder_of_nobody_is_swept(
    store: Store, artifacts: ArtifactStore, new_manifest: NewManifest
) -> None:
    """A save whose lease was lost still writes, after its folder went."""
    zombie = new_manifest()
    store.begin_upload(zombie.id, HOUR)
    store.collect_garbage(artifacts, now=later(2))
    put(artifacts, zombie.id)
    with pytest.raises(LeaseLost):
        store.commit_envelope(
            manifest=zombie, manifest_sha256="", description="", tags={}, save_key="k"
        )
    assert store.collect_garbage(artifacts).unknown == (zombie.id,)
    assert folders(artifacts) == set()


def test_what_is_not_ours_is_left_alone(store: Store, artifacts: ArtifactStore) -> None:
    root = Path(artifacts.address)
    (root / "notes").mkdir()
    (root / "README.txt").write_text("mine")
    store.collect_garbage(artifacts)
    assert (root / "README.txt").read_text() == "mine"
    assert (root / "notes").is_dir()


def test_another_stores_artifacts_are_left_alone(
    store: Store, artifacts: ArtifactStore, save: Save, tmp_path: Path
) -> None:
    saved = save()
    put(artifacts, saved.id)
    with open_store(f"sqlite:///{tmp_path / 'other.sqlite'}") as other:
        with pytest.raises(StoreError, match="belong to another store"):
            other.collect_garbage(artifacts)
        with pytest.raises(StoreError, match="belong to another store"):
            other.claim_artifacts(artifacts)
    assert folders(artifacts) == {saved.id}
    store.claim_artifacts(artifacts)


def test_unclaimed_artifacts_with_unknown_files_are_left_alone(
    store: Store, save: Save, tmp_path: Path
) -> None:
    artifacts = open_artifacts(str(tmp_path / "unclaimed"))
    known, unknown = save().id, new_id()
    put(artifacts, known)
    put(artifacts, unknown)
    with pytest.raises(StoreError, match=r"of no envelope of this store.*--claim"):
        store.collect_garbage(artifacts)
    assert folders(artifacts) == {known, unknown}
    store.claim_artifacts(artifacts)
    assert store.collect_garbage(artifacts).unknown == (unknown,)
    assert folders(artifacts) == {known}


def test_unclaimed_artifacts_of_known_envelopes_are_claimed(
    store: Store, save: Save, tmp_path: Path
) -> None:
    artifacts = open_artifacts(str(tmp_path / "unclaimed"))
    put(artifacts, save().id)
    store.collect_garbage(artifacts)
    put(artifacts, unknown := new_id())
    assert store.collect_garbage(artifacts).unknown == (unknown,)


def test_s3_is_swept_alike(store: Store, save: Save, s3_address: str, tmp_path: Path) -> None:
    artifacts = open_artifacts(s3_address)
    store.claim_artifacts(artifacts)
    kept, expired = save().id, new_id()
    store.begin_upload(expired, HOUR)
    for envelope_id in (kept, expired, unknown := new_id()):
        put(artifacts, envelope_id)
    report = store.collect_garbage(artifacts, now=later(2))
    assert (report.expired_uploads, report.unknown) == (1, (unknown,))
    assert folders(artifacts) == {kept}
    with (
        open_store(f"sqlite:///{tmp_path / 'other.sqlite'}") as other,
        pytest.raises(StoreError, match="belong to another store"),
    ):
        other.collect_garbage(artifacts)
