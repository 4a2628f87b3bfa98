"""Tables as Airflow knows them: as assets, and with the credentials of a connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow.sdk import Asset

from model_envelope.batch.tables import JdbcTable, PathTable, Table, parse_table
from model_envelope.errors import InvalidInput

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from model_envelope.batch.request import InputTables

Tables = str | Sequence[str] | Mapping[str, str]


def table_asset(table: str | Table) -> Asset:
    """The asset of a table that batch predictions write, for the `schedule` of other DAGs.

    Args:
        table: its address as the operator has it; credentials do not get into the asset.

    Raises:
        InvalidInput: it is no address of a table.
    """
    address = _absolute(table).address
    # Airflow drops what follows a # from a URI, and no two assets may have the same.
    return Asset(address, uri=address.replace("#", "/"))


def with_credentials(address: str, connection: Connection | None) -> Table:
    """A table; one behind JDBC with login and password of the connection, if any.

    Raises:
        InvalidInput: it is no address of a table.
    """
    table = _absolute(address)
    if connection is None or not isinstance(table, JdbcTable):
        return table
    return replace(table, user=connection.login or "", password=connection.password or "")


def all_with_credentials(tables: Tables, connection: Connection | None) -> InputTables:
    """Likewise for one table, several, or a dict of them by name."""
    if isinstance(tables, str):
        return with_credentials(tables, connection)
    if isinstance(tables, Mapping):
        return {name: with_credentials(table, connection) for name, table in tables.items()}
    return [with_credentials(table, connection) for table in tables]


def _absolute(given: str | Table) -> Table:
    table = parse_table(given)
    if isinstance(given, str) and isinstance(table, PathTable) and table.path not in given:
        raise InvalidInput(
            f"{given!r} is no absolute path in its plain form. Airflow's processes have working "
            "directories of their own."
        )
    return table
