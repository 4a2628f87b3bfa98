"""Where rows come from and go to: a catalog's table, a path, or a table behind JDBC.

An address is a string:

    sales.customers                          a table of Spark's catalog, 1 to 3 names
    /data/customers, s3a://bucket/customers  files; the format is told by the suffix,
    csv:/data/customers                      or by a prefix, and is Parquet otherwise
    jdbc:postgresql://host/db#schema.table   a PostgreSQL table

This module needs the standard library only: it travels to Spark.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from model_envelope.errors import InvalidInput, InvalidName

Format = Literal["parquet", "orc", "csv", "json"]

FORMATS: tuple[Format, ...] = ("parquet", "orc", "csv", "json")

_SUFFIXES: dict[str, Format] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".orc": "orc",
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
}
_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,127}"
_CATALOG = re.compile(rf"{_NAME}(?:\.{_NAME}){{0,2}}")
_JDBC_TABLE = re.compile(rf"{_NAME}(?:\.{_NAME})?")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://")
_PREFIX = re.compile(rf"({'|'.join(FORMATS)}):(?=.)")
# Hadoop reads these as patterns, and some of them cannot be in a file's name everywhere.
_UNSAFE = re.compile(r"""[\x00-\x1f\x7f*?\[\]{}\\`"<>|;]""")
_CREDENTIALS = ("user", "password")


@dataclass(frozen=True, slots=True)
class CatalogTable:
    """A table of Spark's catalog: `table`, `database.table` or `catalog.database.table`."""

    name: str

    def __post_init__(self) -> None:
        if not _CATALOG.fullmatch(self.name):
            raise InvalidName(
                f"{self.name!r} is no table name: one to three names of ASCII letters, digits "
                "and underscores, with dots between them. A path has a slash in it."
            )

    @property
    def address(self) -> str:
        """The name, as given."""
        return self.name

    @property
    def quoted(self) -> str:
        """The name, fit for SQL."""
        return ".".join(f"`{part}`" for part in self.name.split("."))


@dataclass(frozen=True, slots=True)
class PathTable:
    """Files of one format: one file, or a directory of them with Hive-style partitions.

    `path` is absolute for this machine's file system (and whatever is mounted into it),
    else a URI such as `s3a://bucket/key`.
    """

    path: str
    format: Format = "parquet"

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise InvalidInput(f"{self.format!r} is no table format: use {', '.join(FORMATS)}.")
        if _UNSAFE.search(self.path) or ".." in self.path.split("/"):
            raise InvalidName(
                f"{self.path!r} is no path of a table: patterns, quotes, backslashes, '..' and "
                "characters that do not show are refused."
            )
        if not _SCHEME.match(self.path) and not os.path.isabs(self.path):  # noqa: PTH117
            raise InvalidName(f"{self.path!r} must be an absolute path.")
        if len(PurePosixPath(self.path.partition("://")[2] or self.path).parts) < 2:
            raise InvalidName(f"{self.path!r} is the root of a file system, no table.")

    @property
    def local(self) -> Path | None:
        """The path on this machine; None for other file systems."""
        return None if _SCHEME.match(self.path) else Path(self.path)

    @property
    def address(self) -> str:
        """The address that gives this table again."""
        return self.path if _format(self.path) == self.format else f"{self.format}:{self.path}"

    @property
    def uri(self) -> str:
        """The path as Spark takes it: never on another file system than meant."""
        return self.path if self.local is None else f"file://{self.path}"


@dataclass(frozen=True, slots=True)
class JdbcTable:
    """A PostgreSQL table. Credentials are kept apart from everything that is shown."""

    url: str
    table: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not self.url.startswith("jdbc:postgresql://"):
            raise InvalidInput(
                f"{self.url.partition('//')[0]!r}: of JDBC only PostgreSQL is supported, by "
                "jdbc:postgresql://host:port/database#schema.table."
            )
        parts = urlsplit(self.url.removeprefix("jdbc:"))
        if "@" in parts.netloc or {key for key, _ in parse_qsl(parts.query)} & set(_CREDENTIALS):
            raise InvalidInput("Give JDBC credentials as user and password, not in the URL.")
        if not parts.hostname or len(parts.path) < 2 or parts.fragment:
            raise InvalidInput(
                f"{self.url!r} is no address of a database: jdbc:postgresql://host:port/database "
                "is expected."
            )
        if not _JDBC_TABLE.fullmatch(self.table):
            raise InvalidName(
                f"{self.table!r} is no table name: `table` or `schema.table` of ASCII letters, "
                "digits and underscores."
            )

    @property
    def address(self) -> str:
        """The address without credentials."""
        return f"{self.url}#{self.table}"

    @property
    def quoted(self) -> str:
        """The name, fit for PostgreSQL."""
        return ".".join(f'"{part}"' for part in self.table.split("."))


Table = CatalogTable | PathTable | JdbcTable


def parse_table(value: str | Path | Table) -> Table:
    """A table's address, checked.

    A relative path with a slash in it is taken from the working directory.

    Raises:
        InvalidName: the name or path could be hostile, or is none.
        InvalidInput: a format or database that is not supported.
    """
    if isinstance(value, (CatalogTable, PathTable, JdbcTable)):
        return value
    if isinstance(value, Path):
        return _path_table(str(value.absolute()))
    if not isinstance(value, str):
        raise InvalidInput(f"A table is given by its address, not by a {type(value).__name__}.")
    if value.startswith("jdbc:"):
        return _jdbc_table(value)
    if "/" in value:
        return _path_table(value)
    return CatalogTable(value)


def to_json(table: Table) -> dict[str, str]:
    """Plain data for a job description, credentials included."""
    return {"kind": type(table).__name__, **asdict(table)}


def from_json(body: Mapping[str, Any]) -> Table:
    """Read `to_json` again."""
    kinds = {kind.__name__: kind for kind in (CatalogTable, PathTable, JdbcTable)}
    return kinds[body["kind"]](**{key: value for key, value in body.items() if key != "kind"})


def overlap(one: Table, other: Table) -> bool:
    """Whether two addresses are one table, or one lies within the other."""
    if isinstance(one, PathTable) and isinstance(other, PathTable):
        first, second = _resolved(one), _resolved(other)
        return first == second or first in second.parents or second in first.parents
    if isinstance(one, CatalogTable) and isinstance(other, CatalogTable):
        return one.name.lower() == other.name.lower()
    return one.address == other.address


def _path_table(text: str) -> PathTable:
    prefix = _PREFIX.match(text)
    path = text[prefix.end() :] if prefix else text
    path = path.removeprefix("file://")
    if not _SCHEME.match(path):
        path = os.path.abspath(path) if ".." not in path.split("/") else path  # noqa: PTH100
    path = path.rstrip("/") or "/"
    return PathTable(path, prefix[1] if prefix else _format(path))  # type: ignore[arg-type]


def _jdbc_table(text: str) -> JdbcTable:
    url, _, table = text.partition("#")
    parts = urlsplit(url.removeprefix("jdbc:"))
    options = dict(parse_qsl(parts.query))
    user = options.pop("user", "") or unquote(parts.username or "")
    password = options.pop("password", "") or unquote(parts.password or "")
    place = parts._replace(netloc=parts.netloc.rpartition("@")[2], query=urlencode(options))
    return JdbcTable(f"jdbc:{place.geturl()}", table, user, password)


def _format(path: str) -> Format:
    return _SUFFIXES.get(PurePosixPath(path).suffix.lower(), "parquet")


def _resolved(table: PathTable) -> PurePosixPath:
    local = table.local
    return PurePosixPath(table.path) if local is None else PurePosixPath(local.resolve())
