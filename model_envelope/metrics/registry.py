"""Which class reads a stored metric: built in, registered, or found by entry point."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from model_envelope.errors import InvalidInput
from model_envelope.metrics import vega
from model_envelope.metrics.calibration import Calibration
from model_envelope.metrics.confusion_matrix import ConfusionMatrix
from model_envelope.metrics.curves import PrCurve, RocCurve
from model_envelope.metrics.distributions import Histogram, Quantiles
from model_envelope.metrics.feature_importance import FeatureImportance
from model_envelope.metrics.metric_type import MetricType
from model_envelope.metrics.scalar import Scalar
from model_envelope.metrics.table import Table
from model_envelope.metrics.time_series import TimeSeries
from model_envelope.metrics.vector import Vector

GROUP = "model_envelope.metric_types"

BUILT_IN: dict[str, type[MetricType]] = {
    cls.type: cls
    for cls in (
        Calibration,
        ConfusionMatrix,
        FeatureImportance,
        Histogram,
        PrCurve,
        Quantiles,
        RocCurve,
        Scalar,
        Table,
        TimeSeries,
        Vector,
    )
}

_registered: dict[str, type[MetricType]] = {}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class UnknownMetric(MetricType):
    """A stored metric that no class here can read: its type, its JSON and why.

    It is what reading gives where the package with the type is not installed. Its
    scalars are stored as metrics of their own and are not lost.
    """

    type: ClassVar[str] = "unknown"
    type_name: str
    body: str
    reason: str

    def rows(self) -> list[dict[str, Any]]:
        """One row that says what is missing."""
        return [{"text": f"{self.type_name}: {self.reason}"}]

    @classmethod
    def spec(cls, n_models: int) -> dict[str, Any]:
        """The text of each model's row."""
        text = vega.chart(
            "A metric that cannot be drawn here",
            mark={"type": "text", "align": "left", "x": 5},
            y=vega.nominal("model", title=None),
            text=vega.nominal("text"),
        )
        return {**text, "width": 400}

    def __repr__(self) -> str:
        return f"UnknownMetric({self.type_name!r}: {self.reason})"


def register(cls: type[MetricType]) -> type[MetricType]:
    """Make a type readable in this process; a class decorator.

    Packages use the entry point group `model_envelope.metric_types` instead, which
    works in every process.

    Raises:
        InvalidInput: the name is that of a built-in type.
    """
    if cls.type in BUILT_IN:
        raise InvalidInput(f"{cls.type!r} is a built-in metric type: choose another name.")
    _registered[cls.type] = cls
    return cls


def metric_types() -> dict[str, type[MetricType]]:
    """Every type that can be read here, by name. Entry points that fail are left out."""
    found = {name: _load(name) for name in _entry_points()}
    return (
        {name: cls for name, cls in found.items() if not isinstance(cls, str)}
        | _registered
        | BUILT_IN
    )


def read(type_name: str, body: str) -> MetricType:
    """A stored metric; an `UnknownMetric` where it cannot be read. Never raises."""
    cls = BUILT_IN.get(type_name) or _registered.get(type_name) or _load(type_name)
    if isinstance(cls, str):
        return UnknownMetric(type_name, body, cls)
    try:
        return cls.from_json(body)
    except Exception as error:
        return UnknownMetric(type_name, body, f"it cannot be read: {error}")


@cache
def _entry_points() -> dict[str, Any]:
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=GROUP)}


@cache
def _load(type_name: str) -> type[MetricType] | str:
    """The class of an entry point, or why there is none."""
    point = _entry_points().get(type_name)
    if point is None:
        return f"no installed package has an entry point {type_name!r} in the group {GROUP}"
    try:
        cls = point.load()
    except Exception as error:
        reason = f"its entry point {point.value} fails: {type(error).__name__}: {error}"
    else:
        if isinstance(cls, type) and issubclass(cls, MetricType) and cls.type == type_name:
            return cls
        reason = f"its entry point {point.value} is no MetricType with the type {type_name!r}"
    _log.warning("Metric type %s cannot be used: %s", type_name, reason)
    return reason
