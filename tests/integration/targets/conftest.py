"""The targets that there are, each on a platform of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import model_envelope as me
from model_envelope import config
from model_envelope.deployment.targets.protocol import Platform
from tests.conftest import free_port
from tests.integration.docker.engine import REPOSITORY, base_image, engine
from tests.integration.kubernetes.cluster import (
    WANTED,
    KubernetesSite,
    cluster,
    cluster_registry,
)
from tests.integration.kubernetes.cluster import kubernetes_site as open_kubernetes_site
from tests.integration.kubernetes.control_plane import ControlPlane
from tests.integration.targets.site import Site

__all__ = ["base_image", "cluster", "cluster_registry", "engine"]


@pytest.fixture
def platform(shared_cache: Path, tmp_path: Path) -> Platform:
    """An embedded store, and a folder for what must stay."""
    client = me.Client()
    return Platform(
        store=client.store, artifacts=client.artifacts, cache=shared_cache, state=tmp_path / "state"
    )


@pytest.fixture
def process_site(platform: Platform) -> Iterator[Site]:
    """The target `process`."""
    site = Site("process", platform, "doubles")
    yield site
    site.close()


@pytest.fixture
def docker_site(
    base_image: str, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """The target `docker`, behind a HAProxy of its own."""
    monkeypatch.setenv(config.BASE_IMAGE, base_image)
    monkeypatch.setenv(config.IMAGE_REPOSITORY, REPOSITORY)
    monkeypatch.setenv(config.PROXY_URL, f"http://127.0.0.1:{free_port()}")
    site = Site("docker", platform, "doubles")
    yield site
    site.close()
    os.kill(int((platform.state / "docker/proxy/pid").read_text()), signal.SIGTERM)


@pytest.fixture
def pushed_images(base_image: str, cluster_registry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images are built here, and pushed to where a cluster's nodes pull them from."""
    monkeypatch.setenv(config.BASE_IMAGE, base_image)
    monkeypatch.setenv(config.IMAGE_REPOSITORY, f"{cluster_registry}/models")


@pytest.fixture
def kubernetes_site(
    cluster: ControlPlane,
    pushed_images: None,
    platform: Platform,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[KubernetesSite]:
    """The target `kubernetes`, where binaries for a cluster were named."""
    with open_kubernetes_site(cluster, platform, tmp_path / "edge", monkeypatch) as site:
        yield site


@pytest.fixture(params=["process", "docker", pytest.param("kubernetes", marks=WANTED)])
def site(request: pytest.FixtureRequest) -> Site:
    """Each target; the test runs on all of them."""
    site: Site = request.getfixturevalue(f"{request.param}_site")
    return site
