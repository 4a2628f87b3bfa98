"""An engine that has no room, or is killed, in the middle of a build: one of the test's own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pandas as pd
import pytest

import model_envelope as me
from model_envelope import config
from model_envelope.deployment.engine import connected
from model_envelope.deployment.failures import is_passing
from model_envelope.deployment.images.building import ImageBuilder
from model_envelope.deployment.reconciling import Outcome, reconcile
from model_envelope.deployment.targets.protocol import Platform
from model_envelope.errors import TargetFailed
from tests.integration.docker.engine import engine_answers, missing, until

LITTLE, ENOUGH = 450, 3000


class OwnEngine:
    """A Docker engine that keeps everything on a small disk."""

    def __init__(self, folder: Path, disk: Path) -> None:
        self._folder = folder
        self.disk = disk
        self.address = f"unix://{folder}/docker.sock"
        self.start()

    def start(self) -> None:
        options = {
            "--data-root": self.disk / "root",
            "--exec-root": self._folder / "exec",
            "--pidfile": self._folder / "pid",
            "--host": self.address,
            "--bridge": "none",
        }
        # Where nobody reaps what a killed engine had started, it would take it for alive.
        (self._folder / "exec/containerd/containerd.pid").unlink(missing_ok=True)
        words = [f"{name}={value}" for name, value in options.items()]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["dockerd", *words, "--iptables=false", "--ip-masq=false"], stdout=log, stderr=log
            )
        until(lambda: engine_answers() or self._process.poll() is not None)
        if self._process.poll() is not None:
            missing(f"a second dockerd does not start: see {self._folder}/log")

    def end(self, number: int = signal.SIGTERM) -> None:
        self._process.send_signal(number)
        self._process.wait()

    def remove(self) -> None:
        """End it, and what a killed one has left: processes, and what it mounted."""
        if self._process.poll() is None:
            self.end()
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if str(self._folder).encode() in file.read_bytes():
                    os.kill(int(file.parent.name), signal.SIGKILL)
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            place = line.split()[1]
            if place.startswith((f"{self.disk}/", f"{self._folder}/")):
                subprocess.run(["umount", "--lazy", place], check=True)

    def enlarge(self, megabytes: int) -> None:
        command = ["mount", "-o", f"remount,size={megabytes}m", str(self.disk)]
        subprocess.run(command, check=True)

    def images(self) -> list[str]:
        with connected() as client:
            return [tag for image in client.images.list() for tag in image.tags]


@pytest.fixture
def own_engine(
    base_image: str,
    builder: ImageBuilder,
    small_disk: Callable[[int], Path],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[OwnEngine]:
    """An engine with the base image, and room for little else; the one that is talked to."""
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        missing("no engine of one's own: apt-get install docker.io, and run as root")
    disk = small_disk(LITTLE)
    folder = tmp_path_factory.mktemp("engine")
    archive = folder / "base.tar"
    subprocess.run(["docker", "save", "--output", str(archive), base_image], check=True)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/docker.sock")
    found = OwnEngine(folder, disk)
    subprocess.run(["docker", "load", "--input", str(archive)], check=True)
    archive.unlink()
    yield found
    found.remove()


def save() -> me.Envelope:
    def model(frame: pd.DataFrame) -> pd.Series:
        return frame["a"] * 2

    return me.save_model(model, tags={"name": "m"}, api_input=pd.DataFrame({"a": [1.0]}))


@pytest.mark.slow
def test_a_full_disk_of_the_engine_is_said_and_tried_again(
    own_engine: OwnEngine, builder: ImageBuilder
) -> None:
    record = save().record
    before = own_engine.images()
    with pytest.raises(TargetFailed, match=r"(?i)no space left on device") as full:
        builder.build(record)
    assert is_passing(full.value)
    assert own_engine.images() == before
    own_engine.enlarge(ENOUGH)
    assert builder.build(record).reference in own_engine.images()


@pytest.mark.slow
def test_an_engine_that_is_killed_while_it_builds_costs_a_try(
    own_engine: OwnEngine, builder: ImageBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_engine.enlarge(ENOUGH)
    before = own_engine.images()
    monkeypatch.setenv(config.PROXY_URL, "http://127.0.0.1:1")
    envelope, store = save(), builder.store
    store.want("ltv", target={"kind": "docker"}, envelope_id=envelope.id, by="ada")
    platform = Platform(
        store=store, artifacts=builder.artifacts, cache=builder.cache, state=tmp_path / "state"
    )
    outcomes: list[Outcome] = []
    work = Thread(target=lambda: outcomes.extend(reconcile(platform)))
    work.start()
    until(lambda: builds(own_engine), seconds=300)
    own_engine.end(signal.SIGKILL)
    work.join()
    (outcome,) = outcomes
    assert outcome.action == "retrying", outcome
    assert outcome.reason.startswith("prepare: ")
    assert outcome.retry_at is not None
    assert store.service("ltv").live_deployment is None
    own_engine.start()
    assert own_engine.images() == before


def builds(own: OwnEngine) -> bool:
    """Whether a container of a build runs."""
    with connected() as client:
        found: list[Any] = client.containers.list(all=True)
        return bool(found)
