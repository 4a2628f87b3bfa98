"""Models: finding them, and what each one is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Query
from pydantic import StrictBool

from model_envelope.errors import InvalidInput
from model_envelope.names import (
    check_description,
    check_id,
    check_metric_name,
    check_tag_keys,
    check_tags,
)
from model_envelope.tag_query import TagQuery, parse
from model_envelope.web.access import Acting, ClientOf
from model_envelope.web.parameters import BODY, Cursor, EnvelopeId, Limit, Q, names_in
from model_envelope.web.replies import BY_REVISION
from model_envelope.web.routing import router
from model_envelope.web.shapes.details import History, ModelDetail, detail, event
from model_envelope.web.shapes.models import Hint, ModelList, ModelRow, rows

reads = router("Models")
changes = router("Models")

MAX_IDS = 200
MAX_METRICS = 50
WHOLE_ID = 20
MAX_EVENTS = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelChange:
    """What is to be changed of an envelope; the rest stays."""

    __pydantic_config__ = BODY

    set_tags: dict[str, str] = field(default_factory=dict)
    remove_tags: list[str] = field(default_factory=list)
    description: str | None = None
    archived: StrictBool | None = None


@reads.get("/models", dependencies=[BY_REVISION])
def list_models(
    client: ClientOf,
    *,
    q: Q = "",
    sort: Annotated[
        str, Query(max_length=300, description="`created` or `metric:<name>`; `-` descends.")
    ] = "-created",
    limit: Limit = 50,
    cursor: Cursor = None,
    archived: Annotated[bool, Query(description="Also archived ones.")] = False,
    metrics: Annotated[
        str, Query(max_length=8_000, description="Scalar metrics for columns, by comma.")
    ] = "",
    ids: Annotated[
        str | None, Query(max_length=8_000, description="These only, in this order.")
    ] = None,
) -> ModelList:
    """List the envelopes that match a tag query.

    Of none, `hint` names the clause that keeps most envelopes out.
    """
    store, everything = client.store, parse("True")
    shown = names_in(metrics, check_metric_name, MAX_METRICS)
    total = store.count(everything, include_archived=True)
    if ids is not None:
        asked = names_in(ids, check_id, MAX_IDS)
        found = store.records(asked)
        items = rows(client, [found[one] for one in asked if one in found], shown)
        return ModelList(items=items, next=None, matched=len(items), total=total, hint=None)
    query = parse(q or "True")
    page = store.query(
        query,
        order_by=sort.removeprefix("-"),
        descending=sort.startswith("-"),
        limit=limit,
        after=cursor,
        include_archived=archived,
    )
    matched = store.count(query, include_archived=archived)
    hint = None if matched or not total else _hint(client, query, archived)
    items = rows(client, page.records, shown)
    return ModelList(items=items, next=page.next, matched=matched, total=total, hint=hint)


@reads.get("/models/{envelope_id}", dependencies=[BY_REVISION])
def show_model(client: ClientOf, envelope_id: EnvelopeId) -> ModelDetail:
    """Show one envelope."""
    return detail(client, client.store.resolve(envelope_id))


@reads.get("/models/{envelope_id}/history", dependencies=[BY_REVISION])
def model_history(client: ClientOf, envelope_id: EnvelopeId) -> History:
    """Show what happened to an envelope, the newest first, at most 500.

    By its whole id also what happened to a deleted one.
    """
    store = client.store
    whole = len(envelope_id) == WHOLE_ID
    found = store.history(envelope_id if whole else store.resolve(envelope_id).id)
    return History(items=[event(change) for change in reversed(found[-MAX_EVENTS:])])


@changes.patch("/models/{envelope_id}")
def change_model(client: Acting, envelope_id: EnvelopeId, change: ModelChange) -> ModelRow:
    """Change what is said of an envelope: tags, description, whether it is archived.

    All of it is checked before any of it is changed.
    """
    store, actor = client.store, client.actor
    set_tags = check_tags(change.set_tags)
    removed = check_tag_keys(tuple(change.remove_tags))
    for key in set_tags.keys() & set(removed):
        raise InvalidInput(f"The tag {key!r} is to be set and removed.")
    if change.description is not None:
        check_description(change.description)
    found = store.resolve(envelope_id).id
    if removed:
        store.remove_tags(found, removed, actor)
    if set_tags:
        store.set_tags(found, set_tags, actor)
    if change.description is not None:
        store.set_description(found, change.description, actor)
    if change.archived is not None:
        (store.archive if change.archived else store.unarchive)(found, actor)
    (changed,) = rows(client, [store.get(found)])
    return changed


def _hint(client: ClientOf, query: TagQuery, archived: bool) -> Hint | None:
    misses = client.store.near_misses(query, include_archived=archived)
    if not misses:
        return None
    return Hint(clause=misses[0].clause, matches_without=misses[0].envelopes)
