"""What was asked and answered, for those who look for drift: written beside the service.

Predictions are sampled and handed to a thread that writes Parquet files. Whatever cannot
be taken or written is counted and let go: no answer waits for the log or fails by it.

    <folder>/<function>/<release>-<process>-<number>.parquet

`rows` keeps `at`, `request_id`, `input.<column>` and `output.<column>`; `statistics` one row
for each column and file: see `describe`.
"""

from __future__ import annotations

import logging
import os
import queue
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from model_envelope.serving.formats import Columns, Request
from model_envelope.serving.instruments import Instruments
from model_envelope.serving.plan import PredictionLog

_log = logging.getLogger(__name__)

_WAITING_ROWS = 50_000
"""Rows that may wait for the thread; more are dropped."""
_FILE_ROWS = 20_000
_FILE_SECONDS = 60.0
_CLOSE_SECONDS = 5.0

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
_TOP = 20

STATISTICS = pa.schema(
    [
        ("from", pa.timestamp("us", "UTC")),
        ("to", pa.timestamp("us", "UTC")),
        ("column", pa.string()),
        ("count", pa.int64()),
        ("missing", pa.int64()),
        ("mean", pa.float64()),
        ("stddev", pa.float64()),
        ("quantiles", pa.list_(pa.float64())),
        ("top", pa.list_(pa.struct([("value", pa.string()), ("count", pa.int64())]))),
    ]
)
"""What `describe` gives."""


@dataclass(slots=True)
class _Entry:
    """One request with its answer."""

    function: str
    at: float
    request_id: str
    request: Request
    output: pa.Table


class Recorder:
    """The log of one service process; `offer` may be called by any one thread."""

    def __init__(self, log: PredictionLog, release: str, instruments: Instruments) -> None:
        self._log = log
        self._instruments = instruments
        self._folder = Path(log.folder)
        self._name = f"{release}-{os.getpid()}{secrets.token_hex(3)}"
        self._number = 0
        self._waiting_rows = 0
        self._lock = threading.Lock()
        self._entries: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="prediction log", daemon=True)
        self._thread.start()

    def offer(self, function: str, request: Request, request_id: bytes, output: pa.Table) -> None:
        """Log a prediction if it is of the sample, and if there is room."""
        if random.random() >= self._log.share:  # noqa: S311
            return
        with self._lock:
            has_room = self._waiting_rows + request.rows <= _WAITING_ROWS
            if has_room:
                self._waiting_rows += request.rows
        if has_room:
            entry = _Entry(function, time.time(), request_id.decode(), request, output)
            self._entries.put(entry)
        else:
            self._instruments.log_dropped.inc(request.rows)

    def close(self) -> None:
        """Write what was taken, if that does not take too long."""
        self._entries.put(None)
        self._thread.join(_CLOSE_SECONDS)

    def _write(self) -> None:
        gathered: dict[str, list[_Entry]] = {}
        rows: Counter[str] = Counter()
        flush_at = time.monotonic() + _FILE_SECONDS
        while True:
            try:
                entry = self._entries.get(timeout=max(0.0, flush_at - time.monotonic()))
            except queue.Empty:
                for name in list(gathered):
                    self._save(name, gathered.pop(name), rows.pop(name))
                flush_at = time.monotonic() + _FILE_SECONDS
                continue
            if entry is None:
                for name, entries in gathered.items():
                    self._save(name, entries, rows[name])
                return
            name = entry.function
            gathered.setdefault(name, []).append(entry)
            rows[name] += entry.request.rows
            if rows[name] >= _FILE_ROWS:
                self._save(name, gathered.pop(name), rows.pop(name))

    def _save(self, function: str, entries: Sequence[_Entry], rows: int) -> None:
        try:
            self._write_file(function, as_table(entries))
            self._instruments.log_rows.inc(rows)
        except Exception:
            self._instruments.log_dropped.inc(rows)
            _log.warning("Predictions could not be logged", exc_info=True)
        with self._lock:
            self._waiting_rows -= rows

    def _write_file(self, function: str, table: pa.Table) -> None:
        if self._log.mode == "statistics":
            table = describe(table)
        self._number += 1
        path = self._folder / function / f"{self._name}-{self._number:06}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = path.with_suffix(".partial")
        try:
            pq.write_table(table, staging)
            staging.replace(path)
        except BaseException:
            staging.unlink(missing_ok=True)
            raise
        prune(self._folder, self._log.folder_bytes)


def prune(folder: Path, most: int) -> None:
    """Remove the oldest files of a log until it has at most so many bytes; the newest stays.

    Also those of other processes: of replicas, and of those that ran here before.
    """
    found = []
    for path in folder.rglob("*.p*"):
        with suppress(OSError):  # another one was faster
            stat = path.stat()
            found.append((stat.st_mtime_ns, stat.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found)[:-1]:
        if total <= most:
            return
        with suppress(OSError):
            path.unlink()
        total -= size


def as_table(entries: Sequence[_Entry]) -> pa.Table:
    """All rows of some entries of one function."""
    given = Columns.concat([entry.request.columns for entry in entries]).table()
    made = pa.concat_tables([entry.output for entry in entries])
    times = [datetime.fromtimestamp(e.at, UTC) for e in entries for _ in range(e.request.rows)]
    ids = [entry.request_id for entry in entries for _ in range(entry.request.rows)]
    columns = {"at": pa.array(times, STATISTICS.field("from").type), "request_id": pa.array(ids)}
    for side, table in (("input", given), ("output", made)):
        names = [f"{side}.{name}" for name in table.column_names]
        columns |= dict(zip(names, table.columns, strict=True))
    return pa.table(columns)


def describe(table: pa.Table) -> pa.Table:
    """Statistics of logged rows: count and missing of each column of inputs and outputs.

    Numbers have mean, standard deviation and `QUANTILES` besides; all else its commonest
    values.
    """
    at = table.column("at")
    span = {"from": pc.min(at).as_py(), "to": pc.max(at).as_py()}
    described = [
        {**span, "column": name, **_describe(column)}
        for name, column in zip(table.column_names, table.columns, strict=True)
        if name.startswith(("input.", "output."))
    ]
    return pa.Table.from_pylist(described, schema=STATISTICS)


def _describe(column: pa.ChunkedArray) -> dict[str, Any]:
    if isinstance(column.type, pa.DictionaryType):
        column = column.cast(column.type.value_type)
    numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    if not numeric:
        return {
            "count": len(column),
            "missing": column.null_count,
            "top": _commonest(column),
        }
    values = pc.drop_null(column.cast(pa.float64(), safe=False))
    values = values.filter(pc.is_finite(values))
    return {
        "count": len(column),
        "missing": len(column) - len(values),
        "mean": pc.mean(values).as_py(),
        "stddev": pc.stddev(values).as_py(),
        "quantiles": pc.quantile(values, list(QUANTILES)).to_pylist() if len(values) else [],
    }


def _commonest(column: pa.ChunkedArray) -> list[dict[str, Any]]:
    if pa.types.is_nested(column.type):
        return []
    counts = pc.value_counts(pc.drop_null(column))
    ordered = sorted(
        zip(counts.field(1).to_pylist(), counts.field(0).to_pylist(), strict=True),
        key=lambda pair: -pair[0],
    )
    return [{"value": str(value)[:200], "count": count} for count, value in ordered[:_TOP]]
