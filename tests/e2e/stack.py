"""The stack of docker-compose.airflow.yml, with stand-ins for images that need a registry."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import yaml

from tests.conftest import free_port

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.airflow.yml"
STAND_INS = Path(__file__).parent / "stand_ins"
CERTIFICATES = Path("/usr/local/share/ca-certificates")
IMAGES = ("PYTHON", "UV", "POSTGRES", "S3", "HAPROXY", "PROMETHEUS")
DEPENDENCIES = "model-envelope-dependencies:"
PATIENCE = 1800
T = TypeVar("T")

# Debian 12 has the first Compose, which is another program; that of 13 runs on 12, too.
_SOURCE = """\
Types: deb
URIs: http://deb.debian.org/debian
Suites: trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


def compose_program() -> Path | None:
    """Docker Compose 2: this machine's, or Debian's, fetched once; None where neither is."""
    known = ("/usr/libexec/docker/cli-plugins", "/usr/lib/docker/cli-plugins")
    for folder in (*known, Path.home() / ".docker/cli-plugins"):
        if (found := Path(folder, "docker-compose")).exists():
            return found
    program = ROOT / "build" / "docker-compose"
    if not program.exists() and shutil.which("apt-get") and os.geteuid() == 0:
        _fetch(program)
    return program if program.exists() else None


def _fetch(program: Path) -> None:
    """From the package of a later Debian, with the package manager, beside what is installed."""
    folder = program.with_name(f"apt-{uuid4().hex}")
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "trixie.sources").write_text(_SOURCE)
    settings = {
        "Dir::Etc::SourceList": folder / "trixie.sources",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "root",
    }
    options = [f"-o{key}={value}" for key, value in settings.items()]
    try:
        for command in ("update", "download docker-compose"):
            subprocess.run(
                ["apt-get", "-qq", *options, *command.split()], cwd=folder, check=True, timeout=300
            )
        (package,) = folder.glob("docker-compose_*.deb")
        subprocess.run(["dpkg-deb", "-x", package, folder / "content"], check=True)
        (found,) = (folder / "content").rglob("cli-plugins/docker-compose")
        found.replace(program)
    except (subprocess.SubprocessError, ValueError):
        return
    finally:
        shutil.rmtree(folder)


def new_environment() -> dict[str, str]:
    """Settings as a new user makes them."""
    done = subprocess.run(
        [sys.executable, ROOT / "compose" / "new_environment.py"],
        check=True,
        capture_output=True,
        text=True,
    )
    lines = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


class Stack:
    """A stack of its own name, folders and ports."""

    def __init__(self, program: Path, engine: Any, folder: Path) -> None:
        self.name = f"model-envelope-test-{uuid4().hex[:8]}"
        self._program, self._engine, self._folder = program, engine, folder
        ports = {name: free_port() for name in ("AIRFLOW", "PROXY", "PROMETHEUS")}
        self.urls = {name: f"http://localhost:{port}" for name, port in ports.items()}
        self._built_before = self._builds()
        self.settings = {
            "DOCKER_GID": str(Path("/var/run/docker.sock").stat().st_gid),
            **new_environment(),
            **{f"{name}_IMAGE": self._image(name) for name in IMAGES},
            **{f"{name}_PORT": str(port) for name, port in ports.items()},
            "STACK": self.name,
            "PLATFORM_IMAGE": self._image("PLATFORM"),
            "SERVICE_BASE_IMAGE": self._image("PYTHON"),
            "SERVICE_REPOSITORY": f"{self.name}-models",
            # Packages come by the way by which the tests themselves get theirs.
            "BUILD_NETWORK": "host",
        }
        self._write()

    def _image(self, name: str) -> str:
        return f"{self.name}:{name.lower()}"

    def _write(self) -> None:
        """Settings, and the Python and the packages that the stand-in for S3 is lent."""
        lines = [f"{key}={value}\n" for key, value in self.settings.items()]
        (self._folder / ".env").write_text("".join(lines))
        folders = sorted({sys.prefix, sys.base_prefix})
        s3 = {
            "environment": {"PYTHON": sys.executable},
            "volumes": [f"{folder}:{folder}:ro" for folder in folders],
        }
        (self._folder / "more.yml").write_text(yaml.safe_dump({"services": {"s3": s3}}))

    def build_stand_ins(self, base: str) -> None:
        """Images of Debian's programs, on a base that needs no registry."""
        context = self._folder / "stand-ins"
        shutil.copytree(STAND_INS, context)
        (context / "certificates").mkdir()
        for file in CERTIFICATES.glob("*.crt"):
            shutil.copy(file, context / "certificates")
        shutil.copy(Path(sys.executable).with_name("uv"), context)
        for name in IMAGES:
            self._engine.images.build(
                path=str(context),
                target=name.lower(),
                buildargs={"BASE": base},
                tag=self._image(name),
                network_mode="host",
                rm=True,
                forcerm=True,
            )

    def up(self) -> None:
        """Build, start, and wait until all of it is healthy."""
        self.compose("build", "--quiet")
        self.compose("up", "--no-build", "--wait")

    def compose(self, *arguments: str, text: str | None = None) -> str:
        """What a command of compose prints; fails with all that it said."""
        options = ["--env-file", str(self._folder / ".env"), "--project-directory", str(ROOT)]
        files = ["--file", str(FILE), "--file", str(self._folder / "more.yml")]
        done = subprocess.run(
            [str(self._program), *options, *files, *arguments],
            env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")},
            input=text,
            stdin=None if text is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode:
            logs = "" if arguments[0] == "logs" else self.compose("logs", "--tail=40")
            raise AssertionError(f"{arguments}:\n{done.stdout}\n{done.stderr}\n{logs}"[-20000:])
        return done.stdout

    def inside(self, *command: str, text: str = "") -> str:
        """What a command prints where tasks run."""
        return self.compose("exec", "-T", "airflow-scheduler", *command, text=text)

    def airflow(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """The JSON of a route of Airflow's API, as its administrator."""
        user = {"username": "admin", "password": self.settings["AIRFLOW_ADMIN_PASSWORD"]}
        token = ask(f"{self.urls['AIRFLOW']}/auth/token", user)["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        return ask(self.urls["AIRFLOW"] + path, body, method=method, headers=headers)

    def unpause(self, dag: str) -> None:
        """Let runs of a DAG start, once it was found."""
        path = f"/api/v2/dags/{dag}"
        self.until(f"DAG {dag}", lambda: self.airflow(path, {"is_paused": False}, "PATCH"))

    def run(self, dag: str, logical_date: str | None = None, **conf: Any) -> None:
        """Run a DAG to its end, and nothing else of it."""
        self.unpause(dag)
        runs = f"/api/v2/dags/{dag}/dagRuns"
        body = {"logical_date": logical_date, "conf": conf}
        own = self.airflow(runs, body)["dag_run_id"]
        for other in self.airflow(runs)["dag_runs"]:
            if other["dag_run_id"] != own:  # what its schedule started when it was unpaused
                self.airflow(f"{runs}/{other['dag_run_id']}", {"state": "failed"}, "PATCH")

        def ended() -> str | None:
            state = str(self.airflow(f"{runs}/{own}")["state"])
            return state if state in ("success", "failed") else None

        state = self.until(f"end of {dag}", ended)
        assert state == "success", self.compose("logs", "--tail=200", "airflow-scheduler")

    def until(self, what: str, look: Callable[[], T | None]) -> T:
        """Look until there is something; fails with the logs."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if found := look():
                    return found
            except OSError:
                pass
            time.sleep(2)
        raise AssertionError(f"No {what}:\n{self.compose('logs', '--tail=60')}"[-20000:])

    def remains(self) -> dict[str, list[str]]:
        """What the engine still has of it, but for images."""
        chosen = {"label": f"com.docker.compose.project={self.name}"}
        found = {
            "containers": self._engine.containers.list(all=True, filters=chosen),
            "networks": self._engine.networks.list(filters=chosen),
            "volumes": self._engine.volumes.list(filters=chosen),
        }
        return {kind: [one.name for one in those] for kind, those in found.items()}

    def remove(self) -> None:
        """All of it, also what a failed test left running, and every image."""
        for network in self._engine.networks.list(names=[f"{self.name}-services"]):
            network.reload()
            for container in network.containers:
                if container.name.startswith("me-"):
                    container.remove(force=True, v=True)
        self.compose("down", "--volumes", "--timeout=5")
        # What an image of the engine's Python holds for a model has a name of its own.
        images = self._engine.images.list()
        bases = [_layers(image) for image in images if self._image("PYTHON") in image.tags]
        for image in images:
            shared = any(_layers(image)[: len(base)] == base for base in bases)
            for tag in image.tags:
                if tag.startswith(self.name) or (shared and tag.startswith(DEPENDENCIES)):
                    self._engine.images.remove(tag, force=True)
        self._forget_builds()

    def _builds(self) -> set[str]:
        """What the engine keeps for builds that are like earlier ones."""
        return {found["ID"] for found in self._engine.df()["BuildCache"] or ()}

    def _forget_builds(self) -> None:
        """Remove gigabytes of it, those of its own build; what others stand on goes last."""
        while own := self._builds() - self._built_before:
            answers = [
                self._engine.api.prune_builds(filters={"id": one}, all=True) for one in sorted(own)
            ]
            if not any(answer["CachesDeleted"] for answer in answers):
                return


def _layers(image: Any) -> list[str]:
    return list(image.attrs["RootFS"].get("Layers") or ())


def ask(
    url: str,
    body: Any = None,
    *,
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """The JSON that comes back."""
    request = urllib.request.Request(  # noqa: S310
        url,
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json", **(headers or {})},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
        return json.load(answer)
