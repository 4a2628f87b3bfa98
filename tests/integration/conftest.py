"""Fixtures of tests that talk to a store."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from model_envelope.envelope import EnvelopeRecord, Environment, FileRef, Manifest, Provenance
from model_envelope.names import new_id
from model_envelope.runtime.spec import FunctionSpec
from model_envelope.store.opening import open_store
from model_envelope.store.store import Store


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty store; the test runs on both databases."""
    with open_store(store_url) as opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgres"])
def emptied(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Gives the URL of an empty store, again and again."""
    if request.param == "sqlite":
        template = request.getfixturevalue("sqlite_template")

        def fresh() -> str:
            file = Path(tempfile.mkdtemp(dir=tmp_path)) / "store.sqlite"
            shutil.copy(template, file)
            return f"sqlite:///{file}"

        return fresh
    server = request.getfixturevalue("postgres_server")
    database = request.getfixturevalue("postgres_store_database")

    def empty() -> str:
        server.empty_store(database)
        return str(server.url(database))

    return empty


@pytest.fixture
def new_manifest() -> Callable[..., Manifest]:
    """Makes manifests of small models; keywords replace fields."""

    def make(**fields: Any) -> Manifest:
        values: dict[str, Any] = {
            "id": new_id(),
            "created_at": datetime.now(UTC),
            "functions": {"predict": FunctionSpec(name="predict", file="predict.bundle")},
            "files": {"predict.bundle": FileRef(sha256="ab" * 32, size=1234)},
            "environment": Environment(
                python="3.11.7", platform="linux_x86_64", distributions=(), digest="cd" * 32
            ),
            "provenance": Provenance(user="ada", host="engine"),
        }
        return Manifest(**{**values, **fields})

    return make


@pytest.fixture
def save(store: Store, new_manifest: Callable[..., Manifest]) -> Callable[..., EnvelopeRecord]:
    """Saves an envelope whose files nobody needs: `save(region="US")` gives it a tag."""

    def save(
        manifest: Manifest | None = None,
        *,
        into: Store = store,
        save_key: str | None = None,
        tags: dict[str, str] | None = None,
        description: str = "A model",
        metrics: Any = (),
        hyperparameters: Any = None,
        **more: str,
    ) -> EnvelopeRecord:
        made = manifest or new_manifest()
        into.begin_upload(made.id, timedelta(hours=1))
        return into.commit_envelope(
            manifest=made,
            manifest_sha256=hashlib.sha256(made.to_bytes()).hexdigest(),
            description=description,
            tags={**(tags or {}), **more},
            save_key=save_key or uuid.uuid4().hex,
            metrics=metrics,
            hyperparameters=hyperparameters or {},
        )

    return save


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts disks of so many megabytes: `small_disk(24)` is the folder of one."""
    mounted: list[Path] = []

    def mount(megabytes: int) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("may not mount a file system")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)
