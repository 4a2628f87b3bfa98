"""What Parquet files say of themselves: types, rows and nulls, without reading a row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from model_envelope.runtime.spec import Signature

_THREADS = 8
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


def _read(path: Path) -> Footer:
    with pq.ParquetFile(path) as file:
        return Footer(path, file.schema_arrow, file.metadata)
