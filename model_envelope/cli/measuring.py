"""The command that reads metrics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from model_envelope.cli import completing, output
from model_envelope.cli.arguments import Context, Limit, Query
from model_envelope.cli.output import Rows
from model_envelope.cli.session import NO_MATCH, session

if TYPE_CHECKING:
    from model_envelope.client.client import Client

COLUMNS = ("envelope_id", "saved_at", "name", "step", "at", "value", "type")

_AGO = re.compile(r"(\d{1,4})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def metrics(
    context: Context,
    query: Query,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME…", help="All unless given.")
    ] = None,
    *,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Logged then or later: 2026-05-31T12:00 (UTC), or 7d, 12h ago."
        ),
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option(
            "--tag",
            metavar="KEY",
            help="A tag to add as a column.",
            autocompletion=completing.tag_keys,
        ),
    ] = None,
    limit: Limit = None,
    format_: Annotated[
        Rows, typer.Option("--output", "-o", help="For people, or for programs.")
    ] = Rows.table,
) -> None:
    """List logged values of all matches: a row for each envelope, metric and step."""
    from model_envelope.tag_query import parse

    client = session(context).client
    keys = tuple(dict.fromkeys(tags or ()))
    rows = list(_rows(client, query, names, _moment(since), keys))
    most = output.most(limit, format_)
    # As in `metrics.frame`: a tag may be called like a column.
    headings = (*COLUMNS, *(f"tag.{key}" if key in COLUMNS else key for key in keys))
    _write(rows[:most], headings, format_)
    output.note_rest(most, len(rows))
    if not rows:
        client.latest(query)  # raises where there is no match
        logged = client.store.metric_names(parse(query))
        output.note(f"None of that was logged; there is {', '.join(logged) or 'nothing'}.")
        raise typer.Exit(NO_MATCH)


def _rows(
    client: Client,
    query: str,
    names: list[str] | None,
    since: datetime | None,
    keys: tuple[str, ...],
) -> Iterator[list[Any]]:
    from model_envelope.metrics.points import number_of
    from model_envelope.names import check_metric_name, check_tag_keys
    from model_envelope.tag_query import parse

    found = client.store.metric_rows(
        parse(query),
        None if not names else [check_metric_name(name) for name in names],
        since=since,
        tags=check_tag_keys(keys),
    )
    scalar = [kind == "scalar" for kind in found["type"]]
    found["value"] = [
        number_of(value, body) if is_scalar else None
        for value, body, is_scalar in zip(found["value"], found["body"], scalar, strict=True)
    ]
    columns = [found[name] for name in COLUMNS] + [found[f"tag.{key}"] for key in keys]
    yield from map(list, zip(*columns, strict=True))


def _write(rows: list[list[Any]], columns: tuple[str, ...], format_: Rows) -> None:
    if format_ is Rows.table:
        shown = [i for i, name in enumerate(columns) if name not in ("saved_at", "type")]
        columns = tuple(columns[i] for i in shown)
        rows = [[row[i] for i in shown] for row in rows]
    output.listing(format_, columns, rows, whole=("envelope_id",))


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    ago = _AGO.fullmatch(text)
    if ago:
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time: write 2026-05-31, 2026-05-31T12:00+02:00, 7d or 12h.",
            param_hint="--since",
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
