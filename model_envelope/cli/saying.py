"""Commands that say something of envelopes: tags, metrics, archived, deleted."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from model_envelope.cli import completing, output
from model_envelope.cli.arguments import Context, Id, Ids, Target
from model_envelope.cli.session import Session, session
from model_envelope.cli.text import cell

if TYPE_CHECKING:
    from model_envelope.client.envelope import Envelope


def tag(
    context: Context,
    target: Target,
    tags: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE…", autocompletion=completing.assignments),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="A tag to take away.", autocompletion=completing.tag_keys),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Tag every match of a query, not only the latest.")
    ] = False,
) -> None:
    """Add tags to an envelope, change their values, or take them away."""
    from model_envelope.names import check_tag_keys, check_tags

    if not tags and not remove:
        raise typer.BadParameter("give KEY=VALUE, or --remove KEY.", param_hint="KEY=VALUE")
    added = check_tags(dict(_assignment(text) for text in tags or ()))
    gone = check_tag_keys(tuple(remove or ()))
    for envelope in _envelopes(session(context), target, everything):
        if added:
            envelope.set_tags(added)
        if gone:
            envelope.remove_tags(*gone)
        output.say(f"{envelope.id}  {cell(envelope.tags)}")


def log(
    context: Context,
    target: Target,
    values: Annotated[list[str], typer.Argument(metavar="NAME=NUMBER…", show_default=False)],
    step: Annotated[int, typer.Option(help="Orders the values of a name.")] = 0,
) -> None:
    """Log numbers as metrics of an envelope."""
    pairs = dict(_assignment(text) for text in values)
    try:
        numbers = {name: float(text) for name, text in pairs.items()}
    except ValueError as error:
        raise typer.BadParameter(f"{error}.", param_hint="NAME=NUMBER") from None
    envelope = session(context).envelope(target)
    envelope.log_metrics(numbers, step=step)
    output.say(f"{envelope.id}  {cell(numbers)}")


def archive(context: Context, ids: Ids) -> None:
    """Keep envelopes out of queries that do not ask for archived ones."""
    for envelope_id in ids:
        output.say(f"{session(context).client.get(envelope_id).archive().id} is archived.")


def unarchive(context: Context, ids: Ids) -> None:
    """Let queries find envelopes again."""
    for envelope_id in ids:
        output.say(f"{session(context).client.get(envelope_id).unarchive().id} is not archived.")


def delete(
    context: Context,
    ids: Ids,
    days: Annotated[
        int, typer.Option(min=0, max=36_500, help="How long `undelete` can bring it back.")
    ] = 7,
) -> None:
    """Make envelopes invisible at once; `gc` removes their files some days later."""
    for envelope_id in ids:
        envelope = session(context).client.get(envelope_id)
        envelope.delete(timedelta(days=days))
        output.say(
            f"{envelope.id} is deleted. For {days} days, `model-envelope undelete {envelope.id}` "
            "brings it back."
        )


def undelete(context: Context, envelope_id: Id) -> None:
    """Bring a deleted envelope back, as it was. Takes its whole id."""
    from model_envelope.names import check_id

    client = session(context).client
    client.store.undelete(check_id(envelope_id), client.actor)
    output.say(f"{envelope_id} is back.")


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} has no '='.", param_hint="KEY=VALUE")
    return name, value


def _envelopes(current: Session, target: str, everything: bool) -> list[Envelope]:
    if not everything:
        return [current.envelope(target)]
    return current.client.query(target) or [current.client.latest(target)]
