"""Transactions: each is whole or not there at all, and is tried again when the line breaks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import ARRAY, URL, Connection, Engine, Table, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite

from model_envelope.errors import InvalidInput, StoreUnavailable
from model_envelope.store.engine import named_failures, read_options

log = logging.getLogger(__name__)

T = TypeVar("T")

PAUSES = (0.1, 0.4, 1.5)
PATIENCE = 5.0
"""Seconds after which a broken connection is reported instead of tried again."""


class Database:
    """Runs functions of a connection in a transaction.

    A function may run again after its connection broke, even when the commit had
    arrived: every one that writes gives the same state when it runs twice.
    """

    def __init__(self, engine: Engine, url: URL) -> None:
        self.url = url
        self._writer = engine
        self._reader = engine.execution_options(**read_options(engine))

    def read(self, work: Callable[[Connection], T]) -> T:
        """The result of `work` on one consistent state."""
        return self._run(self._reader, work)

    def write(self, work: Callable[[Connection], T]) -> T:
        """The result of `work`, committed."""
        return self._run(self._writer, work)

    def close(self) -> None:
        """Close every connection."""
        self._writer.dispose()

    def _run(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        began = time.monotonic()
        for pause in PAUSES:
            try:
                return self._once(engine, work)
            except StoreUnavailable as error:
                if time.monotonic() - began > PATIENCE:
                    raise
                log.info("Trying again in %s s: %s", pause, error)
                time.sleep(pause)
        return self._once(engine, work)

    def _once(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        with named_failures(self.url), engine.begin() as connection:
            return work(connection)


def insert(connection: Connection, table: Table) -> Any:
    """An INSERT that knows ON CONFLICT: spelt alike in both dialects, typed apart."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table)


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    replace: Sequence[str],
    in_order_of: str | None = None,
) -> None:
    """Insert rows with values for every column, or replace some columns where the key is there.

    With `in_order_of`, only where that column's value is not smaller than the one there.

    PostgreSQL takes a list for each column: half the time of a statement for each row.
    """
    statement = insert(connection, table)
    parameters: Any = rows
    if connection.dialect.name == "postgresql":
        columns = [
            bindparam(column.name, [row[column.name] for row in rows], type_=ARRAY(column.type))
            for column in table.c
        ]
        unnested = select(*(func.unnest(column) for column in columns))
        statement = statement.from_select(list(table.c), unnested)
        parameters = None
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(table.primary_key),
            set_={name: statement.excluded[name] for name in replace},
            where=in_order_of and statement.excluded[in_order_of] >= table.c[in_order_of],
        ),
        parameters,
    )


def printable(text: str) -> str:
    """A text from elsewhere, without what PostgreSQL cannot keep: NUL and lone surrogates."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def as_stored(given: Mapping[str, Any], what: str) -> dict[str, Any]:
    """A mapping as it comes back from a JSON column.

    Raises:
        InvalidInput: it is no plain JSON.
    """
    try:
        return dict(msgspec.json.decode(msgspec.json.encode(dict(given))))
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidInput(f"{what} is no plain JSON: {error}.") from error
