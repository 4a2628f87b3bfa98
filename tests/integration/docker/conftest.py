"""A Docker engine, a base image that needs no registry, and models in images."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from model_envelope import config
from model_envelope.artifacts.opening import open_artifacts
from model_envelope.deployment.images.building import ImageBuilder
from model_envelope.store.opening import open_store, upgrade

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
    import docker

    try:
        with closing(docker.from_env()) as client:
            return bool(client.ping())
    except docker.errors.DockerException:
        return False


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    """A client of a running engine; root starts one where there is none."""
    import docker

    with alone("engine"):
        if not engine_answers():
            if os.geteuid() != 0 or shutil.which("dockerd") is None:
                missing("no Docker engine: apt-get install docker.io, and run as root")
            log = (Path(tempfile.gettempdir()) / "model-envelope-dockerd.log").open("ab")
            # It stays: other processes that run tests use it too.
            subprocess.Popen(["dockerd"], stdout=log, stderr=log, start_new_session=True)
            until(engine_answers)
    with closing(docker.from_env(timeout=600)) as client:
        with alone("engine"):
            _forget_old_images(client)
        yield client


def _forget_old_images(client: Any) -> None:
    # Those of an environment stay: they take a minute each.
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    for image in client.images.list(name=REPOSITORY):
        if datetime.fromisoformat(image.attrs["Created"][:19] + "+00:00") < hour_ago:
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


def _debootstrap(archive: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        options = ["--variant=minbase", "--include=ca-certificates"]
        subprocess.run(["debootstrap", *options, "bookworm", f"{folder}/root"], check=True)
        staging = archive.with_suffix(".part")
        subprocess.run(["tar", "-C", f"{folder}/root", "-cf", str(staging), "."], check=True)
        staging.rename(archive)


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
