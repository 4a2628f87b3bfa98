"""`model-envelope reconcile --every`: one process that keeps services as they should be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import model_envelope as me
from tests.integration.deployment.scene import SERVICE, Scene, times
from tests.integration.targets.traffic import Traffic

BOUNDS = {"max": 2, "in_flight": 2, "cooldown_seconds": 2}


@pytest.fixture
def keeper(scene: Scene, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The command, and the file it writes to."""
    said = tmp_path / "said"
    command = [sys.executable, "-m", "model_envelope.cli", "reconcile", "--every", "0.5"]
    scene.save(times(1), name="other")  # The store is there.
    with said.open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parents[3]),
                "PYTHONUNBUFFERED": "1",
            },
        )
    yield process, said
    if process.poll() is None:
        process.kill()
        process.wait()


def slow() -> Any:
    """Doubles `a`, one batch at a time, a moment for each."""

    def model(frame: Any) -> Any:
        time.sleep(0.05)
        return frame["a"] * 2

    return model


def test_it_deploys_by_rules_follows_the_load_and_ends_when_told(
    scene: Scene, keeper: tuple[subprocess.Popen[bytes], Path]
) -> None:
    process, said = keeper
    me.rule(
        SERVICE, when="name == 'm'", service=SERVICE, target={"kind": "process", "replicas": BOUNDS}
    )
    envelope = scene.save(slow())
    scene.wait_until(lambda: scene.client.services() and scene.record.live_envelope == envelope.id)
    scene.wait_until(lambda: f"{SERVICE}: deployed" in said.read_text())

    def size() -> int:
        return len(scene.target.running()[0].addresses)

    with Traffic(scene.record.url or "", keeping=6, fresh=2) as traffic:
        scene.wait_until(lambda: size() == 2)
        listed = subprocess.run(
            [sys.executable, "-m", "model_envelope.cli", "services", "-o", "json"],
            capture_output=True,
            check=True,
        )
        assert json.loads(listed.stdout)[0]["replicas"] == "2 of 1-2"
        traffic.wait_for(20)
    scene.wait_until(lambda: size() == 1)
    assert not traffic.failures
    scene.wait_until(lambda: "scaled. 2 -> 1 replicas" in said.read_text())
    assert f"{SERVICE}: scaled. 1 -> 2 replicas: " in said.read_text()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    # What runs does not need it.
    assert scene.answer() == 2.0
