"""The command that keeps Prometheus, Alertmanager and Grafana up to date with the services."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from model_envelope.cli import output
from model_envelope.cli.arguments import Context
from model_envelope.cli.session import session


def monitoring(
    context: Context,
    folder: Annotated[Path, typer.Argument(help="Where Prometheus looks; made if need be.")],
    thresholds: Annotated[
        Path | None,
        typer.Option(
            metavar="YAML", help="When alerts begin: `default:` and `services: {name: …}`."
        ),
    ] = None,
    alertmanager: Annotated[
        Path | None,
        typer.Option(metavar="YAML", help="Alertmanager's configuration with its receivers."),
    ] = None,
    alertmanagers: Annotated[
        list[str] | None,
        typer.Option("--send-to", metavar="HOST:PORT", help="An Alertmanager of Prometheus."),
    ] = None,
) -> None:
    """Write what Prometheus, Alertmanager and Grafana need to watch the live services.

    Names the files that changed. Run it after deployments, or every minute.
    """
    from model_envelope.monitoring.watched import watched
    from model_envelope.monitoring.writing import write

    changed = write(
        folder,
        watched(session(context).client.platform),
        thresholds=thresholds,
        alertmanager=alertmanager,
        alertmanagers=alertmanagers or (),
    )
    for path in changed:
        output.say(str(path))
    if not changed:
        output.note("Nothing changed.")
