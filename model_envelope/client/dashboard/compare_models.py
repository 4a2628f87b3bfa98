"""Up to eight models beside each other: their charts, their numbers, and what differs."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from model_envelope.client import comparing
from model_envelope.client.dashboard import asking
from model_envelope.envelope import EnvelopeRecord
from model_envelope.errors import InvalidInput, TooMuch
from model_envelope.metrics.charts import Chart, html_table, plot_models
from model_envelope.metrics.metric_type import MetricType
from model_envelope.metrics.points import from_point
from model_envelope.metrics.registry import UnknownMetric
from model_envelope.metrics.scalar import Scalar, not_finite
from model_envelope.metrics.trends import MAX_POINTS
from model_envelope.names import check_id
from model_envelope.store.rows import MetricPoint
from model_envelope.store.store import Store
from model_envelope.tag_query import TagQuery

if TYPE_CHECKING:
    import pandas as pd

MAX_MODELS = 8


@dataclass(frozen=True)
class ModelComparison:
    """Several models beside each other. In a notebook it shows its tables.

    Attributes:
        models: `id`, `label`, `name` and `created_at` of each.
        charts: what all of them measured alike, by the metric's name.
        problems: why the chart of a metric cannot be drawn, by its name.
        scalars: `name`, `values` and, against the baseline, `deltas`, by model.
        differences: `what`, `name`, `values` by model, and whether they are the `same`.
        meta: what is not shown; plain JSON.
    """

    models: list[dict[str, Any]]
    charts: dict[str, Chart]
    problems: dict[str, str]
    scalars: list[dict[str, Any]]
    differences: list[dict[str, Any]]
    meta: Mapping[str, Any]
    types: Mapping[str, str] = field(default_factory=dict)

    def frame(self) -> pd.DataFrame:
        """A row for each model: id, time, scalars, and what else is said of it."""
        import pandas as pd

        columns: dict[str, Any] = {
            "envelope_id": [model["id"] for model in self.models],
            "saved_at": pd.Series(
                [model["created_at"] for model in self.models], dtype="datetime64[us, UTC]"
            ),
        }
        for row in self.scalars:
            values = [_number(row["values"].get(model["id"])) for model in self.models]
            columns[f"metric.{row['name']}"] = pd.Series(values, dtype="float64")
        for row in self.differences:
            texts = [_words(row["values"].get(model["id"])) for model in self.models]
            columns[f"{row['what']}.{row['name']}"] = pd.Series(texts, dtype="str")
        return pd.DataFrame(columns)

    def _repr_html_(self) -> str:
        labels = {model["id"]: model["label"] for model in self.models}

        def table(rows: Sequence[Mapping[str, Any]], caption: str) -> str:
            shown = [
                {"": row["name"], **{label: row["values"].get(i) for i, label in labels.items()}}
                for row in rows
            ]
            return html_table(shown, len(shown), caption)

        differing = [row for row in self.differences if not row["same"]]
        return table(self.scalars, "Numbers") + table(differing, "What differs")

    def __repr__(self) -> str:
        labels = ", ".join(model["label"] for model in self.models)
        return f"<ModelComparison of {labels}: charts of {', '.join(self.charts) or 'nothing'}>"


@dataclass(frozen=True, kw_only=True)
class CompareModels:
    """Which models to compare: those of `ids`, and, if given, with which of them."""

    ids: tuple[str, ...]
    baseline: str | None = None

    def __post_init__(self) -> None:
        for one in self.ids:
            check_id(one)
        if len(self.ids) > MAX_MODELS:
            raise TooMuch(f"{len(self.ids)} models are too many to compare: at most {MAX_MODELS}.")
        if self.baseline is not None and self.baseline not in self.ids:
            raise InvalidInput(f"The baseline {self.baseline!r:.60} is none of the models.")

    def draw(self, store: Store) -> ModelComparison:
        """The comparison.

        Raises:
            EnvelopeNotFound: one of the models is not there.
        """
        records = [store.get(one) for one in self.ids]
        labels = _labels(records)
        scalars = store.last_values(self.ids)
        structured = _structured(store, self.ids)
        shared = {name: of for name, of in sorted(structured.items()) if self._share(of)}
        charts, problems = {}, {}
        for name, of_models in shared.items():
            drawn = _chart(name, {labels[i]: of_models[i] for i in self.ids})
            if isinstance(drawn, Chart):
                charts[name] = drawn
            else:
                problems[name] = drawn
        return ModelComparison(
            models=[
                {
                    "id": record.id,
                    "label": labels[record.id],
                    "name": record.tags.get("canonical_name", ""),
                    "created_at": record.created_at,
                }
                for record in records
            ],
            charts=charts,
            problems=problems,
            scalars=self._scalars(scalars),
            differences=_differences(records, store.hyperparameters(self.ids)),
            meta={
                "matched": len(self.ids),
                "used": len(self.ids),
                "lacking": {
                    name: [i for i in self.ids if i not in of]
                    for name, of in sorted(structured.items())
                    if name not in shared
                },
                "chosen": {"m": list(self.ids), "baseline": self.baseline},
                "note": "",
            },
            types={name: _type(next(iter(of.values()))) for name, of in shared.items()},
        )

    def code(self) -> str:
        """A program that gives the same charts and tables."""
        return asking.call("compare", *self.ids, baseline=self.baseline)

    def _share(self, of_models: Mapping[str, MetricType]) -> bool:
        """Whether every model has it, all of one type."""
        return set(of_models) == set(self.ids) and len(set(map(_type, of_models.values()))) == 1

    def _scalars(self, found: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
        rows = []
        for name in sorted({name for values in found.values() for name in values}):
            values = {i: found[i][name] for i in self.ids if name in found[i]}
            row: dict[str, Any] = {"name": name, "values": {i: _json(v) for i, v in values.items()}}
            if self.baseline is not None:
                base = values.get(self.baseline, math.nan)
                deltas = {i: v - base for i, v in values.items() if i != self.baseline}
                row["deltas"] = {i: delta for i, delta in deltas.items() if math.isfinite(delta)}
            rows.append(row)
        return rows


@dataclass(frozen=True, kw_only=True)
class Newest:
    """The newest match for each value of a tag.

    Attributes:
        ids: the newest of them first, at most eight.
        values: how many values there are; `(no tag)` is one, too.
        matched: how many models match.
    """

    ids: tuple[str, ...]
    values: int
    matched: int


def newest_per_value(store: Store, q: TagQuery, split: str) -> Newest:
    """The newest match for each value of a tag."""
    found = store.measuring(lambda state: state.matches(q, tags=[split]))
    newest = dict(zip(asking.labels(found, split), found.ids, strict=True))
    order = {one: place for place, one in enumerate(found.ids)}
    ids = sorted(newest.values(), key=lambda one: -order[one])
    return Newest(ids=tuple(ids[:MAX_MODELS]), values=len(ids), matched=len(found))


def _structured(store: Store, ids: Sequence[str]) -> dict[str, dict[str, MetricType]]:
    """The last value of each structured metric, by name and model."""
    names = {
        point.name for one in ids for point in store.last_points(one) if point.type != Scalar.type
    }
    if not names:
        return {}
    rows = store.metric_rows(names=names, envelope_ids=ids)
    fields = ("name", "step", "at", "type", "value", "body")
    last: dict[str, dict[str, MetricPoint]] = defaultdict(dict)
    for envelope_id, *values in zip(
        rows["envelope_id"], *(rows[name] for name in fields), strict=True
    ):
        # In the order of steps: the last one stays.
        point = MetricPoint(**dict(zip(fields, values, strict=True)))
        last[point.name][envelope_id] = point
    return {
        name: {i: from_point(point) for i, point in of.items() if point.type != Scalar.type}
        for name, of in last.items()
    }


def _type(metric: MetricType) -> str:
    return metric.type_name if isinstance(metric, UnknownMetric) else metric.type


def _chart(name: str, metrics: Mapping[str, MetricType]) -> Chart | str:
    """A chart, or why there is none. The type may be anybody's."""
    try:
        chart = plot_models(metrics, title=name)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if len(chart.rows) > MAX_POINTS:
        return f"{len(chart.rows):,} rows are too many: at most {MAX_POINTS:,} are drawn."
    return chart


def _labels(records: Sequence[EnvelopeRecord]) -> dict[str, str]:
    return {
        record.id: f"{record.tags.get('canonical_name', '')} {record.id[:8]}".strip()
        for record in records
    }


def _differences(
    records: Sequence[EnvelopeRecord], hyperparameters: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """What is said of each model, side by side."""
    told: dict[str, list[Mapping[str, Any]]] = {
        "about": [comparing.about_of(record) for record in records],
        "tag": [record.tags for record in records],
        "hyperparameter": [hyperparameters.get(record.id, {}) for record in records],
        "package": [comparing.packages_of(record) for record in records],
        "function": [comparing.functions_of(record) for record in records],
    }
    rows = []
    for what, found in told.items():
        for name in sorted({name for one in found for name in one}):
            values = [_words(one.get(name)) for one in found]
            rows.append(
                {
                    "what": what,
                    "name": name,
                    "values": {r.id: v for r, v in zip(records, values, strict=True)},
                    "same": len(set(values)) == 1,
                }
            )
    return rows


def _words(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _json(value: float) -> float | str:
    return value if math.isfinite(value) else not_finite(value)


def _number(value: float | str | None) -> float:
    return math.nan if value is None else float(value)
