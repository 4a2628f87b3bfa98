"""What only a directory does: links, full disks, crashes."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from model_envelope.artifacts.local import LocalArtifacts
from model_envelope.errors import ArtifactError, ArtifactExists, ArtifactMissing
from model_envelope.names import new_id


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@pytest.fixture
def artifacts(tmp_path: Path) -> LocalArtifacts:
    return LocalArtifacts(tmp_path / "artifacts")


def test_the_first_of_two_that_write_at_once_is_kept(artifacts: LocalArtifacts) -> None:
    key = f"{new_id()}/predict.bundle"

    def another_is_faster(_done: int, _size: int) -> None:
        artifacts.put(key, b"first", sha256=sha256(b"first"))

    with pytest.raises(ArtifactExists):
        artifacts.put(key, b"second", sha256=sha256(b"second"), progress=another_is_faster)
    assert artifacts.fetch(key, sha256=sha256(b"first")).read_bytes() == b"first"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "predict.bundle").write_bytes(b"secret")
    return folder


def test_a_linked_folder_is_neither_read_nor_written_nor_listed(
    artifacts: LocalArtifacts, outside: Path
) -> None:
    envelope_id = new_id()
    artifacts.root.mkdir()
    (artifacts.root / envelope_id).symlink_to(outside)
    assert list(artifacts.list_ids()) == []
    with pytest.raises(ArtifactMissing):
        artifacts.fetch(f"{envelope_id}/predict.bundle", sha256=sha256(b"secret"))
    with pytest.raises(ArtifactError, match="symbolic link"):
        artifacts.put(f"{envelope_id}/new", b"x", sha256=sha256(b"x"))
    artifacts.delete(envelope_id)
    assert [file.name for file in outside.iterdir()] == ["predict.bundle"]


def test_a_linked_file_is_not_read(artifacts: LocalArtifacts, outside: Path) -> None:
    envelope_id = new_id()
    (artifacts.root / envelope_id).mkdir(parents=True)
    (artifacts.root / envelope_id / "predict.bundle").symlink_to(outside / "predict.bundle")
    with pytest.raises(ArtifactMissing):
        artifacts.fetch(f"{envelope_id}/predict.bundle", sha256=sha256(b"secret"))
    with pytest.raises(ArtifactError):
        artifacts.put(f"{envelope_id}/predict.bundle", b"secret", sha256=sha256(b"secret"))


def test_a_file_system_without_hard_links_is_fine(
    artifacts: LocalArtifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    key = f"{new_id()}/predict.bundle"
    artifacts.put(key, b"x", sha256=sha256(b"x"))
    assert artifacts.fetch(key, sha256=sha256(b"x")).read_bytes() == b"x"


def test_a_full_disk_is_named_and_nothing_is_left_of_the_file(
    small_disk: Callable[[int], Path],
) -> None:
    artifacts = LocalArtifacts(small_disk(1) / "artifacts")
    big, small = os.urandom(2 << 20), b"small"
    envelope_id = new_id()
    with pytest.raises(ArtifactError) as caught:
        artifacts.put(f"{envelope_id}/big", big, sha256=sha256(big))
    message = str(caught.value)
    assert str(artifacts.root / envelope_id / "big") in message
    assert "bytes are free" in message
    assert "model-envelope gc" in message
    assert list((artifacts.root / envelope_id).iterdir()) == []
    artifacts.put(f"{envelope_id}/small", small, sha256=sha256(small))
    assert artifacts.fetch(f"{envelope_id}/small", sha256=sha256(small)).read_bytes() == small


KILLED_WHILE_WRITING = """
import hashlib, os, signal, sys
from pathlib import Path
from model_envelope.artifacts.local import LocalArtifacts

def die(done, size):
    if done >= size // 2:
        os.kill(os.getpid(), signal.SIGKILL)

body = bytes(8 << 20)
LocalArtifacts(Path(sys.argv[1])).put(
    sys.argv[2], body, sha256=hashlib.sha256(body).hexdigest(), progress=die
)
"""


def test_a_writer_killed_half_way_leaves_no_file(artifacts: LocalArtifacts) -> None:
    envelope_id = new_id()
    key = f"{envelope_id}/predict.bundle"
    script = [sys.executable, "-c", KILLED_WHILE_WRITING, str(artifacts.root), key]
    assert subprocess.run(script, check=False).returncode == -9
    body = bytes(8 << 20)
    with pytest.raises(ArtifactMissing):
        artifacts.fetch(key, sha256=sha256(body))
    artifacts.put(key, body, sha256=sha256(body))
    assert artifacts.fetch(key, sha256=sha256(body)).stat().st_size == len(body)
    artifacts.delete(envelope_id)
    assert list(artifacts.root.iterdir()) == []
