"""Commands that move envelopes between stores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from model_envelope.cli import output
from model_envelope.cli.arguments import Context, Target
from model_envelope.cli.session import progress, session


def export(
    context: Context,
    target: Target,
    file: Annotated[Path, typer.Argument(show_default=False, help="The file to write.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file.")] = False,
) -> None:
    """Write an envelope to one file, with all that was said of it, for another store."""
    current = session(context)
    envelope = current.envelope(target)
    with progress("Exporting") as report:
        current.client.export_envelope(envelope, file, overwrite=overwrite, progress=report)
    output.say(f"{envelope.id} is in {file}.")


def import_(
    context: Context,
    file: Annotated[Path, typer.Argument(show_default=False, help="A file that `export` wrote.")],
) -> None:
    """Put an exported envelope into this store, as its newest.

    Everything in the file is verified first. Nothing of the model runs.
    """
    with progress("Importing") as report:
        envelope = session(context).client.import_envelope(file, progress=report)
    output.say(envelope.id)
