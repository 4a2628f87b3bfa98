"""What to show somebody who has said little: what most models have, and those before one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from model_envelope.envelope import EnvelopeRecord
from model_envelope.store.store import Store
from model_envelope.tag_query import TagQuery, parse

USUAL = timedelta(days=90)
WIDER = (timedelta(days=365), timedelta(days=3 * 365))
MOST_VALUES = 40
"""Of a tag that tells series apart: lines of more cannot be followed."""

Span = Literal["week", "month", "year"]
SPANS: dict[Span, timedelta] = {
    "week": timedelta(days=7),
    "month": timedelta(days=30),
    "year": timedelta(days=365),
}
NEAREST = 50
"""Models around a time, among which the one with most tags in common is looked for."""


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """What the dashboard shows at first; `since` is None where all times are shown."""

    metric: str | None
    second: str | None
    split: str | None
    since: datetime | None


def defaults(store: Store, q: TagQuery, now: datetime | None = None) -> Defaults:
    """The metrics that most matches have, the tag with fewest values, and a time with models.

    Args:
        store: where they are.
        q: which models.
        now: 90 days back from this; the present unless given.
    """
    found = store.inventory(q)
    scalars = sorted(
        (name for name, kind in found.metrics if kind == "scalar"),
        key=lambda name: (-found.metrics[name, "scalar"], name),
    )
    most = max((models for models, _ in found.tags.values()), default=0)
    telling = [
        (values, -models, key)
        for key, (models, values) in found.tags.items()
        if 2 <= values <= MOST_VALUES and 2 * models >= most
    ]
    metric = scalars[0] if scalars else None
    return Defaults(
        metric=metric,
        second=scalars[1] if len(scalars) > 1 else metric,
        split=min(telling)[2] if telling else None,
        since=None if metric is None else since_of(store, q, metric, now),
    )


def since_of(
    store: Store, q: TagQuery, metric: str, now: datetime | None = None
) -> datetime | None:
    """90 days back, or further where nothing with the metric was saved since; None is ever."""
    now = now or datetime.now(UTC)
    newest = store.measuring(lambda state: state.newest(q, metric))
    for span in (USUAL, *WIDER):
        # Whole days, so that an answer is the same for a day.
        since = (now - span).replace(hour=0, minute=0, second=0, microsecond=0)
        if newest is not None and newest >= since:
            return since
    return None


def earlier(store: Store, record: EnvelopeRecord) -> dict[Span, EnvelopeRecord]:
    """Models of its name from about a `week`, `month` and `year` before it, where there are any.

    Of those within half of the span, the one with most tags like it, so that a model for a
    region has one of that region; of equals, the nearest in time.
    """
    name = record.tags.get("canonical_name")
    if name is None:
        return {}
    found = store.measuring(lambda state: state.matches(parse({"canonical_name": name})))
    mine = set(record.tags.items())
    chosen: dict[Span, EnvelopeRecord] = {}
    for why, span in SPANS.items():
        wanted = record.created_at - span
        away = {one: abs(at - wanted) for one, at in zip(found.ids, found.saved_at, strict=True)}
        near = sorted((one for one in away if away[one] <= span / 2), key=away.__getitem__)
        others = [*store.records(near[:NEAREST]).values()]
        if others:
            chosen[why] = max(others, key=lambda one: (len(mine & one.tags.items()), -away[one.id]))
    return chosen
