"""A real Airflow: its database and DAGs for `dag.test()` on SQLite, all of it on PostgreSQL."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psutil
import pytest

from tests.conftest import free_port
from tests.e2e.airflow_web import airflow_template, server  # noqa: F401 - fixtures
from tests.e2e.browser import chromium, visit  # noqa: F401 - fixtures of the pages' tests

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from model_envelope.client.client import Client
    from tests.conftest import PostgresServer

DAGS = Path(__file__).parent / "dags"
SHIPPED = Path(__file__).parents[2] / "dags"
PASSWORD = {"password": "for-tests-only"}
USERS = {"admin": "admin", "ada": "user"}
"""Users of the standalone Airflow, and their roles."""

T = TypeVar("T")


@pytest.fixture(scope="session")
def airflow_database() -> Path:
    """AIRFLOW_HOME, with the database migrated and the tests' DAGs in its folder."""
    home = Path(os.environ["AIRFLOW_HOME"])
    shutil.copytree(DAGS, home / "dags", dirs_exist_ok=True)
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True)
    return home


@pytest.fixture
def models(
    airflow_database: Path, sqlite_store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Client:
    """A client of an empty store, which is also Airflow's default connection."""
    from model_envelope.client.client import Client

    artifacts = str(tmp_path / "artifacts")
    extra = {"store": sqlite_store_url, "artifacts": artifacts}
    description = json.dumps({"conn_type": "model_envelope", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_MODEL_ENVELOPE_DEFAULT", description)
    return Client(store=sqlite_store_url, artifacts=artifacts)


@pytest.fixture(scope="session")
def dags(airflow_database: Path) -> dict[str, DAG]:
    """The tests' DAGs by their ids."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(airflow_database / "dags")
    assert not bag.import_errors
    return bag.dags


@pytest.fixture(scope="module")
def standalone_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of the empty store that `standalone_airflow` has as its default connection.

    Whatever was deployed is stopped at the end.
    """
    from model_envelope.client.client import Client
    from model_envelope.deployment.targets.opening import open_target

    folder = tmp_path_factory.mktemp("models")
    client = Client(
        store=f"sqlite:///{folder}/store.sqlite",
        artifacts=str(folder / "artifacts"),
        cache=folder / "cache",
        state=folder / "state",
    )
    assert client.store.head() == 0
    yield client
    target = open_target("process", client.platform)
    target.route([])
    for running in target.running():
        target.stop(running.release, drain=timedelta(0))


@pytest.fixture(scope="module")
def airflow_path() -> str:
    """The path that the standalone Airflow is served below."""
    return ""


@pytest.fixture(scope="module")
def standalone_airflow(
    tmp_path_factory: pytest.TempPathFactory,
    standalone_models: Client,
    postgres_server: PostgresServer,
    airflow_path: str,
) -> Iterator[StandaloneAirflow]:
    """A whole Airflow in processes of its own, healthy, with the tests' DAGs and ours to deploy."""
    folder = Path(standalone_models.artifacts.address).parent
    dags = shutil.copytree(DAGS, folder / "dags")
    for name in ("continuous_deployment.py", "model_deploy.py"):
        shutil.copy(SHIPPED / name, dags)
    database = postgres_server.create_database()
    airflow = StandaloneAirflow(
        tmp_path_factory.mktemp("airflow") / "home",
        dags,
        postgres_server.url(database),
        {
            "MODEL_ENVELOPE_HOME": str(folder / "home"),
            "MODEL_ENVELOPE_CACHE": str(folder / "cache"),
            "MODEL_ENVELOPE_STATE": str(folder / "state"),
            "MODEL_ENVELOPE_POLL_SECONDS": "1",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        },
        below=airflow_path,
    )
    extra = {"store": f"sqlite:///{folder}/store.sqlite", "artifacts": str(folder / "artifacts")}
    connection = {
        "connection_id": "model_envelope_default",
        "conn_type": "model_envelope",
        "extra": json.dumps(extra),
    }
    try:
        airflow.until("healthy Airflow", airflow.ready, seconds=600)
        airflow.call("/api/v2/connections", connection)
        yield airflow
    finally:
        airflow.stop()
        postgres_server.drop_database(database)


class StandaloneAirflow:
    """API server, scheduler, DAG processor and triggerer on PostgreSQL and free ports.

    Args:
        home: AIRFLOW_HOME, an empty folder.
        dags: a folder of DAGs, which is copied.
        database: the URL of an empty database.
        environment: further variables, such as connections.
        below: the path of its URL.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        database: str,
        environment: dict[str, str],
        *,
        below: str = "",
    ) -> None:
        self.home = home
        self.log = home / "standalone.log"
        shutil.copytree(dags, home / "dags", ignore=shutil.ignore_patterns("__pycache__"))
        passwords = dict.fromkeys(USERS, PASSWORD["password"])
        (home / "passwords.json").write_text(json.dumps(passwords))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{below}"
        self._variables = self._environment(database, environment)
        self._process = self._start("standalone")
        self._later: list[subprocess.Popen[bytes]] = []

    def _start(self, component: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "airflow", component],
                env=self._variables,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill_triggerer(self) -> None:
        """Kill it without a chance to say goodbye."""
        processes = psutil.Process(self._process.pid).children()
        (triggerer,) = [p for p in processes if "triggerer" in " ".join(p.cmdline())]
        _kill(triggerer.pid)

    def start_triggerer(self) -> None:
        """Start another one in its place."""
        self._later.append(self._start("triggerer"))

    def _environment(self, database: str, further: dict[str, str]) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW_")}
        bin_folder = Path(sys.executable).parent
        return {
            **inherited,
            "PATH": f"{bin_folder}{os.pathsep}{inherited['PATH']}",
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.home / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": database.replace(
                "psycopg", "psycopg_async"
            ),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
                f"{user}:{role}" for user, role in USERS.items()
            ),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            # A dead triggerer's watchers are another's after that time.
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
            **further,
        }

    def call(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """The JSON of an API route, as an administrator."""
        return json.loads(self.read(path, body, method))

    def read(
        self, path: str, body: Any = None, method: str | None = None, *, anonymous: bool = False
    ) -> str:
        """What a route answers."""
        headers = {"Content-Type": "application/json"}
        if not anonymous:
            headers["Authorization"] = f"Bearer {self.token()}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310
            self.url + path, data=data, headers=headers, method=method
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return str(answer.read(), "utf-8")

    def token(self, user: str = "admin") -> str:
        """What a user shows."""
        answer = self.read("/auth/token", {"username": user, **PASSWORD}, anonymous=True)
        return str(json.loads(answer)["access_token"])

    def until(self, what: str, found: Callable[[], T | None], seconds: float = 480) -> T:
        """Ask until there is an answer; fails with the end of the log."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if answer := found():
                    return answer
            except OSError:
                if self._process.poll() is not None:
                    break
            time.sleep(1)
        raise AssertionError(f"No {what}:\n{self._last_lines()}")

    def _last_lines(self, each: int = 40) -> str:
        """The end of every component's log: the DAG processor's alone would fill the screen."""
        by_component: dict[str, list[str]] = {}
        for line in self.log.read_text(errors="replace").splitlines():
            component = line.partition("|")[0].strip()[-20:]
            by_component.setdefault(component if "|" in line else "", []).append(line[:400])
        return "\n".join(line for lines in by_component.values() for line in lines[-each:])

    def ready(self) -> bool:
        """Whether every part of it has shown a sign of life."""
        health = self.call("/api/v2/monitor/health")
        return all(part["status"] == "healthy" for part in health.values())

    def stop(self) -> None:
        """Kill all of it: a signal to the first process would leave others behind."""
        for process in (self._process, *self._later):
            _kill(process.pid)
            process.wait()


def _kill(pid: int) -> None:
    """Kill a process and all that it started."""
    family = [pid]
    if psutil.pid_exists(pid):
        family += [child.pid for child in psutil.Process(pid).children(recursive=True)]
    for member in family:
        try:
            os.kill(member, signal.SIGKILL)
        except ProcessLookupError:
            continue
