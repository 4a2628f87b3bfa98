"""Several numbers of one kind: scores of folds, of classes, of regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from model_envelope.metrics import checks, vega
from model_envelope.metrics.metric_type import MetricType

LIMIT = 10_000


@dataclass(frozen=True, repr=False)
class Vector(MetricType):
    """Finite numbers in order, with or without labels.

    Logging a list, tuple or 1-dimensional array of numbers does the same as logging a
    `Vector`.

    Attributes:
        values: at most 10,000 numbers.
        labels: what each stands for; as many, each different; positions unless given.
    """

    type: ClassVar[str] = "vector"
    keys: ClassVar[tuple[str, ...]] = ("label",)
    values: Sequence[float]
    labels: Sequence[str] = ()

    def __post_init__(self) -> None:
        values = checks.numbers(self.values, "values")
        checks.same_length(values=values)
        checks.at_most(len(values), LIMIT, "values", "Log a Histogram or Quantiles of them.")
        labels = checks.texts(self.labels, "labels")
        if labels:
            checks.same_length(values=values, labels=labels)
        self._normalise(values=values, labels=labels)

    def scalars(self) -> dict[str, float]:
        """`mean`, `min`, `max`."""
        return {"mean": checks.mean(self.values), "min": min(self.values), "max": max(self.values)}

    def rows(self) -> list[dict[str, Any]]:
        """A row for each number: `index`, `label`, `value`."""
        labels = self.labels or tuple(map(str, range(len(self.values))))
        return [
            {"index": i, "label": label, "value": value}
            for i, (label, value) in enumerate(zip(labels, self.values, strict=True))
        ]

    @classmethod
    def spec(cls, n_models: int) -> dict[str, Any]:
        """Bars, those of one label side by side."""
        return vega.chart(
            "Several numbers of one kind",
            mark="bar",
            x=vega.nominal("label", title=None, sort={"field": "index"}),
            y=vega.quantitative("value"),
            xOffset=vega.nominal("model"),
            color=vega.model_colour(n_models),
        )
