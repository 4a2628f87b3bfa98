"""Values over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self

from model_envelope.errors import InvalidInput
from model_envelope.metrics import checks, vega
from model_envelope.metrics.metric_type import MetricType
from model_envelope.metrics.reduction import reduce, take

if TYPE_CHECKING:
    import pandas as pd

LIMIT = 1_000


@dataclass(frozen=True, repr=False)
class TimeSeries(MetricType):
    """A line over time, such as the error of each day of a backtest.

    A gap is a time that is not there. More than 1,000 vertices are reduced to 1,000 of
    the same shape; `mean` stays that of all. Values that a training loop gives step by
    step are better logged as scalars with `step`.

    Attributes:
        times: rising, with time zones; kept in UTC.
        values: finite numbers.
        mean: of the values; computed unless given.
    """

    type: ClassVar[str] = "time_series"
    keys: ClassVar[tuple[str, ...]] = ("time",)
    times: Sequence[datetime]
    values: Sequence[float]
    mean: float = math.nan

    def __post_init__(self) -> None:
        times = tuple(
            checks.moment(time, f"times[{i}]")
            for i, time in enumerate(checks.listed(self.times, "times"))
        )
        values = checks.numbers(self.values, "values")
        checks.same_length(times=times, values=values)
        checks.ordered(times, "times", "rising")
        mean = checks.number(self.mean, "mean")
        if math.isnan(mean):
            mean = checks.mean(values)
        checks.numbers([mean], "mean")
        kept = reduce([time.timestamp() for time in times], values, LIMIT)
        self._normalise(times=take(times, kept), values=take(values, kept), mean=mean)

    @classmethod
    def from_series(cls, series: pd.Series[Any]) -> Self:
        """From a pandas Series with a DatetimeIndex that has a time zone; nulls are gaps.

        Raises:
            InvalidInput: the index is another, or has no time zone.
        """
        if getattr(series.index, "tz", None) is None:
            raise InvalidInput(
                "The series needs a DatetimeIndex with a time zone: "
                "series.tz_localize('UTC') if its times are UTC."
            )
        known = series.dropna()
        return cls(known.index.to_pydatetime().tolist(), known.tolist())  # type: ignore[attr-defined]

    def scalars(self) -> dict[str, float]:
        """`mean`, and `last`, the newest value."""
        return {"mean": self.mean, "last": self.values[-1]}

    def rows(self) -> list[dict[str, Any]]:
        """A row for each vertex: `time` in ISO format, `value`."""
        return [
            {"time": time.isoformat(), "value": value}
            for time, value in zip(self.times, self.values, strict=True)
        ]

    @classmethod
    def spec(cls, n_models: int) -> dict[str, Any]:
        """A line for each model."""
        return vega.chart(
            "Values over time",
            mark={"type": "line", "tooltip": {"content": "data"}},
            x={"field": "time", "type": "temporal", "title": None},
            y=vega.quantitative("value", title="Value", scale={"zero": False}),
            **vega.line_by_model(n_models),
        )
