"""Opening a store: where it is, which schema it has, who may."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, text

from model_envelope.errors import (
    InvalidInput,
    MissingDependency,
    SchemaOutdated,
    SchemaTooNew,
    StoreError,
    StoreUnavailable,
)
from model_envelope.store import disk, opening
from model_envelope.store.engine import make_engine, parse_url
from model_envelope.store.opening import (
    SCHEMA,
    VERSION_TABLE,
    current_revision,
    open_store,
    upgrade,
)
from model_envelope.store.tables import metadata
from model_envelope.tag_query import parse

EVERYTHING = parse({})
MIGRATIONS = Path(opening.__file__).parent / "migrations"


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without our schema."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'deep' / 'folder' / 'store.sqlite'}"
    return str(request.getfixturevalue("postgres_url"))


def execute(url: str, statement: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


# The schema


def described(engine: Engine) -> dict[str, Any]:
    """Everything the database knows of its schema."""
    found = inspect(engine)

    def plain(items: Any) -> list[str]:
        return sorted(repr(sorted(item.items(), key=repr)) for item in items)

    return {
        table: {
            "columns": [
                (c["name"], repr(c["type"]), c["nullable"], c["default"], c.get("autoincrement"))
                for c in found.get_columns(table)
            ],
            "primary key": repr(found.get_pk_constraint(table)),
            "foreign keys": plain(found.get_foreign_keys(table)),
            "unique": plain(found.get_unique_constraints(table)),
            "checks": plain(found.get_check_constraints(table)),
            "indexes": plain(found.get_indexes(table)),
        }
        for table in found.get_table_names()
        if table != VERSION_TABLE
    }


def test_migrating_gives_the_schema_of_the_tables(
    empty_url: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    upgrade(empty_url)
    if empty_url.startswith("sqlite"):
        created_url = f"sqlite:///{tmp_path / 'created.sqlite'}"
    else:
        server = request.getfixturevalue("postgres_server")
        name = server.create_database()
        request.addfinalizer(lambda: server.drop_database(name))
        created_url = server.url(name)
    created, migrated = create_engine(created_url), create_engine(empty_url)
    metadata.create_all(created)
    expected, found = described(created), described(migrated)
    created.dispose()
    migrated.dispose()
    assert set(found) == set(metadata.tables)
    for table, description in expected.items():
        assert found[table] == description, table


def test_the_package_knows_its_newest_migration() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [SCHEMA]


def test_sqlite_is_created_when_it_is_opened(home: Path) -> None:
    url = f"sqlite:///{home / 'store.sqlite'}"
    assert current_revision(url) is None
    assert not home.exists()
    with open_store(url) as store:
        assert store.head() == 0
    assert current_revision(url) == SCHEMA


def test_an_empty_sqlite_file_becomes_a_store(tmp_path: Path) -> None:
    file = tmp_path / "store.sqlite"
    file.touch()
    with open_store(f"sqlite:///{file}") as store:
        assert store.count(EVERYTHING) == 0


def test_sqlite_is_not_created_where_it_must_be_there(tmp_path: Path) -> None:
    file = tmp_path / "store.sqlite"
    with pytest.raises(SchemaOutdated, match="model-envelope init"):
        open_store(f"sqlite:///{file}", create=False)
    assert not file.exists()


def test_postgres_is_created_only_on_demand(postgres_url: str) -> None:
    with pytest.raises(SchemaOutdated, match="model-envelope db upgrade"):
        open_store(postgres_url)
    assert current_revision(postgres_url) is None
    with open_store(postgres_url, create=True) as store:
        assert store.head() == 0
    with open_store(postgres_url) as store:
        assert store.head() == 0


def test_an_older_schema_names_the_command(empty_url: str) -> None:
    upgrade(empty_url)
    execute(empty_url, f"UPDATE {VERSION_TABLE} SET version_num = '0000'")
    for create in (None, True):
        with pytest.raises(SchemaOutdated, match=r"has schema 0000.*model-envelope db upgrade"):
            open_store(empty_url, create=create)


def test_a_schema_from_the_future_is_left_alone(empty_url: str) -> None:
    upgrade(empty_url)
    execute(empty_url, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(SchemaTooNew, match=r"9999.*pip install --upgrade"):
        open_store(empty_url)
    with pytest.raises(SchemaTooNew, match="9999"):
        upgrade(empty_url)
    assert current_revision(empty_url) == "9999"


def test_upgrading_twice_changes_nothing(empty_url: str) -> None:
    upgrade(empty_url)
    with open_store(empty_url) as store:
        store.put_lock("d", "x")
    upgrade(empty_url)
    with open_store(empty_url) as store:
        assert store.get_lock("d") == "x"


def test_a_store_of_the_first_schema_is_upgraded_with_all_it_holds(empty_url: str) -> None:
    make_first_schema(empty_url)
    with pytest.raises(SchemaOutdated, match=r"has schema 0001.*model-envelope db upgrade"):
        open_store(empty_url)
    upgrade(empty_url)
    with open_store(empty_url) as store:
        assert store.get_lock("d") == "x"
        assert store.head() == 7
        assert store.rules() == ()
        assert store.put_rule("a", "ltv", {}).revision == 1
        assert store.changes(7)[0].kind == "rule"


def make_first_schema(url: str) -> None:
    """A store as version 0001 left it, with something in it."""
    engine = make_engine(parse_url(url))
    if url.startswith("sqlite"):
        Path(str(engine.url.database)).parent.mkdir(parents=True)
    with engine.begin() as connection:
        scripts = Config(attributes={"connection": connection, "version_table": VERSION_TABLE})
        scripts.set_main_option("script_location", str(MIGRATIONS))
        command.upgrade(scripts, "0001")
        connection.execute(text("UPDATE clock SET revision = 7"))
        connection.execute(
            text("INSERT INTO environment_lock VALUES ('d', 'x', '2026-01-01 00:00:00+00:00')")
        )
    engine.dispose()


KILLED_WHILE_MIGRATING = """
import os, signal, sys
from alembic import op
from model_envelope.store.opening import upgrade

create_index, left = op.create_index, [3]

def die(*arguments, **options):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    create_index(*arguments, **options)

op.create_index = die
upgrade(sys.argv[1])
"""


def test_a_migration_killed_half_way_leaves_nothing_and_can_be_repeated(empty_url: str) -> None:
    script = [sys.executable, "-c", KILLED_WHILE_MIGRATING, empty_url]
    assert subprocess.run(script, check=False).returncode == -signal.SIGKILL
    assert current_revision(empty_url) is None
    engine = create_engine(empty_url)
    assert inspect(engine).get_table_names() == []
    engine.dispose()
    upgrade(empty_url)
    with open_store(empty_url) as store:
        assert store.head() == 0


OPENED = """
import sys
from model_envelope.store.opening import open_store
with open_store(sys.argv[1], create=True) as store:
    print(store.put_lock("d", sys.argv[2]))
"""


def test_many_processes_may_create_a_store_at_once(empty_url: str) -> None:
    def run(i: int) -> str:
        script = [sys.executable, "-c", OPENED, empty_url, str(i)]
        return subprocess.run(script, check=True, capture_output=True, text=True).stdout

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(run, range(4)))) == 1


def test_threads_may_create_stores_at_once(tmp_path: Path) -> None:
    def create(i: int) -> int:
        with open_store(f"sqlite:///{tmp_path / str(i)}.sqlite") as store:
            return store.head()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(create, range(4))) == [0] * 4


# The address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "store.sqlite",
        "mysql://user:secret@host/db",
        "oracle://secret@x",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=ro&uri=true",
        "://secret",
    ],
)
def test_what_is_no_address_of_a_store_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="MODEL_ENVELOPE_STORE") as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


def test_a_relative_file_stays_where_it_was_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open_store("sqlite:///store.sqlite") as store:
        monkeypatch.chdir("/")
        store.put_lock("d", "x")
    assert (tmp_path / "store.sqlite").exists()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgres_goes_by_several_names(postgres_store_url: str, scheme: str) -> None:
    with open_store(postgres_store_url.replace("postgresql+psycopg", scheme)) as store:
        assert store.head() == 0


def test_a_schema_of_its_own_can_be_chosen(postgres_url: str) -> None:
    execute(postgres_url, "CREATE SCHEMA models")
    url = f"{postgres_url}?options=-csearch_path%3Dmodels"
    with open_store(url, create=True) as store:
        assert store.head() == 0
    with pytest.raises(SchemaOutdated):
        open_store(postgres_url)


def test_passwords_are_not_shown(postgres_store_url: str) -> None:
    for url in (postgres_store_url, f"{postgres_store_url}?password=pg-secret"):
        with open_store(url) as store:
            assert "pg-secret" not in f"{store!r} {store.address}"
    missing = postgres_store_url.rpartition("/")[0] + "/no_such_database"
    with pytest.raises(StoreUnavailable, match="no_such_database") as caught:
        open_store(missing)
    shown, error = "", caught.value
    while error is not None:
        shown, error = f"{shown} {error!r} {error}", error.__cause__  # type: ignore[assignment]
    assert "pg-secret" not in shown


def test_a_database_that_is_away_says_so() -> None:
    with pytest.raises(StoreUnavailable, match=r"cannot be reached.*MODEL_ENVELOPE_STORE"):
        open_store("postgresql://user:secret@127.0.0.1:1/models")


def test_a_missing_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingDependency, match=r"pip install 'model-envelope\[postgres\]'"):
        open_store("postgresql://user:secret@127.0.0.1:1/models")


def test_another_kind_of_file_is_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("These are my notes, and long enough not to be taken for an empty file. " * 20)
    before = file.read_bytes()
    with pytest.raises(StoreError, match=r"notes\.txt"):
        open_store(f"sqlite:///{file}")
    assert file.read_bytes() == before


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file cannot be made"):
        open_store(f"sqlite:///{tmp_path / 'file' / 'store.sqlite'}")


MOUNTS = r"""
22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:31 / /home rw shared:2 - nfs4 server:/home rw
31 30 0:32 / /home/ada/local\040disk rw - xfs /dev/vdb rw
32 22 0:33 / /mnt/bucket rw - fuse.s3fs s3fs rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/srv/models", "ext4"),
        ("/home/ada/models", "nfs4"),
        ("/home/ada/local disk/models", "xfs"),
        ("/homework", "ext4"),
        ("/mnt/bucket/x/y", "fuse.s3fs"),
    ],
)
def test_the_file_system_of_a_folder_is_that_of_the_nearest_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, kind: str
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS.lstrip())
    monkeypatch.setattr(disk, "MOUNTS", mounts)
    assert disk.file_system(Path(folder)) == kind


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"22 1 0:20 / {tmp_path} rw - nfs4 server:/x rw\n")
    monkeypatch.setattr(disk, "MOUNTS", mounts)
    with pytest.raises(StoreError, match=r"network file system \(nfs4\).*PostgreSQL"):
        open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    assert not (tmp_path / "store.sqlite").exists()


# Processes


def in_fork(action: Callable[[], bool]) -> bool:
    """What an action gives in a child process."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    try:
        os._exit(int(not action()))
    finally:
        os._exit(2)


multithreaded = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)


@multithreaded
def test_a_store_can_be_used_after_a_fork(store_url: str) -> None:
    with open_store(store_url) as store:
        store.put_lock("d", "parent")
        assert in_fork(lambda: store.get_lock("d") == "parent" and bool(store.put_lock("e", "x")))
        assert store.get_lock("e") == "x"


@multithreaded
def test_a_forked_process_does_not_speak_on_its_parents_line(postgres_store_url: str) -> None:
    counted = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'forked'"

    with open_store(f"{postgres_store_url}?application_name=forked") as store:
        store.head()

        def lines_are_two() -> bool:
            store.head()
            with psycopg.connect(postgres_store_url.replace("+psycopg", "")) as other:
                return bool(other.execute(counted).fetchone() == (2,))

        assert in_fork(lines_are_two)


def test_sqlite_survives_power_loss_and_readers_do_not_wait(tmp_path: Path) -> None:
    file = tmp_path / "store.sqlite"
    with open_store(f"sqlite:///{file}") as store, sqlite3.connect(file) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        other.execute("BEGIN IMMEDIATE")
        assert store.head() == 0
        other.rollback()
    other.close()


def test_opening_does_not_need_the_migrations(store_url: str) -> None:
    script = (
        "import sys; from model_envelope.store.opening import open_store\n"
        "open_store(sys.argv[1]).close(); sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script, store_url], check=False).returncode == 0
