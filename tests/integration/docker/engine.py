"""A Docker engine, and a base image that needs no registry: fixtures."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from model_envelope.deployment.engine import connected
from model_envelope.errors import TargetFailed
from tests.conftest import free_port

BASE = "model-envelope-test-base:bookworm"
REPOSITORY = "model-envelope-test"
BUILT = Path(__file__).parents[3] / "build"


def missing(what: str) -> None:
    pytest.fail(what) if os.environ.get("CI") else pytest.skip(what)


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Let one of the processes that run tests go on at a time."""
    with (Path(tempfile.gettempdir()) / f"model-envelope-{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def until(met: Callable[[], bool], *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.1)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def engine_answers() -> bool:
    try:
        with connected():
            return True
    except TargetFailed:
        return False


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    """A client of a running engine; root starts one where there is none."""
    with alone("engine"):
        if not engine_answers():
            if os.geteuid() != 0 or shutil.which("dockerd") is None:
                missing("no Docker engine: apt-get install docker.io, and run as root")
            _start_engine()
    with connected() as client:
        with alone("engine"):
            _forget_old_images(client)
        yield client


def _start_engine() -> None:
    """Start an engine, which stays: other processes that run tests use it, too."""
    said = Path(tempfile.gettempdir()) / "model-envelope-dockerd.log"
    with said.open("ab") as log:
        subprocess.run(["setsid", "-f", "dockerd"], stdout=log, stderr=log, check=True)
    try:
        until(engine_answers)
    except AssertionError:
        # Installed, but the kernel or a sandbox around this machine does not let it.
        last = said.read_text(errors="replace")[-500:]
        pytest.skip(f"dockerd does not start on this machine: {last}")


def _forget_old_images(client: Any) -> None:
    import docker

    # Those of an environment stay: they take a minute each.
    a_while_ago = datetime.now(UTC) - timedelta(minutes=10)
    for image in client.images.list(name=REPOSITORY):
        if datetime.fromisoformat(image.attrs["Created"][:19] + "+00:00") < a_while_ago:
            with suppress(docker.errors.APIError):  # in use
                client.images.remove(image.id, force=True)


@pytest.fixture(scope="session")
def base_image(engine: Any) -> str:
    """A Debian without anything that was not asked for; made once for a machine."""
    with alone("base-image"):
        if not engine.images.list(name=BASE):
            if os.geteuid() != 0 or shutil.which("debootstrap") is None:
                missing("no base image: apt-get install debootstrap, and run as root")
            BUILT.mkdir(exist_ok=True)
            archive = BUILT / "test-base-bookworm.tar"
            if not archive.exists():
                _debootstrap(archive)
            subprocess.run(["docker", "import", str(archive), BASE], check=True)
    return BASE


@contextmanager
def run_registry(folder: Path) -> Iterator[str]:
    """`host:port` of an empty registry that keeps what it gets in a folder."""
    program = shutil.which("docker-registry")
    if program is None:
        missing("no registry: apt-get install docker-registry")
    port = free_port()
    settings = folder / "registry.yml"
    storage = f"storage: {{filesystem: {{rootdirectory: {folder}/registry}}}}"
    settings.write_text(
        f"version: 0.1\nlog: {{level: error}}\n{storage}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
    )
    server = subprocess.Popen(
        [str(program), "serve", str(settings)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: answers(port))
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _debootstrap(archive: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        options = ["--variant=minbase", "--include=ca-certificates"]
        subprocess.run(["debootstrap", *options, "bookworm", f"{folder}/root"], check=True)
        staging = archive.with_suffix(".part")
        subprocess.run(["tar", "-C", f"{folder}/root", "-cf", str(staging), "."], check=True)
        staging.rename(archive)
