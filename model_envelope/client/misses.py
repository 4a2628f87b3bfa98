"""What to say when no envelope matches."""

from __future__ import annotations

from model_envelope.errors import EnvelopeNotFound
from model_envelope.store.store import Store
from model_envelope.tag_query import TagQuery

_SHOWN = 3


def not_found(store: Store, query: TagQuery) -> EnvelopeNotFound:
    """The error for a query without a match: which terms kept the nearest envelopes out."""
    misses = store.near_misses(query)
    if not misses:
        return EnvelopeNotFound(
            f"No envelope matches {query.text!r}: {store.address} is empty. Save a model first, "
            "or set MODEL_ENVELOPE_STORE to the store you mean."
        )
    lines = [f"No envelope matches {query.text!r}."]
    for miss in misses[:_SHOWN]:
        count = "1 envelope matches" if miss.envelopes == 1 else f"{miss.envelopes} envelopes match"
        lines.append(f"  {count} all but `{miss.clause}`: {miss.newest} has {miss.found}.")
    return EnvelopeNotFound("\n".join(lines))
