"""Arguments and options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

from model_envelope.cli import completing, output

Context = typer.Context

Target = Annotated[
    str,
    typer.Argument(
        metavar="ID|QUERY",
        help="An id or its first digits (at least 4), or a tag query, whose latest match is taken.",
        autocompletion=completing.targets,
        show_default=False,
    ),
]

Id = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="An id, or its first digits (at least 4).",
        autocompletion=completing.ids,
        show_default=False,
    ),
]

Ids = Annotated[
    list[str],
    typer.Argument(
        metavar="ID…",
        help="Ids, or their first digits (at least 4).",
        autocompletion=completing.ids,
        show_default=False,
    ),
]

Query = Annotated[
    str,
    typer.Argument(
        metavar="QUERY",
        help="A tag query, e.g. \"region == 'US' and metric.auc > 0.9\".",
        autocompletion=completing.tag_keys,
        show_default=False,
    ),
]

Format = Annotated[output.Page, typer.Option("--output", "-o", help="For people, or for programs.")]

RowsFormat = Annotated[
    output.Rows, typer.Option("--output", "-o", help="For people, or for programs.")
]

Limit = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=1_000_000_000,
        help=f"At most so many; 0 for all. {output.SHOWN} in a table unless given, else all.",
        show_default=False,
    ),
]
