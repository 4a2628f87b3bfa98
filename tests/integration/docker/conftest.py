"""Models in images, and a registry."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model_envelope import config
from model_envelope.artifacts.opening import open_artifacts
from model_envelope.deployment.images.building import ImageBuilder
from model_envelope.store.opening import open_store, upgrade
from tests.integration.docker.engine import (
    REPOSITORY,
    answers,
    base_image,
    engine,
    missing,
    until,
)

__all__ = ["base_image", "engine"]


@pytest.fixture
def builder(base_image: str, shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> ImageBuilder:
    """Builds images of this test's own store."""
    monkeypatch.setenv(config.BASE_IMAGE, base_image)
    monkeypatch.setenv(config.IMAGE_REPOSITORY, REPOSITORY)
    upgrade(config.store_url())
    return ImageBuilder(
        store=open_store(config.store_url()),
        artifacts=open_artifacts(config.artifacts_address()),
        cache=shared_cache,
    )


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., None]:
    """Wait for something to come about."""
    return until


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """`host:port` of an empty registry."""
    program = shutil.which("docker-registry")
    if program is None:
        missing("no registry: apt-get install docker-registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = tmp_path / "registry.yml"
    storage = f"storage: {{filesystem: {{rootdirectory: {tmp_path}/registry}}}}"
    settings.write_text(
        f"version: 0.1\nlog: {{level: error}}\n{storage}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
    )
    server = subprocess.Popen([str(program), "serve", str(settings)], stderr=subprocess.DEVNULL)
    until(lambda: answers(port))
    yield f"127.0.0.1:{port}"
    server.terminate()
    server.wait()
