"""A platform with the target `process`, and short ways to say what its services should run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import model_envelope as me
from model_envelope.deployment.targets.opening import open_target
from tests.integration.deployment.scene import Scene


@pytest.fixture
def scene(shared_cache: Path) -> Iterator[Scene]:
    """An embedded store with services as processes; whatever runs is stopped at the end."""
    client = me.Client()
    made = Scene(client)
    yield made
    target = open_target("process", client.platform)
    target.route([])
    for running in target.running():
        made.stop(running.release)
    client.store.close()
