"""The verbs of charts: how models have done, over time and against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from model_envelope.client.client import Query
    from model_envelope.client.dashboard.compare_models import ModelComparison as Compared
    from model_envelope.client.envelope import Envelope
    from model_envelope.metrics.charts import Chart
    from model_envelope.metrics.trends import Mode, Scale, X
    from model_envelope.store.store import Store


class ChartVerbs:
    """The part of the client that shows metrics of many models."""

    _envelope: Callable[[Query | Envelope], Envelope]

    if TYPE_CHECKING:

        @property
        def store(self) -> Store:
            """The database."""

    def metrics_frame(
        self,
        q: Query,
        names: str | Sequence[str] | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        tags: Sequence[str] = (),
    ) -> pd.DataFrame:
        """Logged values of all matches; see `metrics.frame`."""
        from model_envelope.metrics.frames import frame

        return frame(q, names, since=since, until=until, tags=tags, store=self.store)

    def plot(
        self,
        q: Query,
        metric: str | Sequence[str],
        *,
        split: str | None = None,
        x: X = "saved_at",
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        mode: Mode = "auto",
        scale: Scale = "linear",
        buckets: int = 200,
    ) -> Chart:
        """Scalar metrics of all matches over time, as the dashboard draws them.

        Args:
            q: which models.
            metric: which metrics; a structured one stands for its scalars.
            split: a tag: one series for each of its values, and `(no tag)`.
            x: `saved_at` has a point for each model; `at` and `step` have all points.
            since: saved, with `x="at"` measured, at this time or later; ISO text will do.
            until: likewise, before this time.
            mode: `lines` draws each value, `band` quartiles of buckets, `auto` what can be read.
            scale: `log` for values that differ by powers.
            buckets: of a series, at most.

        Raises:
            TooMuch: more points or series than can be drawn as asked.
        """
        from model_envelope.client.dashboard import asking
        from model_envelope.client.dashboard.time_series import TimeSeries

        asked = TimeSeries(
            q=asking.query_of(q),
            metrics=(metric,) if isinstance(metric, str) else tuple(metric),
            split=asking.tag_of(split),
            x=x,
            since=asking.time_of(since, "since"),
            until=asking.time_of(until, "until"),
            mode=mode,
            scale=scale,
            most_buckets=buckets,
        )
        return asked.draw(self.store)

    def scatter(
        self,
        q: Query,
        x: str,
        y: str,
        *,
        color: str | None = None,
        shape: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
    ) -> Chart:
        """Two metrics or hyperparameters of all matches against each other.

        Args:
            q: which models.
            x: a scalar metric, or `hyperparameter.<name>`.
            y: likewise.
            color: a tag that colours tell.
            shape: a tag that shapes tell.
            since: saved at this time or later; ISO text will do.
            until: saved before this time.

        Raises:
            TooMuch: more colours, shapes or categories than can be told apart.
        """
        from model_envelope.client.dashboard import asking
        from model_envelope.client.dashboard.compare_metrics import Axis, CompareMetrics

        asked = CompareMetrics(
            q=asking.query_of(q),
            x=Axis.read(x),
            y=Axis.read(y),
            color=asking.tag_of(color),
            shape=asking.tag_of(shape),
            since=asking.time_of(since, "since"),
            until=asking.time_of(until, "until"),
        )
        return asked.draw(self.store)

    def compare(self, *models: Envelope | str, baseline: Envelope | str | None = None) -> Compared:
        """Up to eight models beside each other: charts, numbers, and what differs.

        Args:
            models: envelopes, their ids, or tag queries, of which the latest match is taken.
            baseline: one of them; the others' numbers are compared with its.

        Raises:
            TooMuch: there are more than eight.
        """
        from model_envelope.client.dashboard.compare_models import CompareModels

        ids = tuple(dict.fromkeys(self._envelope(one).id for one in models))
        base = None if baseline is None else self._envelope(baseline).id
        return CompareModels(ids=ids, baseline=base).draw(self.store)
