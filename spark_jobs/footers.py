"""What Parquet files say of themselves: types, rows and nulls, without reading a row."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from model_envelope.runtime.spec import Signature

_THREADS = 8
_SPARK_SCHEMA = b"org.apache.spark.sql.parquet.row.metadata"
_LEGACY = (b"org.apache.spark.legacyDateTime", b"org.apache.spark.legacyINT96")


@dataclass(frozen=True, slots=True)
class Footer:
    """One file."""

    path: Path
    schema: pa.Schema
    metadata: pq.FileMetaData

    @property
    def rows(self) -> tuple[int, ...]:
        """Rows of each row group."""
        groups = range(self.metadata.num_row_groups)
        return tuple(self.metadata.row_group(i).num_rows for i in groups)

    @property
    def is_legacy(self) -> bool:
        """Whether times are as only old Sparks wrote them."""
        written_by_old = any(key in (self.metadata.metadata or {}) for key in _LEGACY)
        columns = range(self.metadata.num_columns)
        return written_by_old or any(
            self.metadata.schema.column(i).physical_type == "INT96" for i in columns
        )

    @property
    def is_read_alike(self) -> bool:
        """Whether Arrow and Spark find the same types in it."""
        types = [field.type for field in self.schema]
        # A type of a user's own would have its class imported by name.
        own = b'"udt"' in (self.metadata.metadata or {}).get(_SPARK_SCHEMA, b"")
        return not (own or self.is_legacy or any(map(_is_arrows_only, types)))

    @property
    def spark_schema(self) -> dict[str, Any] | None:
        """Spark's own schema as JSON, where Spark wrote the file."""
        text = (self.metadata.metadata or {}).get(_SPARK_SCHEMA)
        return json.loads(text) if text else None

    def nulls(self, name: str) -> int | None:
        """Nulls of a plain column; None where the file does not say."""
        index = next(
            (
                i
                for i in range(self.metadata.num_columns)
                if self.metadata.schema.column(i).path == name
            ),
            None,
        )
        if index is None:
            return None
        found = 0
        for i in range(self.metadata.num_row_groups):
            statistics = self.metadata.row_group(i).column(index).statistics
            if statistics is None or not statistics.has_null_count:
                return None
            found += statistics.null_count
        return found

    def bytes_of(self, names: Collection[str]) -> int:
        """Bytes of some columns, decompressed but still encoded."""
        groups = [self.metadata.row_group(i) for i in range(self.metadata.num_row_groups)]
        return sum(
            group.column(i).total_uncompressed_size
            for group in groups
            for i in range(group.num_columns)
            if group.column(i).path_in_schema.partition(".")[0] in names
        )


def data_files(table: Path) -> Iterator[Path]:
    """The files of a table in the order of their names: the file itself, or those below."""
    if table.is_file():
        yield table
        return
    for parent, folders, files in os.walk(table):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
        yield from (Path(parent, name) for name in sorted(files) if name[0] not in "._")


def flat_files(table: Path) -> list[Path] | None:
    """The files of a table without folders, as Spark lists them; None of any other table."""
    if table.is_file():
        return [table]
    names = [entry for entry in table.iterdir() if not _is_hidden(entry.name)]
    return sorted(names) if all(entry.is_file() for entry in names) else None


def read_footers(paths: Iterable[Path]) -> list[Footer]:
    """The footers of files, in the order of the paths.

    Raises:
        OSError: a file cannot be read.
        pyarrow.ArrowInvalid: it is no Parquet file.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(_read, paths))


def null_problems(footers: Sequence[Footer], signature: Signature) -> tuple[str, ...]:
    """Columns that hold nulls although the model never saw one, with how many."""
    rows = sum(footer.metadata.num_rows for footer in footers)
    problems = []
    for column in signature.columns:
        counts = [footer.nulls(column.name) for footer in footers]
        nulls = sum(count for count in counts if count is not None)
        if nulls and not column.nullable:
            problems.append(
                f"column {column.name!r} has {nulls} nulls in {rows} rows, but had none when "
                "the model was saved"
            )
    return tuple(problems)


def _is_hidden(name: str) -> bool:
    return (
        name.startswith(".")
        or (name.startswith("_") and "=" not in name)
        or name.endswith("._COPYING_")
    )


def _is_arrows_only(type_: pa.DataType) -> bool:
    """Types that Spark does not read from files."""
    types = pa.types
    if types.is_timestamp(type_):
        return bool(type_.unit == "ns")
    if types.is_struct(type_) or types.is_list(type_) or types.is_map(type_):
        return any(_is_arrows_only(type_.field(i).type) for i in range(type_.num_fields))
    unknown = (types.is_float16, types.is_time, types.is_duration, types.is_null)
    return any(is_a(type_) for is_a in unknown)


def _read(path: Path) -> Footer:
    with pq.ParquetFile(path) as file:
        return Footer(path, file.schema_arrow, file.metadata)
