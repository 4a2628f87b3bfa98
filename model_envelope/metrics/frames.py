"""Logged metrics of many models as one tidy DataFrame."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Any

from model_envelope import config
from model_envelope import names as naming
from model_envelope.metrics.checks import moment
from model_envelope.metrics.points import number_of
from model_envelope.tag_query import TagQuery, parse

if TYPE_CHECKING:
    import pandas as pd

    from model_envelope.store.store import Store

COLUMNS = ("envelope_id", "saved_at", "name", "step", "at", "value", "type")
MOMENT = "datetime64[us, UTC]"


def frame(
    query: str | Mapping[str, Any] | TagQuery | None,
    names: str | Collection[str] | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    tags: str | Collection[str] = (),
    envelope_ids: Collection[str] | None = None,
    store: Store | None = None,
) -> pd.DataFrame:
    """A row for each logged value, by model in the order of saving, name and step.

    Args:
        query: which models; see tag queries. None is all of them.
        names: which metrics; all unless given.
        since: logged at this time or later; with a time zone.
        until: logged before this time; with a time zone.
        tags: tags to add, each as a column named like its key (`tag.<key>` where a
            column has that name already); null for models without the tag.
        envelope_ids: which models, besides the query.
        store: the configured store unless given.

    Returns:
        The columns `envelope_id`, `saved_at`, `name`, `step`, `at`, `value`, `type` and
        the tags. Times are in UTC. `value` is NaN for structured metrics: their numbers
        are scalar metrics of their own, such as `roc_curve.auc`.

    Raises:
        InvalidInput: a query, name, tag key or time that cannot be read.
    """
    import pandas as pd

    keys = naming.check_tag_keys(_listed(tags))
    with nullcontext(store) if store is not None else _configured_store() as source:
        points = source.metric_rows(
            None if query is None else parse(query),
            None if names is None else tuple(map(naming.check_metric_name, _listed(names))),
            since=None if since is None else moment(since, "since"),
            until=None if until is None else moment(until, "until"),
            envelope_ids=envelope_ids,
            tags=keys,
        )
    values = map(number_of, points["value"], points["body"])
    found = pd.DataFrame(
        {
            "envelope_id": pd.Series(points["envelope_id"], dtype="str"),
            "saved_at": pd.Series(points["saved_at"], dtype=MOMENT),
            "name": pd.Series(points["name"], dtype="str"),
            "step": pd.Series(points["step"], dtype="int64"),
            "at": pd.Series(points["at"], dtype=MOMENT),
            "value": pd.Series(values, dtype="float64"),
            "type": pd.Series(points["type"], dtype="str"),
        }
    )
    for key in keys:
        column = f"tag.{key}" if key in COLUMNS else key
        found[column] = pd.Series(points[f"tag.{key}"], dtype="str")
    return found


def _listed(names: str | Collection[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))


def _configured_store() -> Store:
    from model_envelope.store.opening import open_store

    return open_store(config.store_url())
