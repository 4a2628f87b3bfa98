"""The data that a model was trained on, and how two models differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import Query

from model_envelope.client.comparing import Changes, Differences, compare
from model_envelope.client.drafting import PREDICT
from model_envelope.client.envelope import Envelope
from model_envelope.envelope import EnvelopeRecord
from model_envelope.web.access import ClientOf
from model_envelope.web.parameters import EnvelopeId
from model_envelope.web.problems import NotHere
from model_envelope.web.replies import BY_REVISION
from model_envelope.web.routing import router
from model_envelope.web.shapes.details import previous_of
from model_envelope.web.shapes.models import number
from model_envelope.web.shapes.statistics import SideStatistics, statistics

reads = router("Models")

PREVIOUS = "previous"

Against = Annotated[
    str | None,
    Query(
        pattern="^(previous|[0-9a-f]{4,20})$",
        description="Another envelope, or `previous`: the model before it.",
    ),
]


@reads.get("/models/{envelope_id}/statistics", dependencies=[BY_REVISION])
def model_statistics(
    client: ClientOf, envelope_id: EnvelopeId, against: Against = None
) -> dict[str, dict[str, SideStatistics]]:
    """Show what the training data was, by function and side, beside another model's.

    Statistics are of the sample that the model was saved with, so of what `predict` takes.
    """
    record = client.store.resolve(envelope_id)
    other = _other(client, record, against)
    mine = record.manifest.statistics
    columns = statistics(mine, other.manifest.statistics if other else {})
    side = SideStatistics(against=other.id if other else None, columns=columns)
    return {PREDICT: {"input": side}} if mine else {}


@reads.get("/models/{envelope_id}/differences", dependencies=[BY_REVISION])
def model_differences(
    client: ClientOf, envelope_id: EnvelopeId, against: Against = PREVIOUS
) -> Differences:
    """Show how an envelope (`second`) differs from another, or from the one before (`first`)."""
    record = client.store.resolve(envelope_id)
    other = _other(client, record, against)
    if other is None:
        raise NotHere(
            f"There is no model before {record.id} of the same canonical_name to compare with: "
            "choose another one."
        )
    found = compare(client, Envelope(client, other), Envelope(client, record))
    return Differences(
        **{name: getattr(found, name) for name in Differences.__slots__}
        | {"metrics": _numbers(found.metrics)}
    )


def _other(client: ClientOf, record: EnvelopeRecord, against: str | None) -> EnvelopeRecord | None:
    if against is None:
        return None
    if against == PREVIOUS:
        return previous_of(client, record)
    return client.store.resolve(against)


def _numbers(changes: Changes) -> Changes:
    """The same with names for the numbers that JSON has none for."""

    def named(values: Mapping[str, float]) -> dict[str, object]:
        return {name: number(value) for name, value in values.items()}

    changed = {k: (number(old), number(new)) for k, (old, new) in changes.changed.items()}
    return Changes(
        added=named(changes.added),
        removed=named(changes.removed),
        changed=changed,
        same=changes.same,
    )
