"""The last values of scalar metrics, of several envelopes at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice

from model_envelope.metrics.points import number_of
from model_envelope.metrics.scalar import Scalar
from model_envelope.store.store import Store

CHUNK = 500
"""Envelopes in one query: databases limit how many values it may name."""


def last_scalars(
    store: Store, ids: Sequence[str], names: Collection[str] | None = None
) -> dict[str, dict[str, float]]:
    """The value at the last step of every scalar metric, by envelope and name.

    Args:
        store: where they were logged.
        ids: which envelopes; each has an entry in the answer.
        names: which metrics; all unless given.
    """
    found: dict[str, dict[str, float]] = {envelope_id: {} for envelope_id in ids}
    rest = iter(ids)
    while chunk := list(islice(rest, CHUNK)):
        rows = store.metric_rows(names=names, envelope_ids=chunk)
        fields = ("envelope_id", "name", "type", "value", "body")
        # In the order of steps: the last one stays.
        for envelope_id, name, kind, value, body in zip(*(rows[f] for f in fields), strict=True):
            if kind == Scalar.type:
                found[envelope_id][name] = number_of(value, body)
    return found
