"""The command that shows the pages."""

from __future__ import annotations

from typing import Annotated

import typer

from model_envelope.cli import output
from model_envelope.cli.arguments import Context
from model_envelope.cli.session import session
from model_envelope.optional import require


def ui(
    context: Context,
    *,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 for any that is free.")] = 8790,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="MODEL_ENVELOPE_UI_TOKEN",
            metavar="SECRET",
            help="Who has it may change things; without one the pages only read.",
        ),
    ] = None,
) -> None:
    """Show models, services and metrics in the browser, to this machine only."""
    require("fastapi", "ui")
    require("uvicorn", "ui")
    from model_envelope.web.alone import serve

    client = session(context).client
    _ = client.store
    serve(client, port=port, token=token, tell=output.say)
