"""Two metrics or hyperparameters of all matches against each other."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from model_envelope import names
from model_envelope.client.dashboard import asking
from model_envelope.metrics import vega
from model_envelope.metrics.charts import Chart
from model_envelope.metrics.trends import MAX_SERIES
from model_envelope.store.measured import Matches
from model_envelope.store.measuring import Measuring
from model_envelope.store.store import Store
from model_envelope.tag_query import TagQuery

if TYPE_CHECKING:
    import pandas as pd

MAX_SHOWN = 5_000
"""Points that are drawn one by one; of more, how many lie where."""

MAX_SHAPES = 8
MAX_CATEGORIES = 100
BINS = 50

Kind = Literal["number", "whole", "text"]

NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
"""As hyperparameters hold them, which are JSON."""


@dataclass(frozen=True)
class Axis:
    """A scalar metric or a hyperparameter: `metric.auc`, `hyperparameter.depth`, or `auc`."""

    kind: Literal["metric", "hyperparameter"]
    name: str

    @classmethod
    def read(cls, text: str) -> Axis:
        """The axis that a text names.

        Raises:
            InvalidName: it names none.
        """
        for kind in ("metric", "hyperparameter"):
            if text.startswith(f"{kind}."):
                return cls(kind, names.check_metric_name(text.removeprefix(f"{kind}.")))
        return cls("metric", names.check_metric_name(text))

    def __str__(self) -> str:
        return f"{self.kind}.{self.name}"

    def values(self, matches: Matches) -> tuple[list[Any], bool]:
        """A value for each match, None where it has none; and whether they are numbers."""
        if self.kind == "metric":
            return list(matches.metrics[self.name]), True
        found = [_plain(value) for value in matches.hyperparameters[self.name]]
        numeric = all(isinstance(value, float | None) for value in found)
        return (found if numeric else [_text(value) for value in found]), numeric


def _plain(value: Any) -> Any:
    """A number as such; a text, a boolean or a structure as a text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str):
        return NOT_FINITE.get(value, value)
    return None if value is None else json.dumps(value)


def _text(value: Any) -> str | None:
    if isinstance(value, float):
        return f"{value:g}"
    return None if value is None else str(value)[:80]


@dataclass(frozen=True, kw_only=True)
class CompareMetrics:
    """What to draw against each other.

    Attributes:
        q: which models.
        x: a metric or hyperparameter, see `Axis`.
        y: likewise.
        color: a tag that colours tell.
        shape: a tag that shapes tell.
        since: saved at this time or later.
        until: saved before this time.
    """

    q: TagQuery
    x: Axis
    y: Axis
    color: str | None = None
    shape: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def draw(self, store: Store) -> Chart:
        """The chart: points, or of more than 5,000 how many lie where.

        Raises:
            TooMuch: more colours, shapes or categories than can be told apart.
        """
        found, outside = store.measuring(self._read)
        (x, x_numeric), (y, y_numeric) = self.x.values(found), self.y.values(found)
        both = [i for i in range(len(found)) if x[i] is not None and y[i] is not None]
        shown = [i for i in both if _drawable(x[i]) and _drawable(y[i])]
        labels = {
            channel: asking.labels(found, key)
            for channel, key in (("color", self.color), ("shape", self.shape))
            if key is not None
        }
        for channel, most in (("color", MAX_SERIES), ("shape", MAX_SHAPES)):
            if channel in labels:
                n = len({labels[channel][i] for i in shown})
                asking.check_series(n, most, f"{channel}s")
        for values, are_numbers in ((x, x_numeric), (y, y_numeric)):
            if not are_numbers:
                n = len({values[i] for i in shown})
                asking.check_series(n, MAX_CATEGORIES, "categories")
        kinds = {"x": _kind(x, x_numeric), "y": _kind(y, y_numeric)}
        binned = len(shown) > MAX_SHOWN
        if binned:
            rows = _bins([x[i] for i in shown], [y[i] for i in shown], x_numeric, y_numeric)
        else:
            rows = [
                {
                    "x": x[i],
                    "y": y[i],
                    **{channel: values[i] for channel, values in labels.items()},
                    "model": found.ids[i],
                }
                for i in shown
            ]
        meta = self._meta(found, x, y, both, shown)
        note = "counts of models in bins; colours and shapes are not shown" if binned else ""
        if len(both) > len(shown):
            note = " · ".join(filter(None, (note, f"{len(both) - len(shown)} not finite")))
        used = f"{len(shown):,} of {asking.counted(len(found), 'model')}"
        return Chart(
            spec=self._binned(kinds) if binned else self._points(kinds),
            rows=rows,
            title=meta["title"],
            note=f"{used} · {note}" if note else used,
            meta={
                **meta,
                "mode": "bins" if binned else "points",
                "points_sent": len(rows),
                "note": note,
                "outside": outside,
            },
            source=lambda: self.frame(store),
        )

    def frame(self, store: Store) -> pd.DataFrame:
        """A row for each match: id, time, both values and the tags."""
        import pandas as pd

        found, _ = store.measuring(self._read)
        asking.check_rows(len(found))
        frame = pd.DataFrame(
            {
                "envelope_id": pd.Series(found.ids, dtype="str"),
                "saved_at": pd.Series(found.saved_at, dtype="datetime64[us, UTC]"),
            }
        )
        for axis in (self.x, self.y):
            values, numeric = axis.values(found)
            frame[str(axis)] = pd.Series(values, dtype="float64" if numeric else "str")
        for key, values in found.tags.items():
            frame[f"tag.{key}" if key in frame else key] = pd.Series(values, dtype="str")
        return frame

    def code(self) -> str:
        """A program that gives the same chart and frame."""
        return asking.call(
            "scatter",
            self.q,
            str(self.x),
            str(self.y),
            color=self.color,
            shape=self.shape,
            since=self.since,
            until=self.until,
        )

    def _read(self, state: Measuring) -> tuple[Matches, int]:
        axes = (self.x, self.y)
        everything = state.matches(
            self.q,
            tags=asking.unique([key for key in (self.color, self.shape) if key]),
            metrics={axis.name for axis in axes if axis.kind == "metric"},
            hyperparameters={axis.name for axis in axes if axis.kind == "hyperparameter"},
        )
        found = everything.between(self.since, self.until)
        return found, len(everything) - len(found)

    def _meta(
        self, found: Matches, x: list[Any], y: list[Any], both: list[int], shown: list[int]
    ) -> dict[str, Any]:
        lacking = {
            str(axis): sum(value is None for value in values)
            for axis, values in ((self.x, x), (self.y, y))
        }
        if shown:
            reason = ""
        elif both:
            reason = "none has finite numbers for both."
        else:
            reason = f"none has both {self.x} and {self.y}."
        return {
            "title": f"{self.y.name} against {self.x.name}",
            "matched": len(found),
            "used": len(shown),
            "lacking": lacking,
            "not_finite": len(both) - len(shown),
            "points_total": len(shown),
            "reason": reason,
            "series": [],
            "chosen": {
                "x": str(self.x),
                "y": str(self.y),
                "color": self.color,
                "shape": self.shape,
                "from": self.since and asking.iso(self.since),
                "to": self.until and asking.iso(self.until),
            },
        }

    def _points(self, kinds: Mapping[str, Kind]) -> vega.Spec:
        axes = {channel: self._axis(channel, kind) for channel, kind in kinds.items()}
        channels = {
            channel: vega.nominal(channel, title=key)
            for channel, key in (("color", self.color), ("shape", self.shape))
            if key is not None
        }
        return {
            **vega.chart(
                "Two numbers of each model",
                mark={"type": "point", "filled": True, "tooltip": {"content": "data"}},
                **axes,
                **channels,
            ),
            "params": [_BRUSH],
        }

    def _binned(self, kinds: Mapping[str, Kind]) -> vega.Spec:
        place: dict[str, Any] = {}
        for channel, kind in kinds.items():
            place[channel] = self._axis(channel, kind)
            if kind != "text":
                place[channel]["bin"] = "binned"
                place[f"{channel}2"] = {"field": f"{channel}_end"}
        count = vega.quantitative("count", title="Models", legend=vega.WHOLE)
        return {
            **vega.chart("How many models lie where", mark="rect", **place, color=count),
            "params": [_BRUSH],
        }

    def _axis(self, channel: str, kind: Kind) -> vega.Spec:
        title = (self.x if channel == "x" else self.y).name
        if kind == "text":
            return vega.nominal(channel, title=title)
        of = vega.whole if kind == "whole" else vega.quantitative
        return of(channel, title=title, scale={"zero": False})


_BRUSH = {"name": "brush", "select": "interval"}


def _kind(values: Sequence[Any], numeric: bool) -> Kind:
    """What an axis counts in."""
    if not numeric:
        return "text"
    finite = (value for value in values if asking.is_finite(value))
    return "whole" if all(value.is_integer() for value in finite) else "number"


def _drawable(value: Any) -> bool:
    return isinstance(value, str) or math.isfinite(value)


def _bins(
    x: Sequence[Any], y: Sequence[Any], x_numeric: bool, y_numeric: bool
) -> list[dict[str, Any]]:
    """How many points lie in each rectangle that holds any."""
    import numpy as np

    x_at, x_parts = _parts(x, x_numeric)
    y_at, y_parts = _parts(y, y_numeric)
    places, counts = np.unique(np.column_stack([x_at, y_at]), axis=0, return_counts=True)
    return [
        {
            **{f"x{name}": value for name, value in x_parts[i].items()},
            **{f"y{name}": value for name, value in y_parts[j].items()},
            "count": count,
        }
        for (i, j), count in zip(places.tolist(), counts.tolist(), strict=True)
    ]


def _parts(values: Sequence[Any], numeric: bool) -> tuple[Any, list[dict[str, Any]]]:
    """In which part of an axis each value is, and what the parts are."""
    import numpy as np

    if not numeric:
        known, at = np.unique(np.array(values, dtype=object).astype(str), return_inverse=True)
        return at, [{"": value} for value in known.tolist()]
    numbers = np.array(values, dtype=np.float64)
    low, high = float(numbers.min()), float(numbers.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    # Not by their difference, which may be infinite.
    shares = np.linspace(0, 1, BINS + 1)
    edges = low * (1 - shares) + high * shares
    at = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, BINS - 1)
    found = edges.tolist()
    return at, [{"": found[i], "_end": found[i + 1]} for i in range(BINS)]
