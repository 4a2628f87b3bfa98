"""Scalar metrics over time: a point for each model, a line for each, or quartiles of many."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import compress
from typing import TYPE_CHECKING, Any, get_args

from model_envelope import names
from model_envelope.client.dashboard import asking, buckets
from model_envelope.errors import InvalidInput, TooMuch
from model_envelope.metrics.charts import Chart
from model_envelope.metrics.trends import (
    BUCKETS,
    MAX_BANDS,
    MAX_DOTS,
    MAX_LINES,
    MAX_NAMED,
    MAX_POINTS,
    MAX_SERIES,
    Mode,
    Scale,
    X,
    band_spec,
    line_spec,
)
from model_envelope.store.measuring import Measuring
from model_envelope.store.store import Store
from model_envelope.store.trending import EPOCH, Extent, Span, quartiles
from model_envelope.tag_query import TagQuery

if TYPE_CHECKING:
    import pandas as pd

MAX_METRICS = 10
FEWEST_BUCKETS = 20


@dataclass(frozen=True, kw_only=True)
class TimeSeries:
    """What to draw over time.

    Attributes:
        q: which models.
        metrics: scalar metrics; a structured one stands for its scalars.
        split: a tag: a series for each of its values, and `(no tag)`.
        x: `saved_at` has one point for each model; `step` and `at` have all of them.
        since: saved, or with `x="at"` measured, at this time or later.
        until: likewise before this time.
        mode: `lines` draws every value, `band` quartiles of buckets, `auto` what can be read.
        scale: of the values.
        most_buckets: of a series, at most.
    """

    q: TagQuery
    metrics: tuple[str, ...]
    split: str | None = None
    x: X = "saved_at"
    since: datetime | None = None
    until: datetime | None = None
    mode: Mode = "auto"
    scale: Scale = "linear"
    most_buckets: int = BUCKETS

    def __post_init__(self) -> None:
        for what, kinds in (("x", X), ("mode", Mode), ("scale", Scale)):
            if getattr(self, what) not in get_args(kinds):
                known = ", ".join(get_args(kinds))
                raise InvalidInput(f"{what}={getattr(self, what)!r:.60}: use one of {known}.")
        if not 0 < len(self.metrics) <= MAX_METRICS:
            raise TooMuch(f"Give 1 to {MAX_METRICS} metrics, not {len(self.metrics)}.")
        for name in self.metrics:
            names.check_metric_name(name)

    def draw(self, store: Store) -> Chart:
        """The chart, of one consistent state of the store.

        Raises:
            TooMuch: more points or series than can be drawn as asked.
        """
        drawn = store.measuring(lambda state: _Drawing(self, state).chart())
        return Chart(
            spec=drawn.spec,
            rows=drawn.rows,
            title=drawn.title,
            note=drawn.note,
            meta=drawn.meta,
            source=lambda: self.frame(store),
        )

    def frame(self, store: Store) -> pd.DataFrame:
        """A row for each match with its last values; over steps or time, for each point.

        Raises:
            TooMuch: there are more than a million.
        """
        return self._models(store) if self.x == "saved_at" else self._points(store)

    def _models(self, store: Store) -> pd.DataFrame:
        import pandas as pd

        found = store.measuring(lambda state: _Drawing(self, state).matches)
        asking.check_rows(len(found))
        frame = pd.DataFrame(
            {
                "envelope_id": pd.Series(found.ids, dtype="str"),
                "saved_at": pd.Series(found.saved_at, dtype="datetime64[us, UTC]"),
            }
        )
        for name, values in found.metrics.items():
            frame[name] = pd.Series(values, dtype="float64")
        if self.split is not None:
            column = f"tag.{self.split}" if self.split in frame else self.split
            frame[column] = pd.Series(found.tags[self.split], dtype="str")
        return frame

    def _points(self, store: Store) -> pd.DataFrame:
        from model_envelope.metrics.frames import frame

        drawing = store.measuring(lambda state: _Drawing(self, state).counted())
        asking.check_rows(drawing.points)
        points = frame(
            self.q,
            drawing.names,
            since=self.since if self.x == "at" else None,
            until=self.until if self.x == "at" else None,
            tags=() if self.split is None else self.split,
            store=store,
        )
        kept = points["envelope_id"].isin(set(drawing.matches.ids)) & (points["type"] == "scalar")
        return points[kept].reset_index(drop=True)

    def code(self) -> str:
        """A program that gives the same chart and frame."""
        return asking.call(
            "plot",
            self.q,
            self.metrics,
            split=self.split,
            x=None if self.x == "saved_at" else self.x,
            since=self.since,
            until=self.until,
            mode=None if self.mode == "auto" else self.mode,
            scale=None if self.scale == "linear" else self.scale,
            buckets=None if self.most_buckets == BUCKETS else self.most_buckets,
        )


@dataclass
class _Counts:
    """How much there is of each metric and each series."""

    points: int = 0
    finite: int = 0
    used: set[int] = field(default_factory=set)
    having: Counter[str] = field(default_factory=Counter)
    models: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    of_series: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, series: str, model: int, points: int, finite: int) -> None:
        self.points += points
        self.finite += finite
        self.having[name] += 1
        if finite:
            self.used.add(model)
            self.models[series].add(model)
            self.of_series[series] += finite


class _Drawing:
    """One chart in the making."""

    def __init__(self, asked: TimeSeries, state: Measuring) -> None:
        self.asked = asked
        self.state = state
        resolved = [own for name in asked.metrics for own in state.projections(name) or (name,)]
        self.names = asking.unique(resolved)
        by_saving = asked.x == "saved_at"
        everything = state.matches(
            asked.q,
            tags=[asked.split] if asked.split else [],
            metrics=self.names if by_saving else (),
        )
        ranged = asked.x != "at"
        self.matches = everything.between(asked.since, asked.until) if ranged else everything
        self.outside = len(everything) - len(self.matches)
        self._labels = asking.labels(self.matches, asked.split)
        self._places = {revision: i for i, revision in enumerate(self.matches.revisions)}
        self.counts = _Counts()
        self._extents: dict[str, list[Extent]] = {}

    @property
    def points(self) -> int:
        """How many values there are, numbers or not."""
        return self.counts.points

    def counted(self) -> _Drawing:
        """The same, with its points counted."""
        if self.asked.x == "saved_at":
            for name, values in self.matches.metrics.items():
                for i, value in enumerate(values):
                    if value is not None:
                        finite = int(asking.is_finite(value))
                        self.counts.add(name, self._series(name, i), i, 1, finite)
        else:
            for name in self.names:
                self._extents[name] = self.state.extents(self._span(name), self.matches.revisions)
                for one in self._extents[name]:
                    i = self._places[one.revision]
                    self.counts.add(name, self._series(name, i), i, one.points, one.finite)
        return self

    def chart(self) -> Chart:
        """The chart."""
        counts = self.counted().counts
        labels = sorted(counts.of_series)
        asking.check_series(len(labels), MAX_SERIES, "series")
        reason = self._reason()
        band = self.asked.mode == "band" or bool(reason)
        if not band and counts.finite > MAX_POINTS:
            raise TooMuch(
                f"{counts.finite:,} points are too many to draw one by one: at most "
                f"{MAX_POINTS:,}. Use mode='band', or narrow the query."
            )
        if band:
            rows, spec = self._quartiles(), band_spec(self.asked.x, labels, self.asked.scale)
        else:
            rows = self._lines()
            labels = sorted({row["series"] for row in rows})
            spec = line_spec(self.asked.x, labels, self.asked.scale)
        note = self._note(band)
        used = f"{len(counts.used):,} of {asking.counted(len(self.matches), 'model')}"
        return Chart(
            spec=spec,
            rows=rows,
            title=", ".join(self.names),
            note=f"{used} · {note}",
            meta=self._meta(rows, band, reason, note),
        )

    def _span(self, name: str) -> Span:
        asked = self.asked
        if asked.x == "at":
            return Span(name=name, place="at", since=asked.since, until=asked.until)
        return Span(name=name, place="step")

    def _series(self, name: str, model: int) -> str:
        label = self._labels[model]
        if self.asked.split is None:
            return name
        return f"{name} · {label}" if len(self.names) > 1 else label

    def _reason(self) -> str:
        """Why quartiles are drawn where nobody asked for them."""
        if self.asked.mode != "auto":
            return ""
        counts, by_model = self.counts, self.asked.x == "saved_at"
        most = MAX_DOTS if by_model else MAX_POINTS
        if counts.finite > most:
            return f"more than {most:,} points"
        if not by_model and sum(map(len, counts.models.values())) > MAX_LINES:
            return f"more than {MAX_LINES} lines"
        return ""

    def _lines(self) -> list[dict[str, Any]]:
        x, found = self.asked.x, self.matches
        rows: list[tuple[Any, float, str, int]] = []
        if x == "saved_at":
            for name, values in found.metrics.items():
                rows += [
                    (found.saved_at[i], value, self._series(name, i), i)
                    for i, value in enumerate(values)
                    if value is not None and asking.is_finite(value)
                ]
        else:
            for name in self.names:
                having = [one.revision for one in self._extents[name] if one.finite]
                for revision, at, value in self.state.points(self._span(name), having):
                    i = self._places[revision]
                    rows.append((at, value, self._series(name, i), i))
        rows.sort(key=lambda row: (row[0], row[3], row[2]))
        named = x != "saved_at" and len({row[2] for row in rows}) == 1
        by_model = named and len(self.counts.used) <= MAX_NAMED
        return [
            {
                x: at if x == "step" else asking.iso(at),
                "value": value,
                "series": found.ids[i][:8] if by_model else series,
                "model": found.ids[i],
            }
            for at, value, series, i in rows
        ]

    def _quartiles(self) -> list[dict[str, Any]]:
        series = {label: i for i, label in enumerate(sorted(self.counts.of_series))}
        if not series:
            return []
        most = min(self.asked.most_buckets, MAX_POINTS // len(series))
        found = (
            self._of_models(series, most)
            if self.asked.x == "saved_at"
            else self._of_points(series, most)
        )
        known = sorted(series)
        return [
            {
                "series": known[number],
                self.asked.x: at if self.asked.x == "step" else asking.iso(at),
                "median": median,
                "p25": p25,
                "p75": p75,
                "count": count,
            }
            for number, at, count, (p25, median, p75) in sorted(found, key=lambda row: row[:2])
        ]

    def _of_models(self, series: Mapping[str, int], most: int) -> list[Any]:
        import numpy as np

        found = self.matches
        first, width = buckets.plan(min(found.saved_at), max(found.saved_at), most)
        seconds = np.array([at.timestamp() for at in found.saved_at])
        bucket = (np.floor(seconds).astype(np.int64) - first) // width
        numbers, places, numeric = [], [], []
        for name, values in found.metrics.items():
            finite = [asking.is_finite(value) for value in values]
            labels = [self._series(name, i) for i in compress(range(len(values)), finite)]
            numbers += [series[label] for label in labels]
            places.append(bucket[np.array(finite, dtype=bool)])
            numeric += list(compress(values, finite))
        reduced = quartiles(
            np.array(numbers), np.concatenate(places), np.array(numeric, dtype=np.float64)
        )
        return [
            (number, EPOCH + timedelta(seconds=first + i * width), count, three)
            for number, i, count, three in reduced
        ]

    def _of_points(self, series: Mapping[str, int], most: int) -> list[Any]:
        some = [one for found in self._extents.values() for one in found if one.finite]
        first, width = buckets.plan(min(e.low for e in some), max(e.high for e in some), most)
        found = []
        for name in self.names:
            of_model = {
                one.revision: series[self._series(name, self._places[one.revision])]
                for one in self._extents[name]
                if one.finite
            }
            reduced = self.state.buckets(self._span(name), of_model, first, width)
            found += [(b.series, b.place, b.count, (b.p25, b.median, b.p75)) for b in reduced]
        return found

    def _note(self, band: bool) -> str:
        counts = self.counts
        n_series = len(counts.of_series)
        told = [f"{n_series} series"]
        if band:
            told.append("median and p25-p75" if n_series <= MAX_BANDS else "medians")
        if counts.points > counts.finite:
            told.append(f"{asking.counted(counts.points - counts.finite, 'value')} not finite")
        if self.outside:
            told.append(f"{asking.counted(self.outside, 'more model')} at other times")
        return " · ".join(told)

    def _meta(self, rows: Sequence[Any], band: bool, reason: str, note: str) -> dict[str, Any]:
        asked, counts = self.asked, self.counts
        matched = len(self.matches)
        return {
            "title": ", ".join(self.names),
            "matched": matched,
            "used": len(counts.used),
            "outside": self.outside,
            "lacking": {name: matched - counts.having[name] for name in self.names},
            "not_finite": counts.points - counts.finite,
            "points_total": counts.finite,
            "points_sent": len(rows),
            "mode": "band" if band else "lines",
            "reason": reason if rows else self._why_nothing(),
            "series": [
                {"name": name, "models": len(counts.models[name]), "points": points}
                for name, points in sorted(counts.of_series.items())
            ],
            "note": note,
            "chosen": {
                "metric": list(asked.metrics),
                "split": asked.split,
                "x": asked.x,
                "from": asked.since and asking.iso(asked.since),
                "to": asked.until and asking.iso(asked.until),
                "mode": asked.mode,
                "scale": asked.scale,
            },
        }

    def _why_nothing(self) -> str:
        if not len(self.matches):
            return "no model matches in this range." if self.outside else "no model matches."
        listed = ", ".join(self.names)
        if self.counts.points:
            return f"none of the values of {listed} is a finite number."
        return f"none has {listed}."
