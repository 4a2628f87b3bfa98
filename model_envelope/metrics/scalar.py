"""One number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from model_envelope.errors import InvalidInput
from model_envelope.metrics import vega
from model_envelope.metrics.checks import number
from model_envelope.metrics.metric_type import MetricType

NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""How numbers are written that JSON, and SQLite's columns, cannot hold."""


@dataclass(frozen=True, repr=False)
class Scalar(MetricType):
    """A number; NaN and infinities are numbers that losses do take.

    Booleans count as 0 and 1. Logging a plain `float`, `int`, `bool`, `Decimal`, numpy
    scalar or 0-dimensional array does the same as logging a `Scalar`.
    """

    type: ClassVar[str] = "scalar"
    value: float

    def __post_init__(self) -> None:
        self._normalise(value=number(self.value, "A metric"))

    def __float__(self) -> float:
        return self.value

    def scalars(self) -> dict[str, float]:
        """The number, as `value`."""
        return {"value": self.value}

    def rows(self) -> list[dict[str, Any]]:
        """One row; `value` is null where the number is not finite."""
        return [{"value": self.value if math.isfinite(self.value) else None}]

    @classmethod
    def spec(cls, n_models: int) -> dict[str, Any]:
        """A bar for each model."""
        return vega.chart(
            "One number for each model",
            mark="bar",
            x=vega.quantitative("value"),
            y=vega.nominal("model", title=None),
            color=vega.model_colour(n_models),
        )

    def to_json(self) -> str:
        """A JSON number, or `"NaN"`, `"Infinity"`, `"-Infinity"`."""
        return repr(self.value) if math.isfinite(self.value) else f'"{not_finite(self.value)}"'

    @classmethod
    def from_json(cls, body: str) -> Scalar:
        """Read what `to_json` wrote."""
        text = body.strip('"')
        try:
            return cls(NOT_FINITE[text] if text in NOT_FINITE else float(text))
        except ValueError as error:
            raise InvalidInput(f"{body!r:.80} is no number.") from error


def not_finite(value: float) -> str:
    """The name of NaN or an infinity; a key of `NOT_FINITE`."""
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
