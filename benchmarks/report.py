"""How a benchmark says what it found: a table for people, one JSON line for machines."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.table import Table


def show(name: str, rows: Sequence[dict[str, Any]], **ratios: float) -> None:
    """Print rows of one shape, and the ratios that the benchmark is about."""
    table = Table(title=name)
    for column in rows[0]:
        table.add_column(column, justify="right" if column != next(iter(rows[0])) else "left")
    for row in rows:
        table.add_row(*(_text(value) for value in row.values()))
    console = Console()
    console.print(table)
    body = {"benchmark": name, "machine": platform.machine(), "rows": rows, "ratios": ratios}
    print(json.dumps(body))


def seconds(call: Callable[[], Any], times: int) -> list[float]:
    """Wall seconds of each call."""
    found = []
    for _ in range(times):
        start = perf_counter()
        call()
        found.append(perf_counter() - start)
    return found


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
