"""What every place for artifacts does; the same tests over a directory and S3."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from pathlib import Path

import pytest

from model_envelope.artifacts.opening import open_artifacts
from model_envelope.artifacts.protocol import ArtifactStore
from model_envelope.errors import (
    ArtifactCorrupted,
    ArtifactExists,
    ArtifactMissing,
    InvalidName,
)
from model_envelope.names import new_id

BIG = (16 << 20) + 12_345


@pytest.fixture(params=["local", "s3"])
def artifacts(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    if request.param == "local":
        return open_artifacts(str(tmp_path / "artifacts"))
    return open_artifacts(request.getfixturevalue("s3_address"))


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def overwrite(artifacts: ArtifactStore, key: str, body: bytes) -> None:
    """Change a stored file behind the library's back."""
    if artifacts.address.startswith("s3://"):
        import boto3

        bucket, _, prefix = artifacts.address.removeprefix("s3://").partition("/")
        client = boto3.client("s3")
        client.put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=body)
        client.close()
        return
    file = Path(artifacts.address, key)
    file.chmod(0o644)
    file.write_bytes(body)


@pytest.mark.parametrize("size", [0, 1, 70_000, BIG])
@pytest.mark.parametrize("kind", ["bytes", "file"])
def test_what_is_put_is_fetched(
    artifacts: ArtifactStore, tmp_path: Path, size: int, kind: str
) -> None:
    body = os.urandom(size)
    source: Path | bytes = body
    if kind == "file":
        source = tmp_path / "source"
        source.write_bytes(body)
    key = f"{new_id()}/predict.bundle"
    artifacts.put(key, source, sha256=sha256(body))
    found = artifacts.fetch(key, sha256=sha256(body))
    assert found.read_bytes() == body
    assert stat.S_IMODE(found.stat().st_mode) == 0o444


def test_progress_grows_to_the_size(artifacts: ArtifactStore) -> None:
    body = os.urandom(BIG)
    key = f"{new_id()}/predict.bundle"
    put: list[tuple[int, int]] = []
    got: list[tuple[int, int]] = []
    artifacts.put(key, body, sha256=sha256(body), progress=lambda *seen: put.append(seen))
    artifacts.fetch(key, sha256=sha256(body), progress=lambda *seen: got.append(seen))
    for seen in (put, got):
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)
        assert {total for _, total in seen} == {BIG}
        assert seen[-1][0] == BIG


@pytest.mark.parametrize("size", [9, BIG])
def test_a_file_is_written_once(artifacts: ArtifactStore, size: int) -> None:
    first, other = os.urandom(size), os.urandom(size)
    key = f"{new_id()}/predict.bundle"
    artifacts.put(key, first, sha256=sha256(first))
    artifacts.put(key, first, sha256=sha256(first))
    with pytest.raises(ArtifactExists, match=r"predict\.bundle"):
        artifacts.put(key, other, sha256=sha256(other))
    assert artifacts.fetch(key, sha256=sha256(first)).read_bytes() == first


def test_many_may_put_the_same_at_once(artifacts: ArtifactStore) -> None:
    body = os.urandom(100_000)
    key = f"{new_id()}/predict.bundle"
    failures: list[BaseException] = []

    def put() -> None:
        try:
            artifacts.put(key, body, sha256=sha256(body))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=put) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert artifacts.fetch(key, sha256=sha256(body)).read_bytes() == body


def test_a_source_that_changed_meanwhile_is_not_stored(artifacts: ArtifactStore) -> None:
    key = f"{new_id()}/predict.bundle"
    with pytest.raises(ArtifactCorrupted, match="was to be stored"):
        artifacts.put(key, b"changed", sha256=sha256(b"original"))
    with pytest.raises(ArtifactMissing):
        artifacts.fetch(key, sha256=sha256(b"changed"))


def test_what_is_not_there_is_missing(artifacts: ArtifactStore) -> None:
    present = new_id()
    artifacts.put(f"{present}/predict.bundle", b"x", sha256=sha256(b"x"))
    for key in (f"{new_id()}/predict.bundle", f"{present}/other.bundle"):
        with pytest.raises(ArtifactMissing, match="MODEL_ENVELOPE_ARTIFACTS"):
            artifacts.fetch(key, sha256=sha256(b"x"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda body: bytes([body[0] ^ 1]) + body[1:],
        lambda body: body[:-1],
        lambda body: body + b"\0",
        lambda _: b"",
    ],
    ids=["bit flipped", "truncated", "longer", "emptied"],
)
def test_damage_is_found_before_a_byte_is_used(artifacts: ArtifactStore, damage) -> None:  # type: ignore[no-untyped-def]
    body = os.urandom(5000)
    key = f"{new_id()}/predict.bundle"
    artifacts.put(key, body, sha256=sha256(body))
    overwrite(artifacts, key, damage(body))
    with pytest.raises(ArtifactCorrupted, match=sha256(body)):
        artifacts.fetch(key, sha256=sha256(body))


def test_ids_are_listed_and_deleted(artifacts: ArtifactStore) -> None:
    ids = {new_id() for _ in range(3)}
    for envelope_id in ids:
        for name in ("predict.bundle", "golden.arrow"):
            artifacts.put(f"{envelope_id}/{name}", b"x", sha256=sha256(b"x"))
    assert sorted(artifacts.list_ids()) == sorted(ids)
    gone = ids.pop()
    artifacts.delete(gone)
    artifacts.delete(gone)
    artifacts.delete(new_id())
    assert set(artifacts.list_ids()) == ids
    with pytest.raises(ArtifactMissing):
        artifacts.fetch(f"{gone}/golden.arrow", sha256=sha256(b"x"))


def test_an_empty_place_has_no_ids(artifacts: ArtifactStore) -> None:
    assert list(artifacts.list_ids()) == []


ID = "0123456789abcdef0123"

HOSTILE_KEYS = [
    "../x",
    f"../{ID}/x",
    f"{ID}/../x",
    f"{ID}/..",
    f"{ID}/.",
    f"{ID}/.hidden",
    f"{ID}/",
    ID,
    "",
    f"/{ID}/x",
    f"{ID}//x",
    f"{ID}/a/b",
    f"{ID}/..\\x",
    f"{ID}/%2e%2e%2fx",
    f"{ID}/a\n",
    f"{ID}\n/a",
    f"{ID}/a\0",
    f"{ID}/{'a' * 201}",
    f"{ID.upper()}/a",
    "etc/passwd",
]


def test_hostile_keys_are_refused(artifacts: ArtifactStore) -> None:
    for key in HOSTILE_KEYS:
        with pytest.raises(InvalidName):
            artifacts.put(key, b"x", sha256=sha256(b"x"))
        with pytest.raises(InvalidName):
            artifacts.fetch(key, sha256=sha256(b"x"))
    assert list(artifacts.list_ids()) == []


def test_only_ids_are_deleted(artifacts: ArtifactStore) -> None:
    artifacts.put(f"{ID}/a", b"x", sha256=sha256(b"x"))
    for envelope_id in ("..", ".", "", "/", f"{ID}/..", "*", f"{ID}\n"):
        with pytest.raises(InvalidName):
            artifacts.delete(envelope_id)
    assert list(artifacts.list_ids()) == [ID]
