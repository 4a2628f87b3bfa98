"""Writing to the terminal, or to a pipe: tables, JSON and CSV on stdout, all else on stderr."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import typer

from model_envelope.cli.text import cell, plain, shown_lines

if TYPE_CHECKING:
    from rich.table import Table


SHOWN = 50
"""Rows of a table, unless more are asked for."""


class Listing(StrEnum):
    """How a list of envelopes is written."""

    table = "table"
    json = "json"
    csv = "csv"
    id = "id"


class Rows(StrEnum):
    """How rows are written."""

    table = "table"
    json = "json"
    csv = "csv"


class Page(StrEnum):
    """How one thing is written."""

    table = "table"
    json = "json"


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    whole: Sequence[str] = ("id",),
    title: str = "",
) -> None:
    """Write rows in aligned columns that fit the terminal, or 80 characters in a pipe.

    Args:
        columns: their headings.
        rows: values, as `text.cell` shows them.
        whole: columns that are never broken into lines.
        title: a heading of all.
    """
    from rich.table import Table
    from rich.text import Text

    rows = list(rows)
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for i, name in enumerate(columns):
        numbers = all(type(row[i]) in (int, float, type(None)) for row in rows)
        grid.add_column(
            Text(name),
            no_wrap=name in whole,
            overflow="fold",
            justify="right" if numbers else "left",
        )
    for row in rows:
        grid.add_row(*(Text(cell(value)) for value in row))
    _print(grid, title)


def listing(
    format_: Rows,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    whole: Sequence[str],
    items: Iterable[Any] | None = None,
) -> None:
    """Write rows in the form that was asked for; no table where there are none.

    Args:
        format_: the form.
        columns: their names.
        rows: values.
        whole: columns of a table that are never broken into lines.
        items: what JSON has instead of the rows by column.
    """
    if format_ is Rows.json:
        by_column = (dict(zip(columns, row, strict=True)) for row in rows)
        records(by_column if items is None else items)
    elif format_ is Rows.csv:
        comma_separated(columns, rows)
    elif rows:
        table(columns, rows, whole=whole)


def facts(pairs: Iterable[tuple[str, Any]], *, title: str = "") -> None:
    """Write names and values, one line each; those without a value are left out."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        if cell(value):
            grid.add_row(Text(cell(name)), Text(cell(value)))
    _print(grid, title)


def most(limit: int | None, format_: Listing | Rows) -> int | None:
    """How many rows to write: all to programs, and not too many to people, unless told."""
    if limit is None:
        return SHOWN if format_.value == "table" else None
    return limit or None


def note_rest(written: int | None, count: int) -> None:
    """Say how many rows were left out, if any."""
    if written is not None and count > written:
        note(f"{written} of {count}; --limit 0 gives all.")


def document(value: Any) -> None:
    """Write one JSON document, in ASCII."""
    typer.echo(json.dumps(plain(value), indent=2))


def records(rows: Iterable[Any]) -> None:
    """Write a JSON array, in ASCII, an item on each line."""
    lines = ",\n".join(json.dumps(plain(row)) for row in rows)
    typer.echo(f"[\n{lines}\n]" if lines else "[]")


def comma_separated(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write CSV: mappings and lists as JSON, times in ISO 8601, nothing for what is missing."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = (plain(value) for value in row)
        writer.writerow(json.dumps(v) if isinstance(v, dict | list | bool) else v for v in values)
    raw(target.getvalue())


def raw(text: str) -> None:
    """Write text as it is to a pipe; to a terminal, without what could steer it."""
    typer.echo(shown_lines(text) if sys.stdout.isatty() else text, nl=False)


def say(text: str) -> None:
    """Write a line of text."""
    typer.echo(shown_lines(text))


def note(text: str) -> None:
    """Write a line beside the output."""
    typer.echo(shown_lines(text), err=True)


def _print(grid: Table, title: str) -> None:
    from rich.console import Console
    from rich.text import Text

    # Rich would take the width of whatever else is a terminal, and colours from variables
    # that are meant for terminals.
    console = Console(
        force_terminal=sys.stdout.isatty(),
        width=shutil.get_terminal_size().columns,
        highlight=False,
        markup=False,
        emoji=False,
    )
    with console.capture() as captured:
        if title:
            console.print(Text(f"\n{title}", style="bold"))
        if grid.row_count:
            console.print(grid)
    for line in captured.get().splitlines():
        typer.echo(line.rstrip())
