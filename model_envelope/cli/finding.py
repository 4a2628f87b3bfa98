"""Commands that find envelopes and tell what they are. None of them loads a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from model_envelope.cli import output
from model_envelope.cli.arguments import Context, Format, Limit, Query, Target
from model_envelope.cli.output import Listing, Page
from model_envelope.cli.session import NO_MATCH, Session, session

if TYPE_CHECKING:
    from model_envelope.cli.columns import Column
    from model_envelope.client.envelope import Envelope


def query(
    context: Context,
    query: Query = "True",
    *,
    order_by: Annotated[
        str, typer.Option("--order-by", metavar="created|metric:NAME", help="Greatest first.")
    ] = "created",
    ascending: Annotated[bool, typer.Option("--ascending", help="Smallest first.")] = False,
    limit: Limit = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,…",
            help="Tags by their keys, metric:NAME, or id, tags, saved, reproducible, archived, "
            "description, by.",
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Archived ones too.")] = False,
    format_: Annotated[
        Listing, typer.Option("--output", "-o", help="For people, or for programs.")
    ] = Listing.table,
) -> None:
    """List the envelopes that match a tag query, newest first; all without one."""
    from model_envelope.cli import columns as reading
    from model_envelope.client.misses import not_found
    from model_envelope.tag_query import parse

    current = session(context)
    chosen = reading.read(columns, order_by)
    parsed = parse(query)
    most = output.most(limit, format_)
    found = current.client.query(
        parsed,
        order_by=order_by,
        descending=not ascending,
        limit=most,
        include_archived=everything,
    )
    _list(current, found, chosen, format_)
    if not found:
        output.note(str(not_found(current.client.store, parsed)))
        raise typer.Exit(NO_MATCH)
    if len(found) == most:
        output.note_rest(most, current.client.count(parsed, include_archived=everything))


def _list(
    current: Session, found: Sequence[Envelope], columns: Sequence[Column], format_: Listing
) -> None:
    from model_envelope.cli.columns import metrics_of
    from model_envelope.metrics.last_values import last_scalars

    if format_ is Listing.id:
        for envelope in found:
            output.say(envelope.id)
        return
    ids, wanted = [envelope.id for envelope in found], metrics_of(columns)
    metrics = last_scalars(current.client.store, ids, wanted) if wanted else {}
    if format_ is Listing.json:
        output.records({**_summary(e), "metrics": metrics.get(e.id, {})} for e in found)
        return
    names = [column.name for column in columns]
    rows = [[column.of(e.record, metrics.get(e.id, {})) for column in columns] for e in found]
    if format_ is Listing.csv:
        output.comma_separated(names, rows)
    elif rows:
        output.table(names, rows)


def _summary(envelope: Envelope) -> dict[str, object]:
    return {
        "id": envelope.id,
        "saved_at": envelope.created_at,
        "saved_by": envelope.provenance.user,
        "description": envelope.description,
        "tags": envelope.tags,
        "archived": envelope.archived,
        "reproducible": envelope.reproducible,
    }


def show(
    context: Context,
    target: Target,
    history: Annotated[
        bool, typer.Option("--history", help="Also what happened to it, even if it was deleted.")
    ] = False,
    packages: Annotated[
        bool, typer.Option("--packages", help="Also every package of its environment.")
    ] = False,
    format_: Format = Page.table,
) -> None:
    """Tell everything of an envelope."""
    from model_envelope.cli import showing
    from model_envelope.errors import EnvelopeNotFound

    current = session(context)
    try:
        envelope = current.envelope(target)
    except EnvelopeNotFound as error:
        if not history:
            raise
        showing.write_history_of(current.client, target, format_, error)
        return
    if format_ is Page.json:
        output.document(_summary(envelope) | showing.as_json(envelope, history=history))
    else:
        showing.write(envelope, packages=packages)
        if history:
            showing.write_history(envelope.history())


def diff(context: Context, first: Target, second: Target, format_: Format = Page.table) -> None:
    """Tell how the second of two envelopes differs from the first."""
    from model_envelope.cli import differing
    from model_envelope.client.comparing import compare

    current = session(context)
    found = compare(current.client, current.envelope(first), current.envelope(second))
    if format_ is Page.json:
        output.document(differing.as_json(found))
    else:
        differing.write(found)


def why(
    context: Context,
    query: Query,
    target: Target,
    format_: Format = Page.table,
) -> None:
    """Tell which terms of a tag query hold for an envelope; exits with 3 if it does not match."""
    current = session(context)
    envelope = current.envelope(target)
    clauses = current.client.why(query, envelope)
    matches = all(clause.holds for clause in clauses)
    if format_ is Page.json:
        terms = [{"term": c.text, "holds": c.holds, "found": c.found} for c in clauses]
        output.document({"id": envelope.id, "matches": matches, "terms": terms})
    else:
        rows = [(clause.text, clause.holds, clause.found) for clause in clauses]
        output.table(("term", "holds", "found"), rows)
        output.say(f"\n{envelope.id} {'matches' if matches else 'does not match'}.")
    if not matches:
        raise typer.Exit(NO_MATCH)
