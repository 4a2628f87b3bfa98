"""The connection to the database: how it is set up, and what its failures are called."""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url

from model_envelope import config
from model_envelope.errors import EnvelopeError, InvalidInput, StoreError, StoreUnavailable
from model_envelope.optional import require
from model_envelope.store import disk

LOCK_SECONDS = 30
"""How long a transaction waits for another before it gives up."""

POSTGRES_SESSION = (
    f"-c lock_timeout={LOCK_SECONDS}s -c idle_in_transaction_session_timeout=60s -c timezone=UTC "
    # A plan for any tag value is a bad one for most: some are rare, some are everywhere.
    "-c plan_cache_mode=force_custom_plan"
)
POSTGRES_CONNECT = {"connect_timeout": 10, "keepalives_idle": 30, "tcp_user_timeout": 60_000}

# Classes of SQLSTATE: connections, rollbacks by the server, interventions; and the codes of
# too many connections, an idle transaction that was ended, a lock that was not free.
PASSING = frozenset({"08", "40", "57", "53300", "25P03", "55P03"})

OPTIONS: dict[str, Any] = {
    # Errors and logs show no values.
    "hide_parameters": True,
    # NaN, which JSON has not, becomes null.
    "json_serializer": lambda value: msgspec.json.encode(value).decode(),
    "json_deserializer": msgspec.json.decode,
}


def parse_url(url: str) -> URL:
    """A store's URL with driver and absolute path.

    Raises:
        InvalidInput: it is no URL, or of a database that is not supported.
    """
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        raise InvalidInput(
            "The store's address is no database URL. Give sqlite:////path/to/store.sqlite or "
            f"postgresql://user:password@host/database, or set {config.STORE}."
        ) from None
    kind = parsed.drivername.partition("+")[0]
    if kind in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if kind != "sqlite":
        raise InvalidInput(
            f"A store cannot be kept in {kind!r}: use sqlite:/// or postgresql:// ({config.STORE})."
        )
    if not parsed.database or parsed.database == ":memory:" or "uri" in parsed.query:
        raise InvalidInput(
            f"A SQLite store needs a file: sqlite:////path/to/file ({config.STORE})."
        )
    return parsed.set(drivername="sqlite", database=str(Path(parsed.database).absolute()))


def redacted(url: URL) -> str:
    """The URL fit for a log."""
    hidden = {key: "***" for key in url.query if "password" in key}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)


def make_engine(url: URL) -> Engine:
    """An engine whose transactions wait for each other instead of failing.

    Raises:
        MissingDependency: the driver is not installed.
        StoreError: a SQLite file would be on a network file system.
    """
    engine = _sqlite(url) if url.drivername == "sqlite" else _postgres(url)
    _engines.add(engine)
    return engine


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def _leave_connections_to_the_parent() -> None:
    for engine in _engines:
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_leave_connections_to_the_parent)


def _postgres(url: URL) -> Engine:
    require("psycopg", "postgres")
    options = f"{POSTGRES_SESSION} {url.query.get('options', '')}".strip()
    return create_engine(
        url.difference_update_query(["options"]),
        **OPTIONS,
        connect_args={**POSTGRES_CONNECT, "options": options},
    )


def _sqlite(url: URL) -> Engine:
    disk.refuse_network_file_system(Path(str(url.database)))
    seconds = float(str(url.query.get("timeout", LOCK_SECONDS)))
    engine = create_engine(url, **OPTIONS, connect_args={"timeout": seconds})

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _record: object) -> None:
        # No transaction but the ones begun below.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A deferred transaction that turns into a writer fails at once when another
        # wrote meanwhile; an immediate one waits for its turn.
        reads = connection.get_execution_options().get("read_only")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def read_options(engine: Engine) -> dict[str, Any]:
    """Execution options of a transaction that reads one consistent state."""
    if engine.dialect.name == "sqlite":
        return {"read_only": True}
    return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


@contextmanager
def named_failures(url: URL) -> Iterator[None]:
    """Raise what the database says as an error of this package.

    Raises:
        StoreUnavailable: no connection, a lost one, or a lock that was never released.
        StoreError: anything else, e.g. a full disk.
    """
    try:
        yield
    except EnvelopeError:
        raise
    except exc.DBAPIError as error:
        raise _named(error, url) from error
    except exc.TimeoutError as error:
        raise StoreUnavailable(f"The store {redacted(url)} has no free connection.") from error


def _named(error: exc.DBAPIError, url: URL) -> StoreError:
    reason = next(iter(str(error.orig).strip().splitlines()), "no answer").rstrip(".")
    if isinstance(error.orig, sqlite3.Error):
        return _named_sqlite(reason, Path(str(url.database)))
    if error.connection_invalidated or _is_passing(error):
        return StoreUnavailable(
            f"The store {redacted(url)} cannot be reached: {reason}. Check that the database "
            f"runs and that {config.STORE} is right; nothing half-done was kept."
        )
    return StoreError(f"The store {redacted(url)} failed: {reason}. Nothing half-done was kept.")


def _is_passing(error: exc.DBAPIError) -> bool:
    """Whether it has to do with the moment: no connection, a lock, a deadlock, a shutdown."""
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return isinstance(error, exc.OperationalError | exc.InterfaceError)
    return state[:2] in PASSING or state in PASSING


def _named_sqlite(reason: str, file: Path) -> StoreError:
    if "locked" in reason:
        return StoreUnavailable(
            f"The store {file} was locked by another process all the time ({reason}). "
            "End that process, or use PostgreSQL for many writers."
        )
    if "full" in reason:
        return StoreError(f"The store {file} cannot grow: {disk.no_room(file)}")
    if "unable to open" in reason:
        return StoreUnavailable(
            f"The store {file} cannot be opened: check that its folder exists and may be "
            f"written, or set {config.STORE}."
        )
    return StoreError(f"The store {file} failed: {reason}.")
