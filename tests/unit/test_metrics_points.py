"""What the store is given of a metric."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_envelope import metrics
from model_envelope.errors import InvalidInput, InvalidName
from model_envelope.metrics import MetricPoint, MetricType

AT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
CURVE = metrics.RocCurve([0, 0.2, 1], [0, 0.7, 1])


@pytest.mark.parametrize(
    ("logged", "kept"),
    [
        (0.25, 0.25),
        (3, 3.0),
        (True, 1.0),
        (False, 0.0),
        (Decimal("0.5"), 0.5),
        (np.float32(0.5), 0.5),
        (np.int8(-3), -3.0),
        (np.bool_(True), 1.0),
        (np.array(0.75), 0.75),
        (metrics.Scalar(2.0), 2.0),
    ],
)
def test_a_number_is_one_scalar_point(logged: object, kept: float) -> None:
    assert metrics.to_points("loss", logged, step=7, at=AT) == [
        MetricPoint(name="loss", step=7, at=AT, type="scalar", value=kept, body=None)
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_databases_disagree_on_are_kept_by_name(value: float) -> None:
    (point,) = metrics.to_points("loss", value)
    assert (point.type, point.value) == ("scalar", None)
    assert point.body == {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    again = metrics.from_point(point)
    assert isinstance(again, metrics.Scalar)
    assert str(again.value) == str(value)


@given(st.floats())
def test_every_float_comes_back(value: float) -> None:
    (point,) = metrics.to_points("loss", value)
    assert point.value is None or math.isfinite(point.value)
    (scalar,) = metrics.from_point(point).scalars().values()
    assert scalar == value or (math.isnan(scalar) and math.isnan(value))


def test_a_structured_metric_is_a_body_and_its_scalars() -> None:
    body, auc = metrics.to_points("roc_curve", CURVE, step=2, at=AT)
    assert body == MetricPoint(
        name="roc_curve", step=2, at=AT, type="roc_curve", value=None, body=CURVE.to_json()
    )
    assert auc == MetricPoint(name="roc_curve.auc", step=2, at=AT, value=CURVE.auc)
    assert metrics.from_point(body) == CURVE


@pytest.mark.parametrize(
    "values", [[1, 2.5], (1, 2.5), np.array([1, 2.5]), pd.Series([1, 2.5]), [True, Decimal("2.5")]]
)
def test_numbers_in_a_row_are_a_vector(values: Any) -> None:
    points = metrics.to_points("folds", values)
    assert metrics.from_point(points[0]) == metrics.Vector([1, 2.5])
    assert [point.name for point in points[1:]] == ["folds.mean", "folds.min", "folds.max"]


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ({"a": 1}, "Log its items one by one, or use metrics.FeatureImportance.from_mapping"),
        (pd.DataFrame({"a": [1]}), "Use metrics.Table.from_frame"),
        (np.eye(2), "Use metrics.ConfusionMatrix or metrics.Table"),
        ("0.5", "tags or hyperparameters"),
        (None, "tags or hyperparameters"),
        (1j, "tags or hyperparameters"),
        (pd.NA, "tags or hyperparameters"),
        (metrics.UnknownMetric("acme.lift", "{}", "?"), "Install the package"),
    ],
)
def test_what_is_no_metric_is_refused_with_a_hint(value: object, hint: str) -> None:
    with pytest.raises(InvalidInput, match=f"Metric 'loss' must be a number.*{hint}"):
        metrics.to_points("loss", value)


@pytest.mark.parametrize("value", [np.array("x"), np.array(None), np.array(1j), np.ma.masked])
def test_an_array_of_one_thing_that_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="must be a number"):
        metrics.to_points("loss", value)


def test_a_list_with_nan_says_where() -> None:
    with pytest.raises(InvalidInput, match=r"values\[1\] is nan"):
        metrics.to_points("folds", [1, math.nan])


@pytest.mark.parametrize("name", ["", "1st", "a b", "x" * 201, "naïve", "a;b", 7])
def test_names_are_checked(name: Any) -> None:
    with pytest.raises(InvalidName):
        metrics.to_points(name, 1.0)


def test_the_names_of_scalars_are_checked_too() -> None:
    with pytest.raises(InvalidName, match="at most 200"):
        metrics.to_points("x" * 198, CURVE)


@pytest.mark.parametrize("step", [1.5, "1", True, None, 2**63])
def test_steps_are_whole_numbers(step: Any) -> None:
    with pytest.raises(InvalidInput, match="step must be a whole number"):
        metrics.to_points("loss", 1.0, step=step)


def test_steps_of_numpy_are_plain_integers() -> None:
    (point,) = metrics.to_points("loss", 1.0, step=np.int64(3))  # type: ignore[arg-type]
    assert type(point.step) is int


@pytest.mark.parametrize("at", [datetime(2026, 1, 1), "2026-01-01", 0])
def test_moments_need_a_time_zone(at: Any) -> None:
    with pytest.raises(InvalidInput, match="a datetime with a time zone"):
        metrics.to_points("loss", 1.0, at=at)


def test_moments_are_plain_datetimes_in_utc() -> None:
    stamp = pd.Timestamp(AT).tz_convert("Asia/Tokyo")
    (point,) = metrics.to_points("loss", 1.0, at=stamp)
    assert type(point.at) is datetime
    assert point.at == AT
    assert point.at.utcoffset() == timedelta(0)
    elsewhere = AT.astimezone(timezone(timedelta(hours=-5)))
    assert metrics.to_points("loss", 1.0, at=elsewhere)[0].at.tzinfo is UTC


def test_now_unless_given() -> None:
    before = datetime.now(UTC)
    (point,) = metrics.to_points("loss", 1.0)
    assert before <= point.at <= datetime.now(UTC)


def test_several_metrics_share_a_moment() -> None:
    points = metrics.points_of({"loss": 0.5, "roc_curve": CURVE}, step=1)
    assert [point.name for point in points] == ["loss", "roc_curve", "roc_curve.auc"]
    assert len({point.at for point in points}) == 1


@pytest.mark.parametrize("order", [("roc.auc", "roc"), ("roc", "roc.auc")])
def test_a_name_logged_twice_is_refused(order: tuple[str, str]) -> None:
    values: Mapping[str, object] = {"roc": CURVE, "roc.auc": 0.9}
    with pytest.raises(InvalidInput, match=r"'roc\.auc' is logged twice"):
        metrics.points_of({name: values[name] for name in order})


@dataclass(frozen=True)
class Foreign(MetricType):
    """A type whose scalars and JSON are what a test says."""

    type: ClassVar[str] = "test.foreign"
    found: dict[str, float]
    text: str = ""

    def scalars(self) -> dict[str, float]:
        return self.found

    def rows(self) -> list[dict[str, Any]]:
        return []

    @classmethod
    def spec(cls, n_models: int) -> dict[str, Any]:
        return {}


def test_a_foreign_type_may_have_scalars_that_are_not_finite() -> None:
    class Unbounded(Foreign):
        def scalars(self) -> dict[str, float]:
            return {"gain": math.inf}

    points = metrics.to_points("lift", Unbounded({}))
    assert (points[1].name, points[1].value, points[1].body) == ("lift.gain", None, "Infinity")


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (Foreign({"a b": 1.0}), r"'lift\.a b' is no metric name"),
        (Foreign({"gain": "high"}), "must be a number, not str"),  # type: ignore[dict-item]
        (Foreign({f"s{i}": 0.0 for i in range(51)}), "51 scalars; at most 50"),
        (Foreign({}, "x" * 1_000_001), "characters of JSON are too many: at most 1,000,000"),
        (
            Foreign({}, 3),  # type: ignore[arg-type]
            r"Metric 'lift' could not be read again: .*is no test\.foreign: Expected `str`",
        ),
    ],
)
def test_a_foreign_type_is_checked_before_it_is_stored(metric: Foreign, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        metrics.to_points("lift", metric)


def test_what_cannot_be_read_keeps_its_json() -> None:
    for type_name, body in (("acme.lift", '{"a": 1}'), ("roc_curve", "{}"), ("roc_curve", "")):
        found = metrics.from_point(MetricPoint(name="m", at=AT, type=type_name, body=body))
        assert isinstance(found, metrics.UnknownMetric)
        assert (found.type_name, found.body) == (type_name, body)
        assert type_name in found.rows()[0]["text"]
