"""What the store keeps of a metric: one point for each number, one for each structure."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from numbers import Real
from typing import Any

from model_envelope.errors import InvalidInput
from model_envelope.metrics.checks import moment
from model_envelope.metrics.metric_type import MetricType
from model_envelope.metrics.registry import UnknownMetric, read
from model_envelope.metrics.scalar import NOT_FINITE, Scalar, not_finite
from model_envelope.metrics.vector import Vector
from model_envelope.names import check_metric_name
from model_envelope.store.rows import MetricPoint

MAX_PROJECTIONS = 50
MAX_BODY = 1_000_000
"""Characters of JSON of one structured metric."""


def to_points(
    name: str, value: object, *, step: int = 0, at: datetime | None = None
) -> list[MetricPoint]:
    """Points of one metric.

    Args:
        name: see `names.check_metric_name`.
        value: a number (booleans count as 0 and 1), a list or 1-dimensional array of
            numbers (taken as a `Vector`), or a `MetricType`. A structured metric gives a
            point of its own and one scalar point for each of its `scalars()`, named
            `<name>.<scalar>`.
        step: orders values of one name: an epoch, a batch number.
        at: when it was measured, with a time zone; now unless given.

    Raises:
        InvalidInput: one of them is something else.
    """
    check_metric_name(name)
    step, at = _step(step), datetime.now(UTC) if at is None else moment(at, "at")
    metric = _as_metric(name, value)
    if isinstance(metric, Scalar):
        return [_scalar_point(name, metric.value, step, at)]
    projected = _projections(name, metric)
    body = MetricPoint(name=name, step=step, at=at, type=metric.type, body=_body(name, metric))
    return [body, *(_scalar_point(n, v, step, at) for n, v in projected.items())]


def points_of(
    values: Mapping[str, object], *, step: int = 0, at: datetime | None = None
) -> list[MetricPoint]:
    """Points of several metrics logged together; see `to_points`.

    Raises:
        InvalidInput: also if a name is that of another one's projection.
    """
    at = datetime.now(UTC) if at is None else at
    found: dict[str, MetricPoint] = {}
    for name, value in values.items():
        for point in to_points(name, value, step=step, at=at):
            if point.name in found:
                raise InvalidInput(
                    f"{point.name!r} is logged twice: as such, and as a scalar of a structured "
                    "metric. Give one of them another name."
                )
            found[point.name] = point
    return list(found.values())


def from_point(point: MetricPoint) -> MetricType:
    """The metric again: a `Scalar` for numbers, an `UnknownMetric` where no class reads it."""
    if point.type == Scalar.type:
        return Scalar(number_of(point.value, point.body))
    return read(point.type, point.body or "")


def number_of(value: float | None, body: str | None) -> float:
    """The number of a point by its columns; NaN for a structured metric."""
    return NOT_FINITE.get(body or "", math.nan) if value is None else value


def _scalar_point(name: str, value: float, step: int, at: datetime) -> MetricPoint:
    if math.isfinite(value):
        return MetricPoint(name=name, step=step, at=at, value=value)
    return MetricPoint(name=name, step=step, at=at, body=not_finite(value))


def _as_metric(name: str, value: Any) -> MetricType:
    if isinstance(value, MetricType) and not isinstance(value, UnknownMetric):
        return value
    shape = getattr(value, "shape", (0,) if isinstance(value, list | tuple | range) else None)
    if shape == () or isinstance(value, Real | Decimal):
        return Scalar(value)
    if shape is not None and len(shape) == 1:
        return Vector(value)
    raise InvalidInput(
        f"Metric {name!r} must be a number, a list of numbers or a metric type, not "
        f"{type(value).__name__}. {_instead_of(value)}"
    )


def _instead_of(value: object) -> str:
    if isinstance(value, UnknownMetric):
        return "Install the package that has its type, and read it again."
    if isinstance(value, Mapping):
        return "Log its items one by one, or use metrics.FeatureImportance.from_mapping."
    if hasattr(value, "columns"):
        return "Use metrics.Table.from_frame."
    if hasattr(value, "shape"):
        return "Use metrics.ConfusionMatrix or metrics.Table."
    return "Text and settings belong in tags or hyperparameters."


def _projections(name: str, metric: MetricType) -> dict[str, float]:
    scalars = metric.scalars()
    if len(scalars) > MAX_PROJECTIONS:
        raise InvalidInput(
            f"Metric {name!r}: a {metric.type} has {len(scalars)} scalars; at most "
            f"{MAX_PROJECTIONS} are stored."
        )
    return {
        check_metric_name(f"{name}.{key}"): Scalar(value).value for key, value in scalars.items()
    }


def _body(name: str, metric: MetricType) -> str:
    body = metric.to_json()
    if len(body) > MAX_BODY:
        raise InvalidInput(
            f"Metric {name!r}: {len(body):,} characters of JSON are too many: at most "
            f"{MAX_BODY:,} are stored. Log a summary of it."
        )
    try:
        type(metric).from_json(body)
    except InvalidInput as error:
        raise InvalidInput(f"Metric {name!r} could not be read again: {error}") from error
    return body


def _step(step: int) -> int:
    try:
        whole = operator.index(step)
    except TypeError:
        whole = None
    if whole is None or isinstance(step, bool) or not -(2**63) <= whole < 2**63:
        raise InvalidInput(f"step must be a whole number of 64 bits, not {step!r:.60}.")
    return whole
