"""The targets that there are, each on a platform of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import model_envelope as me
from model_envelope.deployment.targets.protocol import Platform
from tests.integration.targets.site import Site


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


@pytest.fixture(params=["process"])
def site(request: pytest.FixtureRequest) -> Site:
    """Each target; the test runs on all of them."""
    site: Site = request.getfixturevalue(f"{request.param}_site")
    return site
