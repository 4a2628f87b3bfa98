from __future__ import annotations

from pathlib import Path

import pytest

from model_envelope.artifacts.local import LocalArtifacts
from model_envelope.artifacts.opening import open_artifacts
from model_envelope.errors import InvalidInput


@pytest.mark.parametrize(
    ("address", "root"),
    [
        ("/srv/models", "/srv/models"),
        ("file:///srv/models", "/srv/models"),
        ("/srv/100% models?#", "/srv/100% models?#"),
    ],
)
def test_a_directory(address: str, root: str) -> None:
    artifacts = open_artifacts(address)
    assert isinstance(artifacts, LocalArtifacts)
    assert artifacts.root == Path(root)
    assert artifacts.address == root


def test_a_relative_directory_stays_where_it_was_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    artifacts = open_artifacts("models")
    monkeypatch.chdir("/")
    assert artifacts.address == str(tmp_path / "models")


@pytest.mark.parametrize("address", ["s3://bucket/a/b", "s3://bucket/a/b/", "s3://bucket"])
def test_a_bucket(address: str) -> None:
    assert open_artifacts(address).address == address.rstrip("/")


@pytest.mark.parametrize("address", ["", "s3://", "s3:///x", "gs://bucket/x", "http://host/x"])
def test_anything_else_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput, match="MODEL_ENVELOPE_ARTIFACTS"):
        open_artifacts(address)
