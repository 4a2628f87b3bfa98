"""Models: finding them, and what each one is."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from model_envelope.names import check_id, check_metric_name
from model_envelope.tag_query import TagQuery, parse
from model_envelope.web.access import ClientOf
from model_envelope.web.parameters import Cursor, Limit, Q, names_in
from model_envelope.web.replies import BY_REVISION
from model_envelope.web.routing import router
from model_envelope.web.shapes.models import Hint, ModelList, rows

reads = router("Models")
changes = router("Models")

MAX_IDS = 200
MAX_METRICS = 50


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
        chosen = store.get_many(names_in(ids, check_id, MAX_IDS))
        items = rows(client, chosen, shown)
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


def _hint(client: ClientOf, query: TagQuery, archived: bool) -> Hint | None:
    misses = client.store.near_misses(query, include_archived=archived)
    if not misses:
        return None
    return Hint(clause=misses[0].clause, matches_without=misses[0].envelopes)
