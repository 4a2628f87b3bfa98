"""Batch predictions: which tables were predicted by which model."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from model_envelope.tag_query import parse
from model_envelope.web.access import ClientOf
from model_envelope.web.parameters import EnvelopeId, Limit, Q
from model_envelope.web.replies import BY_REVISION
from model_envelope.web.routing import router
from model_envelope.web.shapes.batch import BatchList, batches

reads = router("Batch predictions")


@reads.get("/batch", dependencies=[BY_REVISION])
def list_batches(
    client: ClientOf,
    *,
    q: Q = "",
    envelope: Annotated[
        str | None, Query(pattern="^[0-9a-f]{20}$", description="Of this envelope.")
    ] = None,
    limit: Limit = 50,
    cursor: Annotated[
        str | None, Query(max_length=512, description="`next` of the page before.")
    ] = None,
) -> BatchList:
    """List batch predictions, the latest first; with `q` those of envelopes that match."""
    store = client.store
    query = parse(q) if q else None
    found = store.batch_predictions(envelope, query=query, before=cursor, limit=limit + 1)
    shown = found[:limit]
    return BatchList(
        items=batches(store, shown), next=shown[-1].run_key if len(found) > limit else None
    )


@reads.get("/models/{envelope_id}/batch", dependencies=[BY_REVISION])
def batches_of_model(client: ClientOf, envelope_id: EnvelopeId, limit: Limit = 50) -> BatchList:
    """List the latest batch predictions of an envelope."""
    store = client.store
    found = store.batch_predictions(store.resolve(envelope_id).id, limit=limit)
    return BatchList(items=batches(store, found), next=None)
