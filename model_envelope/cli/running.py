"""Commands that run a model."""

from __future__ import annotations

from typing import Annotated

import typer

from model_envelope.cli import output
from model_envelope.cli.arguments import Context, Target
from model_envelope.cli.session import FAILED, session


def predict(
    context: Context,
    target: Target,
    *,
    source: Annotated[
        str,
        typer.Option(
            "--input",
            "-i",
            metavar="FILE|-",
            help="A .csv, .parquet, .json or .jsonl file; - is stdin.",
        ),
    ],
    result: Annotated[
        str,
        typer.Option(
            "--output-file", "-f", metavar="FILE|-", help="Of the same kinds; - is stdout, as CSV."
        ),
    ] = "-",
    function: Annotated[str, typer.Option(help="Which query function.")] = "predict",
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="A column of the input to put before the predictions."),
    ] = None,
    isolated: Annotated[
        bool,
        typer.Option("--isolated", help="In the envelope's own environment, built on first use."),
    ] = False,
) -> None:
    """Predict every row of a file. Runs the model's code: trust where it comes from."""
    from model_envelope.cli import tables
    from model_envelope.isolation import load_plan

    client = session(context).client
    write = tables.writer(result)
    envelope = session(context).envelope(target)
    spec = load_plan(envelope.record, function).function
    table = tables.read(source, spec, keep or ())
    found = client.predict(envelope, table, function=function, isolated=isolated)
    write(tables.beside(table, keep or (), found))


def verify(context: Context, target: Target) -> None:
    """Rebuild an envelope's environment and predict its golden rows there.

    Exits with 0 if they are as they were when it was saved, else with 1.
    """
    envelope = session(context).envelope(target).verify()
    if envelope.reproducible == "proved":
        output.say(f"{envelope.id}: proved, the rebuilt environment gives the saved outputs.")
        return
    output.say(f"{envelope.id}: {envelope.reproducible}")
    output.note(f"Error: {envelope.record.reproducible_reason}")
    raise typer.Exit(FAILED)
