"""The command that builds images."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from model_envelope.cli import output
from model_envelope.cli.arguments import Context, Target
from model_envelope.cli.session import session
from model_envelope.errors import InvalidInput


def build(
    context: Context,
    target: Target,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--output",
            show_default=False,
            help="Build nothing: write all that it is built of to this folder, for elsewhere.",
        ),
    ] = None,
    push: Annotated[
        bool, typer.Option("--push", help="Push it to the registry in its name.")
    ] = False,
) -> None:
    """Build the image of an envelope's service, by the Docker engine.

    MODEL_ENVELOPE_BASE_IMAGE names the image that it is built on, and
    MODEL_ENVELOPE_IMAGE_REPOSITORY what it is called, such as registry.example/models.
    """
    from model_envelope.deployment.images import building

    if push and folder is not None:
        raise InvalidInput("--push and --output exclude each other: what is only written is not.")
    current = session(context)
    client = current.client
    builder = building.ImageBuilder(
        store=client.store, artifacts=client.artifacts, cache=client.cache
    )
    record = current.envelope(target).record
    if folder is not None:
        command = builder.write_context(record, folder)
        output.note(f"Build it, wherever {folder} is taken, by")
        output.say(shlex.join(command))
        return
    image = builder.build(record)
    output.say(building.push(image) if push else image.reference)
