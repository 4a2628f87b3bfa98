"""A platform with the target `process`, and short ways to say what its services should run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import model_envelope as me
from model_envelope.deployment.targets.opening import open_target
from tests.integration.deployment.scene import Scene


@pytest.fixture
def scene(
    request: pytest.FixtureRequest, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    """A store with services as processes; whatever runs is stopped at the end.

    The store is embedded, or on PostgreSQL where `postgres` is the parameter.
    """
    if getattr(request, "param", "sqlite") == "postgres":
        monkeypatch.setenv("MODEL_ENVELOPE_STORE", request.getfixturevalue("postgres_store_url"))
    client = me.Client()
    made = Scene(client)
    yield made
    target = open_target("process", client.platform)
    target.route([])
    for running in target.running():
        made.stop(running.release)
    client.store.close()
