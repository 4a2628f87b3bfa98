"""Parquet files that a task writes: out of sight until the whole run is published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from model_envelope.spark_jobs.batches import has_fixed_width
from model_envelope.spark_jobs.publish import partition_folder

_ROW_GROUP_ROWS = 1_000_000
_ROW_GROUP_BYTES = 128 << 20
# More than Arrow's default is cheaper, but would make huge pages of long texts.
_VALUES_AT_ONCE = 8_192
_NAMED_BY_VALUE = (pa.types.is_string, pa.types.is_integer, pa.types.is_boolean, pa.types.is_date32)


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A complete file: where it is, and the partition folder that it belongs in."""

    path: str
    partition: str
    rows: int


def can_name(type_: pa.DataType) -> bool:
    """Whether values of a type are written into folder names as Spark would."""
    return any(is_a(type_) for is_a in _NAMED_BY_VALUE)


class TaskFiles:
    """The files of one attempt of one task, one for each partition.

    Attempts have folders of their own: one that Spark gave up, but that still runs, writes
    into a place that nobody looks at.

    Args:
        folder: of this attempt, on the file system of the table.
        name: of each file; the same for every attempt.
        schema: of the tables to be written.
        partition_columns: columns that go into folder names instead of files.
    """

    def __init__(
        self, folder: Path, name: str, schema: pa.Schema, partition_columns: tuple[str, ...]
    ) -> None:
        self._folder = folder
        self._name = name
        self._partition_columns = list(partition_columns)
        names = [name for name in schema.names if name not in partition_columns]
        self._schema = pa.schema([schema.field(name) for name in names])
        self._waiting: list[pa.Table] = []
        self._writers: dict[Path, pq.ParquetWriter] = {}
        self._rows: dict[Path, int] = {}

    def write(self, table: pa.Table) -> None:
        """Take rows; they are written a row group at a time."""
        self._waiting.append(table)
        rows = sum(table.num_rows for table in self._waiting)
        if rows >= _ROW_GROUP_ROWS or sum(t.nbytes for t in self._waiting) >= _ROW_GROUP_BYTES:
            self._flush()

    def close(self) -> tuple[StagedFile, ...]:
        """Complete the files."""
        self._flush()
        for writer in self._writers.values():
            writer.close()
        return tuple(
            StagedFile(str(self._folder / partition / self._name), str(partition), rows)
            for partition, rows in self._rows.items()
        )

    def _flush(self) -> None:
        if not self._waiting:
            return
        for partition, rows in by_partition(
            pa.concat_tables(self._waiting), self._partition_columns
        ):
            self._append(partition, rows)
        self._waiting = []

    def _append(self, partition: Path, table: pa.Table) -> None:
        writer = self._writers.get(partition)
        if writer is None:
            (self._folder / partition).mkdir(parents=True, exist_ok=True)
            writer = parquet_writer(self._folder / partition / self._name, self._schema)
            self._writers[partition] = writer
        writer.write_table(table.select(self._schema.names), row_group_size=_ROW_GROUP_ROWS)
        self._rows[partition] = self._rows.get(partition, 0) + table.num_rows


def by_partition(table: pa.Table, columns: Sequence[str]) -> Iterator[tuple[Path, pa.Table]]:
    """The rows of each partition, with its folder; all rows under `.` without columns."""
    if not columns:
        yield Path(), table
        return
    keys = table.select(list(columns))
    for values in keys.group_by(list(columns)).aggregate([]).to_pylist():
        texts = {name: None if value is None else _text(value) for name, value in values.items()}
        yield partition_folder(texts), table.filter(_equal(keys, values))


def parquet_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of files that say the same as those that Spark writes."""
    texts = [field.name for field in schema if _has_repeats(field.type)]
    # With Arrow's own schema in it, a file would be read back as dictionaries by some.
    return pq.ParquetWriter(
        path,
        schema,
        use_dictionary=texts,
        store_schema=False,
        write_batch_size=_VALUES_AT_ONCE if has_fixed_width(schema) else None,
    )


def _has_repeats(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_dictionary(type_))


def _equal(keys: pa.Table, values: Mapping[str, Any]) -> pa.ChunkedArray:
    mask = None
    for name, value in values.items():
        column = keys.column(name)
        found = (
            pc.is_null(column) if value is None else pc.equal(column, pa.scalar(value, column.type))
        )
        mask = found if mask is None else pc.and_(mask, found)
    return pc.fill_null(mask, False)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
