"""Models in images, and a registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model_envelope import config
from model_envelope.artifacts.opening import open_artifacts
from model_envelope.deployment.images.building import ImageBuilder
from model_envelope.store.opening import open_store, upgrade
from tests.integration.docker.engine import (
    REPOSITORY,
    base_image,
    engine,
    run_registry,
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
    with run_registry(tmp_path) as address:
        yield address
