"""What a batch prediction is asked to do, checked before anything starts.

This module needs the standard library only: it travels to Spark.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from model_envelope.batch import tables
from model_envelope.batch.tables import CatalogTable, JdbcTable, PathTable, Table
from model_envelope.errors import InvalidInput, InvalidName

WriteMode = Literal["replace", "append", "overwrite"]
"""`replace` puts this run's rows in place of those of the same logical date; `append` keeps
other runs' rows of that date; `overwrite` replaces the whole table."""

JoinType = Literal["inner", "left"]
DataPath = Literal["auto", "direct", "general"]
ExtraColumns = Literal["ignore", "refuse"]
TableFormat = Literal["parquet", "orc", "csv", "json", "delta", "iceberg"]

ENVELOPE_ID = "envelope_id"
LOGICAL_DATE = "logical_date"
RUN_KEY = "run_key"
RESERVED = (ENVELOPE_ID, LOGICAL_DATE, RUN_KEY)
"""Columns that every output table has, and `run_key`, which `append` adds."""

InputTables = str | Path | Table | Sequence[str | Path | Table] | Mapping[str, str | Path | Table]


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchRequest:
    """One batch prediction: which rows, by which query function, to where.

    Make it with `batch_request`, which checks it. `inputs` are the tables by the names
    that `sql` may use. `logical_date` is the value of the column and partition of that
    name: a date, or a UTC time where the run is for a moment that is not midnight.
    """

    inputs: dict[str, Table]
    output: Table
    run_key: str
    logical_date: str
    query_function: str = "predict"
    sql: str | None = None
    join_on: tuple[str, ...] = ()
    join_type: JoinType = "inner"
    keep_columns: tuple[str, ...] = ()
    write_mode: WriteMode = "replace"
    partition_columns: tuple[str, ...] = ()
    extra_columns: ExtraColumns = "ignore"
    table_format: TableFormat | None = None
    path: DataPath = "auto"
    batch_rows: int = 250_000

    @property
    def run_digest(self) -> str:
        """Names the run where its key, which may be any text, cannot be written.

        It starts with a letter: nobody takes the folder of such a partition for a number's.
        """
        return "r" + hashlib.sha256(self.run_key.encode()).hexdigest()[:16]

    @property
    def partitions(self) -> dict[str, str]:
        """The partition of the output that this run owns, by column, outermost first."""
        owned = {LOGICAL_DATE: self.logical_date}
        return owned | {RUN_KEY: self.run_digest} if self.write_mode == "append" else owned

    def to_json(self) -> dict[str, Any]:
        """Plain data for a job description, credentials included: keep it private."""
        return asdict(self) | {
            "inputs": {name: tables.to_json(table) for name, table in self.inputs.items()},
            "output": tables.to_json(self.output),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> BatchRequest:
        """Read `to_json` again."""
        plain = {
            field.name: tuple(found) if isinstance(found := body[field.name], list) else found
            for field in fields(cls)
        }
        inputs = {name: tables.from_json(table) for name, table in body["inputs"].items()}
        return cls(**plain | {"inputs": inputs, "output": tables.from_json(body["output"])})

    def described(self) -> dict[str, Any]:
        """The request for the ledger: addresses without credentials."""
        return asdict(self) | {
            "inputs": {name: table.address for name, table in self.inputs.items()},
            "output": self.output.address,
        }


def batch_request(
    *,
    input_table: InputTables,
    output_table: str | Path | Table,
    run_key: str,
    logical_date: date | str | None = None,
    query_function: str = "predict",
    sql: str | None = None,
    join_on: str | Sequence[str] = (),
    join_type: JoinType = "inner",
    keep_columns: Sequence[str] = (),
    write_mode: WriteMode = "replace",
    partition_columns: Sequence[str] = (),
    extra_columns: ExtraColumns = "ignore",
    table_format: TableFormat | None = None,
    path: DataPath = "auto",
    batch_rows: int = 250_000,
) -> BatchRequest:
    """Check what is asked for.

    Args:
        input_table: one address, several to be joined, or a dict of them by name for `sql`;
            see `batch.tables` for addresses.
        output_table: one address, of a table that is no input.
        run_key: names the logical run: a retry has the same, another run never.
        logical_date: what the run is for. Today in UTC unless given.
        query_function: which function of the envelope.
        sql: a SELECT over the inputs by name; a table's name is the last part of its
            address unless a dict names it.
        join_on: columns that several inputs are joined on.
        join_type: `left` keeps rows of the first input without a match.
        keep_columns: input columns that the output has too.
        write_mode: see `WriteMode`.
        partition_columns: output columns to partition by, below the logical date.
        extra_columns: whether input columns that are neither needed nor kept are an error.
        table_format: of an output table that is to be created in a catalog.
        path: the way rows go. `direct` reads and writes Parquet files past Spark's engine;
            `auto` takes it where it can and says why where not.
        batch_rows: rows given to the model at once, at most; fewer where rows are wide.

    Raises:
        InvalidInput: something is contradictory or out of range.
        InvalidName: a table, column or key could be hostile.
    """
    request = BatchRequest(
        inputs=_named(input_table),
        output=tables.parse_table(output_table),
        run_key=_run_key(run_key),
        logical_date=_logical_date(logical_date),
        query_function=query_function,
        sql=_sql(sql),
        join_on=_columns("join_on", join_on),
        join_type=_one_of("join_type", join_type, JoinType),
        keep_columns=_columns("keep_columns", keep_columns),
        write_mode=_one_of("write_mode", write_mode, WriteMode),
        partition_columns=_columns("partition_columns", partition_columns),
        extra_columns=_one_of("extra_columns", extra_columns, ExtraColumns),
        table_format=table_format and _one_of("table_format", table_format, TableFormat),
        path=_one_of("path", path, DataPath),
        batch_rows=_batch_rows(batch_rows),
    )
    _check_inputs(request)
    _check_output(request)
    return request


def _named(given: InputTables) -> dict[str, Table]:
    if isinstance(given, Mapping):
        named = {name: tables.parse_table(table) for name, table in given.items()}
    else:
        single = isinstance(given, (str, Path, CatalogTable, PathTable, JdbcTable))
        several = [given] if single else list(given)  # type: ignore[arg-type]
        parsed = [tables.parse_table(table) for table in several]  # type: ignore[arg-type]
        named = {_name(table): table for table in parsed}
        if len(named) < len(parsed):
            raise InvalidInput(
                "Two inputs have the same name. Pass input_table as a dict of tables by name."
            )
    for name in named:
        if not isinstance(name, str) or not name.isidentifier() or not name.isascii():
            raise InvalidName(f"{name!r} is no name of an input: use letters, digits and _.")
    return named


def _name(table: Table) -> str:
    if isinstance(table, PathTable):
        stem = table.path.rpartition("/")[2].partition(".")[0]
        return re.sub(r"[^A-Za-z0-9]+", "_", stem).strip("_").lstrip("0123456789_") or "input"
    return (table.name if isinstance(table, CatalogTable) else table.table).rpartition(".")[2]


def _check_inputs(request: BatchRequest) -> None:
    if not request.inputs:
        raise InvalidInput("input_table names no table.")
    if request.sql and request.join_on:
        raise InvalidInput("Give sql or join_on, not both: SQL can join too.")
    if len(request.inputs) > 1 and not request.sql and not request.join_on:
        raise InvalidInput(
            f"{len(request.inputs)} inputs, {', '.join(request.inputs)}: say join_on=[columns], "
            "or give sql."
        )
    if len(request.inputs) == 1 and request.join_on:
        raise InvalidInput("join_on needs several inputs.")
    for name, table in request.inputs.items():
        if tables.overlap(table, request.output):
            raise InvalidInput(
                f"The output {request.output.address} overlaps with the input {name!r}, "
                f"{table.address}. Choose another output: an input is never written to."
            )


def _check_output(request: BatchRequest) -> None:
    for name in request.keep_columns + request.partition_columns:
        if name.lower() in RESERVED:
            raise InvalidInput(
                f"Column {name!r}: every output table has {', '.join(RESERVED)} of its own. "
                "Rename the input's column by sql."
            )
    output = request.output
    if request.table_format and not isinstance(output, CatalogTable):
        raise InvalidInput(
            "table_format is for tables of a catalog; a path's format is told by its suffix or "
            "a prefix, such as csv:/data/out."
        )
    if isinstance(output, PathTable) and output.local and output.local.suffix and _is_file(output):
        raise InvalidInput(f"The output {output.path} is a file; a table is a directory of files.")
    if isinstance(output, JdbcTable) and request.partition_columns:
        raise InvalidInput("A PostgreSQL table is not partitioned by partition_columns.")
    if request.path == "direct" and isinstance(output, JdbcTable):
        raise InvalidInput("path='direct' writes Parquet files, not into PostgreSQL.")


def _is_file(table: PathTable) -> bool:
    return table.local is not None and table.local.is_file()


def _run_key(value: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > 512:
        raise InvalidInput("run_key must be a text of 1 to 512 characters.")
    return value


def _logical_date(value: date | str | None) -> str:
    """A moment as the text that sorts by time and can name a folder."""
    if value is None:
        return datetime.now(UTC).date().isoformat()
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value) if len(value) > 10 else date.fromisoformat(value)
        except ValueError as error:
            raise InvalidInput(f"logical_date {value!r:.60} is no ISO date or time.") from error
    if not isinstance(value, date):
        raise InvalidInput(f"logical_date must be a date or time, not {type(value).__name__}.")
    if not isinstance(value, datetime):
        return value.isoformat()
    if value.tzinfo is None:
        raise InvalidInput(f"logical_date {value} has no time zone; use UTC.")
    moment = value.astimezone(UTC)
    if moment.time() == datetime.min.time():
        return moment.date().isoformat()
    return moment.replace(tzinfo=None).isoformat() + "Z"


def _sql(value: str | None) -> str | None:
    if value is None:
        return None
    text = value.strip().rstrip(";").rstrip() if isinstance(value, str) else ""
    if not text:
        raise InvalidInput("sql must be a SELECT statement.")
    return text


def _columns(what: str, value: str | Sequence[str]) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else tuple(value)
    for name in names:
        if not isinstance(name, str) or not name or "\0" in name:
            raise InvalidInput(f"{what} must be column names, not {name!r}.")
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        raise InvalidInput(f"{what} names {', '.join(doubles)} more than once.")
    return names


def _one_of(what: str, value: Any, type_: Any) -> Any:
    if value not in get_args(type_):
        raise InvalidInput(f"{what}={value!r}: use {', '.join(map(repr, get_args(type_)))}.")
    return value


def _batch_rows(value: int) -> int:
    if not isinstance(value, int) or not 1 <= value <= 1_000_000:
        raise InvalidInput(f"batch_rows must be 1 to 1,000,000, not {value!r}.")
    return value
