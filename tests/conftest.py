"""Fixtures of all tests: a home of their own, real PostgreSQL, S3 as moto serves it.

Services start once a session, when the first test asks for them.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

OURS = ("MODEL_ENVELOPE_", "AWS_", "PG")


def airflow_home() -> None:
    """Give Airflow a folder of its own: it reads its configuration when first imported."""
    for name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
        del os.environ[name]
    folder = tempfile.mkdtemp(prefix="model-envelope-airflow-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["AIRFLOW_HOME"] = folder
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = f"{folder}/dags"


airflow_home()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this test's embedded store; nothing of the developer's own is seen."""
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)
    folder = tmp_path / "home"
    monkeypatch.setenv("MODEL_ENVELOPE_HOME", str(folder))
    monkeypatch.setenv("MODEL_ENVELOPE_CACHE", str(tmp_path / "cache"))
    return folder


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PostgresServer:
    """A server of its own on a temporary data directory and a free port.

    PostgreSQL refuses to run as root, so root runs it as the user `postgres`.
    `fsync` is off: what the tests kill are processes, and the pages a killed process
    wrote are still the kernel's.
    """

    settings = (
        "listen_addresses='127.0.0.1'\nunix_socket_directories=''\nfsync=off\n"
        "max_connections=200\nshared_buffers=64MB\nautovacuum_naptime=5s\n"
    )

    def __init__(self, binaries: Path) -> None:
        self.binaries = binaries
        self.user = "postgres" if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="model-envelope-postgres-"))
        if self.user:
            shutil.chown(self.folder, self.user)
        self.data = self.folder / "data"
        self.port = free_port()
        self._run("initdb", "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8")
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.write(f"port={self.port}\n{self.settings}")
        self.start()

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.binaries / program), "-D", str(self.data), *arguments]
        subprocess.run(
            command,
            check=True,
            user=self.user,
            cwd=self.folder,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            stdout=subprocess.DEVNULL,
        )

    def start(self) -> None:
        self._run("pg_ctl", "start", "--wait", "--log", str(self.folder / "log"))

    def stop(self, mode: str = "immediate") -> None:
        """`immediate` is a crash: no checkpoint, connections cut off."""
        self._run("pg_ctl", "stop", "--wait", "--mode", mode)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres:pg-secret@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> None:
        """Run a statement outside any transaction."""
        import psycopg

        dsn = f"host=127.0.0.1 port={self.port} user=postgres dbname={database}"
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(statement.encode())

    def create_database(self, template: str = "template0") -> str:
        """A fresh database; gives its name."""
        name = f"test_{uuid.uuid4().hex}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def disconnect(self, database: str) -> None:
        """Cut off everybody who is connected to a database."""
        self.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{database}' AND pid <> pg_backend_pid()"
        )

    def drop_database(self, name: str) -> None:
        self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def empty_store(self, database: str) -> None:
        """Make a store as new: faster than another database."""
        from model_envelope.store.tables import clock, metadata

        self.disconnect(database)
        tables = [table for table in reversed(metadata.sorted_tables) if table is not clock]
        emptied = ";".join(f"DELETE FROM {table.name}" for table in tables)
        self.sql(f"{emptied}; UPDATE clock SET revision = 0", database)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running server. A test that stops it must start it again."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found and not folders:
        message = "PostgreSQL is not installed: apt-get install postgresql"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    server = PostgresServer(Path(found).parent if found else folders[-1])
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a fresh, empty database."""
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """The name of a database with the current schema, to copy."""
    from model_envelope.store.opening import upgrade

    name = postgres_server.create_database()
    upgrade(postgres_server.url(name))
    return name


@pytest.fixture(scope="session")
def postgres_store_database(postgres_server: PostgresServer, postgres_template: str) -> str:
    """The name of the database that is emptied for each test."""
    return postgres_server.create_database(postgres_template)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the current schema, to copy."""
    from model_envelope.store.opening import upgrade

    file = tmp_path_factory.mktemp("sqlite") / "store.sqlite"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture
def sqlite_store_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of an empty SQLite store with the current schema."""
    file = tmp_path / "store.sqlite"
    shutil.copy(sqlite_template, file)
    return f"sqlite:///{file}"


@pytest.fixture
def postgres_store_url(postgres_server: PostgresServer, postgres_store_database: str) -> str:
    """The URL of an empty PostgreSQL store; the schema is shared, so leave that alone."""
    postgres_server.empty_store(postgres_store_database)
    return postgres_server.url(postgres_store_database)


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty store with the current schema; the test runs on both databases."""
    return str(request.getfixturevalue(f"{request.param}_store_url"))


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The URL of an S3 server."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_address(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """`s3://bucket/prefix` of a fresh bucket; the environment holds endpoint and keys."""
    import boto3

    for name, value in {
        "AWS_ENDPOINT_URL_S3": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "s3-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"test-{uuid.uuid4().hex[:20]}"
    client = boto3.client("s3")
    client.create_bucket(Bucket=bucket)
    client.close()
    return f"s3://{bucket}/models"


@pytest.fixture
def shared_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One cache for all tests of a run: an environment is built once, not once a test."""
    base = tmp_path_factory.getbasetemp()
    # Under xdist each worker's base is a folder in the run's own.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared-cache"
    monkeypatch.setenv("MODEL_ENVELOPE_CACHE", str(folder))
    return folder
