"""`gc` removes images that no service needs, on the real engine, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import docker
import pandas as pd
import pytest
from typer.testing import CliRunner

import model_envelope as me
from model_envelope.cli.app import app
from model_envelope.deployment.images.building import Image, ImageBuilder
from model_envelope.deployment.images.pruning import prune
from model_envelope.store.store import Store
from tests.integration.docker.engine import REPOSITORY

NOW = timedelta(0)
TARGET = {"kind": "docker", "options": {}}


def save(factor: float) -> me.Envelope:
    def model(frame: pd.DataFrame) -> pd.Series:
        return frame["a"] * factor

    return me.save_model(model, tags={"name": "m"}, api_input=pd.DataFrame({"a": [1.0]}))


def is_there(engine: Any, name: str) -> bool:
    try:
        engine.images.get(name)
    except docker.errors.ImageNotFound:
        return False
    return True


def went_live(store: Store, service: str, envelope: me.Envelope) -> None:
    """As a reconciler writes it down."""
    record = store.want(service, target=TARGET, envelope_id=envelope.id, by="ada")
    fence = store.claim(service, f"test-{envelope.id}", timedelta(minutes=1))
    assert fence is not None
    store.begin_deployment(
        service, fence, envelope.id, envelope_id=envelope.id, by="ada", generation=record.generation
    )
    store.go_live(service, fence, envelope.id, "http://127.0.0.1:1/x")
    store.observe(service, fence, record.generation)
    store.release_claim(service, fence)


@pytest.fixture
def anchored(builder: ImageBuilder) -> Image:
    """A live model, so that the dependencies that all tests stand on stay."""
    envelope = save(1)
    went_live(builder.store, "anchor", envelope)
    return builder.build(envelope.record)


def pruned(builder: ImageBuilder, *, keep: timedelta = NOW, dry_run: bool = False) -> set[str]:
    """The models whose images were removed; others' tests may have left dependencies."""
    names = prune(builder.store, builder.cache, keep=keep, dry_run=dry_run)
    return {name for name in names if name.startswith(f"{REPOSITORY}:")}


@pytest.fixture
def retired(builder: ImageBuilder, anchored: Image) -> dict[str, Image]:
    """Images of a service's history: it was redeployed three times."""
    envelopes = {name: save(n) for n, name in enumerate(("oldest", "before", "live"), start=2)}
    images = {name: builder.build(envelope.record) for name, envelope in envelopes.items()}
    for envelope in envelopes.values():
        went_live(builder.store, "ltv", envelope)
    return images


def test_what_runs_or_would_be_rolled_back_to_stays(
    builder: ImageBuilder, engine: Any, retired: dict[str, Image]
) -> None:
    # All of it was deployed a moment ago.
    assert pruned(builder, keep=timedelta(days=1)) == set()
    oldest = retired["oldest"].reference
    assert pruned(builder, dry_run=True) == {oldest}
    assert is_there(engine, oldest)
    assert pruned(builder) == {oldest}
    assert not is_there(engine, oldest)
    for name in ("before", "live"):
        assert is_there(engine, retired[name].reference)
    assert is_there(engine, retired["live"].dependencies)
    assert pruned(builder) == set()


@pytest.mark.usefixtures("anchored")
def test_what_a_container_uses_or_somebody_named_stays(builder: ImageBuilder, engine: Any) -> None:
    used, named, free = (builder.build(save(n).record) for n in (5, 6, 7))
    container = engine.containers.create(used.reference)
    engine.images.get(named.id).tag("model-envelope-test-precious")
    try:
        assert pruned(builder) == {free.reference}
        assert is_there(engine, used.reference)
        assert is_there(engine, named.reference)
    finally:
        container.remove()
        engine.images.remove("model-envelope-test-precious")
    assert pruned(builder) == {used.reference, named.reference}


@pytest.fixture
def foreign(engine: Any, base_image: str) -> Iterator[str]:
    """An image of another store, by its labels and its name."""
    name = f"{REPOSITORY}:{'0' * 20}-{'1' * 16}"
    container = engine.containers.create(base_image, "true")
    labels = {
        "io.model-envelope.dependencies": "model-envelope-dependencies:none",
        "io.model-envelope.envelope": "0" * 20,
        "io.model-envelope.owner": "somebody-else",
    }
    container.commit(*name.split(":"), conf={"Labels": labels})
    container.remove()
    yield name
    engine.images.remove(name)


@pytest.mark.usefixtures("anchored")
def test_images_of_others_are_never_touched(
    builder: ImageBuilder, engine: Any, foreign: str
) -> None:
    image = builder.build(save(8).record)
    assert pruned(builder) == {image.reference}
    assert is_there(engine, foreign)


@pytest.fixture
def lonely_dependencies(engine: Any, base_image: str) -> Iterator[str]:
    """An image of dependencies on which nothing stands any more."""
    name = f"model-envelope-dependencies:{'a' * 32}"
    container = engine.containers.create(base_image, "true")
    container.commit(*name.split(":"), conf={"Labels": {"io.model-envelope.dependencies": name}})
    container.remove()
    yield name
    if is_there(engine, name):
        engine.images.remove(name)


def test_dependencies_go_when_nothing_stands_on_them(
    anchored: Image, engine: Any, lonely_dependencies: str
) -> None:
    command = ["gc", "--unused-days", "0"]
    found = CliRunner().invoke(app, [*command, "--dry-run", "-o", "json"])
    assert lonely_dependencies in json.loads(found.stdout)["targets"]["docker"]
    assert is_there(engine, lonely_dependencies)
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 0, found.output
    assert "left at the target docker" in found.stdout
    assert not is_there(engine, lonely_dependencies)
    assert is_there(engine, anchored.dependencies)
    assert is_there(engine, anchored.reference)
