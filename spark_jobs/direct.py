"""The direct path: Spark only hands out parts of Parquet files; Arrow does the rest.

Moving rows between the JVM and Python costs more than most models do. Here a task is told
which row groups of which files are its, reads just the columns it needs, predicts them and
writes Parquet, all in one Python process. What it could not read exactly as Spark would, it
leaves to the general path, and says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from model_envelope.errors import SchemaError
from model_envelope.spark_jobs.batches import rows_at_once
from model_envelope.spark_jobs.footers import Footer, read_footers
from model_envelope.spark_jobs.output_types import storable
from model_envelope.spark_jobs.publish import NULL_PARTITION
from model_envelope.spark_jobs.tasks import Destination, Work, write_task

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_TASKS_PER_CORE = 2
_MIN_ROWS = 50_000
_MAX_ROWS = 2_000_000
_READ_FROM_FOLDERS = (
    pa.types.is_string,
    pa.types.is_integer,
    pa.types.is_boolean,
    pa.types.is_date32,
    pa.types.is_float64,
)


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows `start` to `stop` of neighbouring row groups of a file.

    `constants` are the values that the file's folders give, in the order of
    `Plan.partitions`.
    """

    path: str
    row_groups: tuple[int, ...]
    start: int
    stop: int
    constants: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What each task reads; `partitions` are the needed columns that folders name."""

    tasks: tuple[tuple[Piece, ...], ...]
    schema: pa.Schema
    partitions: tuple[str, ...]
    footers: tuple[Footer, ...]


class Declined(Exception):
    """Why the rows must go the general way."""


def plan(files: Sequence[Path], root: Path, schema: pa.Schema, cores: int) -> Plan:
    """Divide files into tasks of about the same number of rows.

    Args:
        files: those that Spark would read.
        root: the folder of the table; folders below it name partitions.
        schema: the columns that are needed, as Spark reads them.
        cores: tasks that run at once.

    Raises:
        Declined: a file holds something that Arrow and Spark would read differently.
    """
    if any("." in name for name in schema.names):
        raise Declined("the name of a column has a dot in it")
    paths = sorted(files)
    try:
        footers = read_footers(paths)
    except (OSError, pa.ArrowInvalid) as error:
        raise Declined(f"a file's footer cannot be read: {error}") from error
    folders = [_folders(path, root) for path in paths]
    partitions = tuple(name for name in schema.names if folders and name in folders[0])
    for footer, named in zip(footers, folders, strict=True):
        _check(footer, named, partitions, schema)
    target, divide = _division(footers, cores)
    pieces = [
        piece
        for footer, named in zip(footers, folders, strict=True)
        for piece in _pieces(footer, tuple(named[name] for name in partitions), target, divide)
    ]
    return Plan(tuple(_packed(pieces, target)), schema, partitions, tuple(footers))


def run(
    spark: SparkSession, plan: Plan, work: Work, destination: Destination, batch_rows: int
) -> None:
    """Predict and write the rows of every task; the reports name the files.

    Raises:
        Exception: Spark's, where a task failed for good; see `failures.as_error`.
    """
    schema, partitions = plan.schema, plan.partitions
    rows = rows_at_once(schema, batch_rows, _bytes_per_row(plan))

    def predict(tasks: Iterable[tuple[int, tuple[Piece, ...]]]) -> None:
        for number, pieces in tasks:
            write_task(work, destination, number, _read(pieces, schema, partitions, rows))

    numbered = list(enumerate(plan.tasks))
    spark.sparkContext.parallelize(numbered, max(1, len(numbered))).foreachPartition(predict)


def _bytes_per_row(plan: Plan) -> float:
    rows = sum(footer.metadata.num_rows for footer in plan.footers)
    size = sum(footer.bytes_of(plan.schema.names) for footer in plan.footers)
    return float(size / max(1, rows))


def _folders(path: Path, root: Path) -> dict[str, str | None]:
    """The values that the folders between a table and its file name, by column."""
    if path == root:
        return {}
    found = {}
    for part in path.parent.relative_to(root).parts if path.is_relative_to(root) else ("?",):
        name, equals, value = part.partition("=")
        if not equals:
            raise Declined(f"{path} is not in a folder that names its partition")
        found[unquote(name)] = None if value == NULL_PARTITION else unquote(value)
    return found


def _check(
    footer: Footer, folders: dict[str, str | None], partitions: Sequence[str], schema: pa.Schema
) -> None:
    if footer.is_legacy:
        raise Declined(f"{footer.path.name} has times as old versions of Spark wrote them")
    if not set(partitions) <= set(folders):
        raise Declined(f"{footer.path} is in other partitions than the rest")
    if len(partitions) == len(schema):
        raise Declined("no column is in the files themselves")
    for field in schema:
        if field.name in partitions:
            if not any(is_a(field.type) for is_a in _READ_FROM_FOLDERS):
                raise Declined(f"partition column {field.name!r} is {field.type}")
            continue
        found = footer.schema.get_all_field_indices(field.name)
        if len(found) != 1:
            raise Declined(f"{footer.path.name} has {len(found)} columns {field.name!r}")
        _check_type(field, footer.schema.field(found[0]), footer.path.name)


def _check_type(expected: pa.Field, found: pa.Field, where: str) -> None:
    try:
        same = (
            storable(pa.schema([found]), where).types == storable(pa.schema([expected]), "").types
        )
    except SchemaError:
        same = False
    if not same:
        raise Declined(
            f"column {expected.name!r} is {found.type} in {where}, but Spark reads {expected.type}"
        )


def _division(footers: Sequence[Footer], cores: int) -> tuple[int, bool]:
    """Rows for a task, and whether row groups are so few that they must be divided."""
    rows = sum(footer.metadata.num_rows for footer in footers)
    groups = sum(footer.metadata.num_row_groups for footer in footers)
    target = min(max(rows // (cores * _TASKS_PER_CORE), _MIN_ROWS), _MAX_ROWS)
    return target, groups < 2 * cores


def _pieces(
    footer: Footer, constants: tuple[str | None, ...], target: int, divide: bool
) -> Iterator[Piece]:
    path = str(footer.path)
    groups: list[int] = []
    rows = 0
    for i, count in enumerate(footer.rows):
        if divide and count > target:
            step = -(-count // round(count / target))
            for start in range(0, count, step):
                yield Piece(path, (i,), start, min(start + step, count), constants)
            continue
        # Only neighbours: the rows of a piece keep the order of the file.
        if groups and (rows >= target or groups[-1] != i - 1):
            yield Piece(path, tuple(groups), 0, rows, constants)
            groups, rows = [], 0
        groups.append(i)
        rows += count
    if rows:
        yield Piece(path, tuple(groups), 0, rows, constants)


def _packed(pieces: Sequence[Piece], target: int) -> Iterator[tuple[Piece, ...]]:
    waiting: list[Piece] = []
    rows = 0
    for piece in pieces:
        count = piece.stop - piece.start
        if waiting and rows + count > target * 1.25:
            yield tuple(waiting)
            waiting, rows = [], 0
        waiting.append(piece)
        rows += count
    if waiting:
        yield tuple(waiting)


def _read(
    pieces: Iterable[Piece], schema: pa.Schema, partitions: Sequence[str], batch_rows: int
) -> Iterator[pa.RecordBatch]:
    columns = [name for name in schema.names if name not in partitions]
    for piece in pieces:
        constants = {
            name: pa.scalar(value, pa.string()).cast(schema.field(name).type)
            for name, value in zip(partitions, piece.constants, strict=True)
        }
        with pq.ParquetFile(piece.path, memory_map=True) as file:
            batches = file.iter_batches(
                batch_rows, row_groups=piece.row_groups, columns=columns, use_threads=False
            )
            for batch in _between(batches, piece.start, piece.stop):
                yield _completed(batch, constants, schema)


def _between(batches: Iterable[pa.RecordBatch], start: int, stop: int) -> Iterator[pa.RecordBatch]:
    passed = 0
    for batch in batches:
        first, last = max(start - passed, 0), min(stop - passed, batch.num_rows)
        passed += batch.num_rows
        if first < last:
            yield batch.slice(first, last - first)
        if passed >= stop:
            return


def _completed(
    batch: pa.RecordBatch, constants: dict[str, pa.Scalar], schema: pa.Schema
) -> pa.RecordBatch:
    arrays = [
        pa.repeat(constants[name], batch.num_rows) if name in constants else batch.column(name)
        for name in schema.names
    ]
    return pa.RecordBatch.from_arrays(arrays, names=schema.names)
