"""Charts: the spec, the rows as columns, and how many of how many they show."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from fastapi import Query, Response

from model_envelope.client.dashboard import asking
from model_envelope.client.dashboard.choosing import defaults, earlier, since_of
from model_envelope.client.dashboard.compare_metrics import Axis, CompareMetrics
from model_envelope.client.dashboard.compare_models import CompareModels, newest_per_value
from model_envelope.client.dashboard.time_series import TimeSeries
from model_envelope.client.envelope import Envelope
from model_envelope.envelope import EnvelopeRecord
from model_envelope.errors import InvalidInput
from model_envelope.metrics.charts import Chart
from model_envelope.metrics.trends import BUCKETS
from model_envelope.names import check_metric_name
from model_envelope.store.store import Store
from model_envelope.web.access import ClientOf
from model_envelope.web.parameters import EnvelopeId, Q
from model_envelope.web.replies import BY_REVISION
from model_envelope.web.routing import router
from model_envelope.web.shapes.details import previous_of
from model_envelope.web.shapes.models import NAME

if TYPE_CHECKING:
    import pandas as pd

reads = router("Charts")

NONE = "none"
"""Says that there is to be no split where one would be chosen."""

DAYS = re.compile(r"([1-9][0-9]{0,4})d")
PIXELS_OF_A_BUCKET = 4

Why = Literal["previous", "live", "week", "month", "year"]

Format = Annotated[
    Literal["json", "csv", "parquet", "python"],
    Query(description="Tables have a row for each match; Python draws the same chart."),
]
Tag = Annotated[str, Query(max_length=256, description="A tag; `none` for none.")]
Name = Annotated[str, Query(max_length=300)]
Metrics = Annotated[list[str], Query(max_length=20, description="Scalar metrics.")]
Range = Annotated[
    str, Query(max_length=10, description="`90d`, `all`; chosen where there is none, nor `from`.")
]
From = Annotated[str, Query(alias="from", max_length=40, description="This time or later.")]
To = Annotated[str, Query(max_length=40, description="Before this time.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """Rows as columns of one length."""

    columns: Mapping[str, Sequence[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """A chart: Vega-Lite over the named dataset `data`, null where there is nothing to draw."""

    spec: Mapping[str, Any] | None
    data: Columns
    meta: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedChart:
    """The chart of one metric; `problem` says why there is none."""

    name: str
    type: str
    spec: Mapping[str, Any] | None
    data: Columns
    problem: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Models beside each other."""

    models: Sequence[Mapping[str, Any]]
    charts: Sequence[NamedChart]
    scalars: Sequence[Mapping[str, Any]]
    differences: Sequence[Mapping[str, Any]]
    meta: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """What is shown where the address does not say; `from` is null for all times."""

    metric: Sequence[str]
    x: str | None
    y: str | None
    split: str | None
    since: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Other:
    """A model to compare with; of a live one, `service` says where."""

    id: str
    name: str
    created_at: datetime
    why: Why
    service: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Others:
    """Models to compare a model with."""

    items: Sequence[Other]


class _Asked(Protocol):
    def frame(self, store: Store) -> pd.DataFrame: ...
    def code(self) -> str: ...


@reads.get("/viz/defaults")
def viz_defaults(client: ClientOf, q: Q = "") -> Chosen:
    """Tell what is drawn where the address names nothing."""
    found = defaults(client.store, asking.query_of(q))
    return Chosen(
        metric=[found.metric] if found.metric else [],
        x=None if found.metric is None else f"metric.{found.metric}",
        y=None if found.second is None else f"metric.{found.second}",
        split=found.split,
        since=found.since,
    )


@reads.get("/viz/time_series", response_model=Drawn)
def time_series(
    client: ClientOf,
    *,
    q: Q = "",
    metric: Metrics = [],  # noqa: B006 - FastAPI copies it
    split: Tag = "",
    x: Literal["", "saved_at", "at", "step"] = "",
    range: Range = "",  # noqa: A002 - as the address says it
    from_: From = "",
    to: To = "",
    mode: Literal["auto", "lines", "band"] = "auto",
    scale: Literal["linear", "log"] = "linear",
    w: Annotated[int, Query(ge=80, le=10_000, description="Width in pixels.")] = 800,
    format: Format = "json",  # noqa: A002 - as the address says it
) -> Drawn | Response:
    """Draw scalar metrics over time.

    Without a metric, the one that most matches have, split by the tag with fewest values.
    """
    store, query = client.store, asking.query_of(q)
    metrics = tuple(dict.fromkeys(name for name in metric if name))
    if not metrics:
        chosen = defaults(store, query)
        if chosen.metric is None:
            return _nothing(store.count(query), "none has a scalar metric.")
        metrics, split = (chosen.metric,), split or chosen.split or NONE
    by = x or "saved_at"
    asked = TimeSeries(
        q=query,
        metrics=metrics,
        split=asking.tag_of(None if split == NONE else split),
        x=by,
        since=_since(store, query, metrics[0], range, from_, usual=by == "saved_at"),
        until=asking.time_of(to or None, "to"),
        mode=mode,
        scale=scale,
        most_buckets=max(20, min(BUCKETS, w // PIXELS_OF_A_BUCKET)),
    )
    if format != "json":
        return _file(asked, store, format, "time_series")
    return _drawn(asked.draw(store))


@reads.get("/viz/compare_metrics", response_model=Drawn)
def compare_metrics(
    client: ClientOf,
    *,
    q: Q = "",
    x: Name = "",
    y: Name = "",
    color: Tag = "",
    split: Tag = "",
    shape: Tag = "",
    range: Range = "all",  # noqa: A002 - as the address says it
    from_: From = "",
    to: To = "",
    format: Format = "json",  # noqa: A002 - as the address says it
) -> Drawn | Response:
    """Draw two metrics or hyperparameters against each other, over all matches.

    `metric.<name>` or `hyperparameter.<name>`. Without them, what most matches have.
    """
    store, query = client.store, asking.query_of(q)
    color = color or split
    if not (x and y):
        chosen = defaults(store, query)
        if chosen.metric is None:
            return _nothing(store.count(query), "none has a scalar metric.")
        x, y = x or chosen.metric, y or chosen.second or chosen.metric
        color = color or chosen.split or NONE
    asked = CompareMetrics(
        q=query,
        x=Axis.read(x),
        y=Axis.read(y),
        color=asking.tag_of(None if color == NONE else color),
        shape=asking.tag_of(None if shape == NONE else shape),
        since=_since(store, query, "", range, from_, usual=False),
        until=asking.time_of(to or None, "to"),
    )
    if format != "json":
        return _file(asked, store, format, "compare_metrics")
    return _drawn(asked.draw(store))


@reads.get("/viz/compare_models", response_model=Comparison)
def compare_models(
    client: ClientOf,
    *,
    q: Q = "",
    m: Annotated[list[str], Query(max_length=50, description="Ids, at most eight.")] = [],  # noqa: B006
    split: Tag = "",
    baseline: Annotated[str, Query(max_length=20)] = "",
    format: Format = "json",  # noqa: A002 - as the address says it
) -> Comparison | Response:
    """Put up to eight models beside each other.

    Without ids, the newest match for each value of the tag `split`.
    """
    store = client.store
    ids, told = tuple(dict.fromkeys(m)), {}
    if not ids:
        key = asking.tag_of(None if split == NONE else split)
        if key is None:
            raise InvalidInput("Say which models: ids as `m`, or a tag as `split`.")
        newest = newest_per_value(store, asking.query_of(q), key)
        ids = newest.ids
        note = f"the newest for {len(ids)} of {asking.counted(newest.values, 'value')} of {key}"
        told = {"matched": newest.matched, "values": newest.values, "note": note}
    asked = CompareModels(ids=ids, baseline=baseline or None)
    if format == "python":
        return _python(asked.code(), "compare_models")
    found = asked.draw(store)
    if format != "json":
        return _table(found.frame(), format, "compare_models")
    charts = {name: _named(name, found.types[name], chart) for name, chart in found.charts.items()}
    empty = Columns(columns={})
    for name, problem in found.problems.items():
        charts[name] = NamedChart(
            name=name, type=found.types[name], spec=None, data=empty, problem=problem
        )
    return Comparison(
        models=found.models,
        charts=[charts[name] for name in sorted(charts)],
        scalars=found.scalars,
        differences=found.differences,
        meta={**found.meta, **told},
    )


@reads.get("/models/{envelope_id}/others", dependencies=[BY_REVISION])
def other_models(client: ClientOf, envelope_id: EnvelopeId) -> Others:
    """Tell which models one may want to compare a model with: earlier ones, and live ones."""
    store = client.store
    record = store.resolve(envelope_id)
    name = record.tags.get(NAME)
    if name is None:
        return Others(items=[])
    previous = previous_of(client, record)
    running = {s.name: s.live_envelope for s in store.services() if s.live_envelope}
    live = store.records(set(running.values()) - {record.id})
    items = [_other(previous, "previous")] if previous else []
    items += [
        _other(live[one], "live", service)
        for service, one in running.items()
        if one in live and live[one].tags.get(NAME) == name
    ]
    items += [_other(one, why) for why, one in earlier(store, record).items()]
    return Others(items=items)


@reads.get("/models/{envelope_id}/metrics/{name:path}/chart", dependencies=[BY_REVISION])
def metric_chart(client: ClientOf, envelope_id: EnvelopeId, name: str) -> Drawn:
    """Draw one metric of one model as its type draws itself."""
    check_metric_name(name)
    return _drawn(Envelope(client, client.store.resolve(envelope_id)).plot(name))


def _other(record: EnvelopeRecord, why: Why, service: str | None = None) -> Other:
    name = record.tags.get(NAME, "")
    return Other(id=record.id, name=name, created_at=record.created_at, why=why, service=service)


def _since(
    store: Store, query: Any, metric: str, named: str, since: str, *, usual: bool
) -> datetime | None:
    """From when on: what the address says, else the usual."""
    if since:
        return asking.time_of(since, "from")
    days = DAYS.fullmatch(named)
    if days:
        now = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return now - timedelta(days=int(days[1]))
    if named not in ("", "all"):
        raise InvalidInput(f"range={named!r:.20} is no range: write 90d, or all.")
    return since_of(store, query, metric) if usual and not named else None


def _nothing(matched: int, reason: str) -> Drawn:
    meta = {"title": "", "matched": matched, "used": 0, "lacking": {}, "series": [], "note": ""}
    counts = {"points_total": 0, "points_sent": 0, "mode": "lines", "reason": reason, "chosen": {}}
    return Drawn(spec=None, data=Columns(columns={}), meta=meta | counts)


def _drawn(chart: Chart) -> Drawn:
    return Drawn(
        spec=chart.spec if chart.rows else None,
        data=Columns(columns=chart.columns),
        meta={"title": chart.title, "note": chart.note, **chart.meta},
    )


def _named(name: str, kind: str, chart: Chart) -> NamedChart:
    drawn = _drawn(chart)
    return NamedChart(name=name, type=kind, spec=drawn.spec, data=drawn.data, problem=None)


def _file(asked: _Asked, store: Store, format: str, name: str) -> Response:  # noqa: A002
    if format == "python":
        return _python(asked.code(), name)
    return _table(asked.frame(store), format, name)


def _python(code: str, name: str) -> Response:
    return _attached(code.encode(), "text/x-python; charset=utf-8", f"{name}.py")


def _table(frame: pd.DataFrame, format: str, name: str) -> Response:  # noqa: A002
    if format == "csv":
        body = frame.to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%S.%fZ").encode()
        return _attached(body, "text/csv; charset=utf-8", f"{name}.csv")
    file = BytesIO()
    frame.to_parquet(file, index=False)
    return _attached(file.getvalue(), "application/vnd.apache.parquet", f"{name}.parquet")


def _attached(body: bytes, media_type: str, name: str) -> Response:
    told = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(body, media_type=media_type, headers=told)
