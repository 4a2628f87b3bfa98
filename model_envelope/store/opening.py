"""Opening a store, and bringing its schema up to date."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from sqlalchemy import URL, Connection, Engine, inspect, text

from model_envelope.errors import SchemaOutdated, SchemaTooNew
from model_envelope.store import disk
from model_envelope.store.engine import (
    make_engine,
    named_failures,
    parse_url,
    read_options,
    redacted,
)
from model_envelope.store.store import Store

SCHEMA = "0005"
"""The revision this package reads and writes: the newest in `migrations/versions`."""

# Not Alembic's default, which Airflow uses: both may share a database.
VERSION_TABLE = "model_envelope_schema"

_one_upgrade = Lock()


def open_store(url: str, *, create: bool | None = None) -> Store:
    """Open the store at a database URL.

    Args:
        url: `sqlite:////path/to/file` or `postgresql://user:password@host/database`.
        create: whether to make the schema where there is none. By default in SQLite only.

    Raises:
        StoreUnavailable: the database cannot be reached.
        SchemaOutdated: there is no schema, or an older one: run `model-envelope db upgrade`.
        SchemaTooNew: a newer version of this package made the schema.
    """
    parsed = parse_url(url)
    embedded = parsed.drivername == "sqlite"
    missing = embedded and not Path(str(parsed.database)).exists()
    if missing and create is False:
        raise SchemaOutdated(f"There is no store at {parsed.database}: run `model-envelope init`.")
    engine = make_engine(parsed)
    try:
        found = None if missing else _revision(engine, parsed)
        if found is None and (embedded if create is None else create):
            _upgrade(engine, parsed)
        else:
            _check(found, parsed)
    except BaseException:
        engine.dispose()
        raise
    return Store(engine, parsed)


def current_revision(url: str) -> str | None:
    """The revision of a store's schema; None where there is none."""
    parsed = parse_url(url)
    if parsed.drivername == "sqlite" and not Path(str(parsed.database)).exists():
        return None
    engine = make_engine(parsed)
    try:
        return _revision(engine, parsed)
    finally:
        engine.dispose()


def upgrade(url: str) -> None:
    """Bring a store's schema up to date in one transaction; make it where there is none.

    Raises:
        StoreUnavailable: the database cannot be reached.
        SchemaTooNew: a newer version of this package made the schema.
    """
    parsed = parse_url(url)
    engine = make_engine(parsed)
    try:
        _upgrade(engine, parsed)
    finally:
        engine.dispose()


def _revision(engine: Engine, url: URL) -> str | None:
    reader = engine.execution_options(**read_options(engine))
    with named_failures(url), reader.connect() as connection:
        return _read_revision(connection)


def _read_revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
    return None if found is None else str(found)


def _check(found: str | None, url: URL) -> None:
    if found is None or found < SCHEMA:
        have = "has no schema yet" if found is None else f"has schema {found}"
        raise SchemaOutdated(
            f"The store {redacted(url)} {have}; this version of model-envelope needs {SCHEMA}. "
            "Run `model-envelope db upgrade`."
        )
    _refuse_newer(found, url)


def _refuse_newer(found: str | None, url: URL) -> None:
    if found is not None and found > SCHEMA:
        raise SchemaTooNew(
            f"The store {redacted(url)} has schema {found}; this version of model-envelope knows "
            f"{SCHEMA}. Upgrade the package: pip install --upgrade model-envelope."
        )


def _upgrade(engine: Engine, url: URL) -> None:
    from alembic import command
    from alembic.config import Config

    embedded = url.drivername == "sqlite"
    if embedded:
        disk.make_folder(Path(str(url.database)).parent)
    # Alembic's context is global to the process.
    with _one_upgrade, named_failures(url), engine.begin() as connection:
        if not embedded:
            connection.execute(
                text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": VERSION_TABLE}
            )
        _refuse_newer(_read_revision(connection), url)
        scripts = Config(attributes={"connection": connection, "version_table": VERSION_TABLE})
        folder = Path(__file__).parent / "migrations"
        scripts.set_main_option("script_location", str(folder).replace("%", "%%"))
        command.upgrade(scripts, "head")
    if embedded:
        disk.keep_room(Path(str(url.database)))
