"""The commands, put together. What they need is imported when they run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from model_envelope._version import __version__
from model_envelope.cli import (
    browsing,
    building,
    finding,
    measuring,
    moving,
    ruling,
    running,
    saying,
    serving,
    upkeep,
    watching,
)
from model_envelope.cli.arguments import Context
from model_envelope.cli.session import Commands, Session, logged

app = typer.Typer(
    name="model-envelope",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    "Find": {
        "query": finding.query,
        "show": finding.show,
        "diff": finding.diff,
        "why": finding.why,
        "metrics": measuring.metrics,
        "ui": browsing.ui,
    },
    "Use": {"predict": running.predict, "verify": running.verify},
    "Say": {
        "tag": saying.tag,
        "log": saying.log,
        "archive": saying.archive,
        "unarchive": saying.unarchive,
        "delete": saying.delete,
        "undelete": saying.undelete,
    },
    "Serve": {
        "deploy": serving.deploy,
        "rollback": serving.rollback,
        "undeploy": serving.undeploy,
        "unpin": serving.unpin,
        "services": serving.services,
        "service": serving.service,
        "logs": serving.logs,
        "plan": ruling.plan,
        "reconcile": serving.reconcile,
        "monitoring": watching.monitoring,
    },
    "Move": {
        "export": moving.export,
        "import": moving.import_,
        "build": building.build,
    },
    "Keep": {"init": upkeep.init, "gc": upkeep.gc},
}

for _panel, _commands in _COMMANDS.items():
    for _name, _command in _commands.items():
        app.command(_name, rich_help_panel=_panel)(_command)
app.add_typer(ruling.rules, name="rules", rich_help_panel="Serve")
app.add_typer(upkeep.db, name="db", rich_help_panel="Keep")


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    context: Context,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="sqlite:///… or postgresql://…; else MODEL_ENVELOPE_STORE."
        ),
    ] = None,
    artifacts: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="A directory or s3://bucket/prefix; else MODEL_ENVELOPE_ARTIFACTS.",
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Tell the version."),
    ] = False,
) -> None:
    """Models in envelopes: find, compare, tag, run and move them.

    Exit codes: 0 done, 1 an error, 2 wrong usage, 3 no match.
    """
    context.obj = Session(store, artifacts, debug)
    context.call_on_close(context.obj.close)
    context.with_resource(logged(debug))


def run() -> None:
    """Run the command in `sys.argv`."""
    for stream in (sys.stdout, sys.stderr):
        # What a terminal or a file of another encoding cannot hold is written as an escape.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    app()
