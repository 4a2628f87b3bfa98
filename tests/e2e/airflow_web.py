"""Airflow's web server on PostgreSQL below a path, with users of each role: nothing runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

import pytest

from tests.conftest import free_port

if TYPE_CHECKING:
    from model_envelope.client.client import Client
    from tests.conftest import PostgresServer

BELOW = "/teams/models"
OURS = {"X-Model-Envelope": "1"}
USERS = {"viewer": "viewer", "user": "ada", "admin": "root"}
"""A user of each role."""


@dataclass
class WebServer:
    """Airflow's API server, and those who use it."""

    url: str
    models: Client
    settings: dict[str, str]
    tokens: dict[str, str] = field(default_factory=dict)

    def add_dag(self, file: Path) -> None:
        """Have it know the DAGs of one more file."""
        shutil.copy(file, self.settings["AIRFLOW__CORE__DAGS_FOLDER"])
        airflow("dags", "reserialize", **self.settings)

    def ask(
        self,
        path: str,
        role: str | None = "admin",
        method: str = "GET",
        body: Any = None,
        headers: dict[str, str] = OURS,
    ) -> tuple[int, str, Message]:
        """Status, body and headers of an answer; `role` None is nobody."""
        given = {**headers, "Content-Type": "application/json"}
        if role is not None:
            given["Authorization"] = f"Bearer {self.token(role)}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310
            self.url + path, data=data, headers=given, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as found:  # noqa: S310
                return found.status, found.read().decode(), found.headers
        except HTTPError as error:
            with error:
                return error.code, error.read().decode(), error.headers

    def token(self, role: str) -> str:
        """What the user of a role shows."""
        if role not in self.tokens:
            body = {"username": USERS[role], "password": f"{role}-word"}
            status, text, _ = self.ask("/auth/token", None, "POST", body)
            assert status == 201, text
            self.tokens[role] = json.loads(text)["access_token"]
        return self.tokens[role]


def airflow(*command: str, **settings: str) -> None:
    """Run a command of Airflow to its end."""
    whole = [sys.executable, "-m", "airflow", *command]
    subprocess.run(whole, env=os.environ | settings, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def airflow_template(postgres_server: PostgresServer) -> str:
    """The name of a PostgreSQL database with Airflow's schema, to copy."""
    name = postgres_server.create_database()
    airflow("db", "migrate", **_database(postgres_server.url(name)))
    return name


def _database(url: str) -> dict[str, str]:
    return {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": url.replace("psycopg", "psycopg_async"),
    }


@pytest.fixture(scope="module")
def server(
    postgres_server: PostgresServer,
    airflow_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[WebServer]:
    """With the simple auth manager."""
    folder = tmp_path_factory.mktemp("web")
    dags = folder / "dags"
    dags.mkdir()
    passwords = {name: f"{role}-word" for role, name in USERS.items()}
    (folder / "passwords.json").write_text(json.dumps(passwords))
    database = postgres_server.create_database(airflow_template)
    settings = {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
            f"{name}:{role}" for role, name in USERS.items()
        ),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "passwords.json"),
        **_database(postgres_server.url(database)),
    }
    with web_server(folder, settings) as found:
        yield found
    postgres_server.drop_database(database)


@contextmanager
def web_server(folder: Path, further: dict[str, str]) -> Iterator[WebServer]:
    """An API server over an empty store, with further settings."""
    from model_envelope.client.client import Client

    store, artifacts = f"sqlite:///{folder}/store.sqlite", str(folder / "artifacts")
    client = Client(store=store, artifacts=artifacts)
    assert client.store.head() == 0
    port = free_port()
    connection = {"conn_type": "model_envelope", "extra": {"store": store, "artifacts": artifacts}}
    url = f"http://127.0.0.1:{port}"
    settings = {
        "AIRFLOW__API__BASE_URL": f"{url}{BELOW}",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW_CONN_MODEL_ENVELOPE_DEFAULT": json.dumps(connection),
        **further,
    }
    log = folder / "log"
    command = [sys.executable, "-m", "airflow", "api-server", "--host", "127.0.0.1"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            env=os.environ | settings,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        found = WebServer(url + BELOW, client, settings)
        _until_it_answers(found, process, log)
        yield found
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        client.store.close()


def _until_it_answers(server: WebServer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if server.ask("/api/v2/version", None)[0] == 200:
                return
        except OSError:
            time.sleep(1)
    raise AssertionError(f"No API server:\n{log.read_text(errors='replace')[-4000:]}")
