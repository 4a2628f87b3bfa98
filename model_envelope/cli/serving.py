"""Commands about services: what they should run, and making it so."""

from __future__ import annotations

import json
import signal
import sys
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from model_envelope.cli import completing, output
from model_envelope.cli.arguments import Context, Format, RowsFormat, Target
from model_envelope.cli.output import Page, Rows
from model_envelope.cli.session import FAILED, session

if TYPE_CHECKING:
    from model_envelope.client.services import Deployed
    from model_envelope.deployment.reconciling import Outcome
    from model_envelope.deployment.rollout import Tell
    from model_envelope.deployment.scaling import Scaled
    from model_envelope.deployment.targets.replicas import Replicas
    from model_envelope.store.rows import ServiceRecord, StepState

Service = Annotated[
    str,
    typer.Argument(
        metavar="SERVICE", help="The service's name.", autocompletion=completing.services
    ),
]

Reason = Annotated[str, typer.Option(help="For the ledger.")]


def deploy(
    context: Context,
    target: Target,
    service: Service,
    *,
    place: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="KIND",
            help="Where it runs: process, docker, …; what it was, or process, unless given.",
        ),
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="NAME=VALUE", help="Of the target, e.g. replicas=2."),
    ] = None,
    reason: Reason = "",
) -> None:
    """Have a service run an envelope, and wait until it does; what it runs keeps running till then.

    The envelope has to give its saved outputs over HTTP first. The service is pinned to it.
    """
    found = session(context).client.deploy(
        session(context).envelope(target),
        service,
        target=place,
        options=dict(_option(text) for text in options) if options else None,
        reason=reason,
        tell=_tell(),
    )
    _say(found)


def rollback(context: Context, service: Service, *, reason: Reason = "") -> None:
    """Put back what a service ran before, and pause the rule that would undo it."""
    _say(session(context).client.rollback(service, reason=reason, tell=_tell()))


def undeploy(context: Context, service: Service, *, reason: Reason = "") -> None:
    """End a service, and pause the rule that would bring it back."""
    found = session(context).client.undeploy(service, reason=reason, tell=_tell())
    output.say(f"{found.service} is undeployed.")
    if found.note:
        output.note(found.note)


def unpin(context: Context, service: Service) -> None:
    """Let rules change a service again that a person has deployed to."""
    session(context).client.unpin(service)
    output.say(f"{service} follows its rule again, if it has one.")


def services(
    context: Context,
    format_: RowsFormat = Rows.table,
) -> None:
    """List the services: where they answer, what they run, and what is wanted of them."""
    client = session(context).client
    replicas = client.replicas()
    rows = [_row(record, replicas.get(record.name)) for record in client.services()]
    output.listing(format_, _COLUMNS, rows, whole=("service", "url"))


def service(context: Context, name: Service, *, format_: Format = Page.table) -> None:
    """Tell everything of a service: what it runs, the last deployments, each gate's result."""
    client = session(context).client
    record = client.service(name)
    ledger = client.deployments(name, limit=10)
    steps = client.deployment_steps(ledger[0].id) if ledger else ()
    facts = dict(zip(_COLUMNS, _row(record, client.replicas().get(name)), strict=True)) | {
        "target": record.target,
        "reason": record.reason,
        "previous": record.previous_envelope,
    }
    deployments = [
        (d.id, d.state, d.envelope_id, d.by, d.started_at, d.live_from, d.live_to, d.reason)
        for d in ledger
    ]
    gates = [(s.name, s.state, s.at, s.detail) for s in steps if s.state != "running"]
    if format_ is Page.json:
        names = ("id", "state", "envelope", "by", "started", "live_from", "live_to", "reason")
        output.document(
            facts
            | {
                "deployments": [dict(zip(names, row, strict=True)) for row in deployments],
                "steps": [
                    dict(zip(("step", "state", "at", "detail"), row, strict=True)) for row in gates
                ],
            }
        )
        return
    output.facts(facts.items())
    if deployments:
        shown = [(row[0], row[1], row[2], row[3], row[5], row[7]) for row in deployments]
        columns = ("id", "state", "envelope", "by", "live from", "reason")
        output.table(columns, shown, whole=("id",), title="deployments")
        output.table(
            ("step", "state", "at", "detail"), gates, whole=(), title="steps of the last one"
        )


def logs(
    context: Context,
    service: Service,
    *,
    lines: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 200,
    deployment: Annotated[
        str | None, typer.Option(metavar="ID", help="Of another release than the live one.")
    ] = None,
) -> None:
    """Show the last lines that a service has logged."""
    text = session(context).client.service_logs(service, lines=lines, deployment=deployment)
    output.raw(text if text.endswith("\n") or not text else f"{text}\n")


def reconcile(
    context: Context,
    only: Annotated[
        list[str] | None,
        typer.Argument(metavar="SERVICE…", help="Only these services.", show_default=False),
    ] = None,
    *,
    retry: Annotated[
        bool, typer.Option("--retry", help="Also what waits for its time after a failure.")
    ] = False,
    every: Annotated[
        float | None,
        typer.Option(
            min=0.5,
            max=3600,
            metavar="SECONDS",
            help="Go on doing so, and have replicas follow the load, until SIGTERM.",
        ),
    ] = None,
    format_: RowsFormat = Rows.table,
) -> None:
    """Make what services run equal to what is wanted of them; exits with 1 where it is not.

    It may run as often as one likes, twice at once, and be killed anywhere.
    """
    if every is not None:
        _watch(context, every, only or None)
        return
    found = session(context).client.reconcile(only or None, retry=retry, tell=_tell())
    columns = ("service", "outcome", "envelope", "url", "retry_at", "reason")
    rows = [(o.service, o.action, o.envelope_id, o.url, o.retry_at, o.reason) for o in found]
    output.listing(format_, columns, rows, whole=("service", "outcome"))
    if not all(_is_good(outcome) for outcome in found):
        raise typer.Exit(FAILED)


def _watch(context: Context, every: float, only: list[str] | None) -> None:
    stop = Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    session(context).client.watch(stop, every=every, services=only, told=_report, tell=_tell())


def _report(found: Outcome | Scaled) -> None:
    output.say(f"{found.service}: {found.action}. {found.reason}".rstrip(" ."))


_COLUMNS = ("service", "url", "runs", "wants", "by", "pinned", "state", "replicas")


def _row(record: ServiceRecord, replicas: tuple[int | None, Replicas] | None) -> tuple[Any, ...]:
    return (
        record.name,
        record.url,
        record.live_envelope,
        record.desired_envelope,
        record.desired_by,
        record.pinned,
        _state(record),
        replicas and _counted(*replicas),
    )


def _counted(number: int | None, wanted: Replicas) -> str:
    """`2`, or `2 of 1-4`; a question mark where the target does not answer."""
    shown = "?" if number is None else str(number)
    return shown if wanted.is_fixed else f"{shown} of {wanted.min}-{wanted.max}"


def _state(record: ServiceRecord) -> str:
    if record.observed_generation < record.generation:
        return "changing"
    if record.desired_envelope is None:
        return "undeployed"
    return "as wanted" if record.desired_envelope == record.live_envelope else "refused"


def _is_good(outcome: Outcome) -> bool:
    return outcome.good or outcome.action == "busy"


def _say(found: Deployed) -> None:
    output.say(f"{found.service} runs {found.envelope_id} at {found.url}")
    if found.note:
        output.note(found.note)


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} has no '='.", param_hint="--option")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _tell() -> Tell | None:
    """Shows steps to people."""
    if not sys.stderr.isatty():
        return None

    def tell(service: str, step: str, state: StepState) -> None:
        if state != "running":
            output.note(f"{service}: {step} {state}")

    return tell
