"""Each metric type: what it takes and refuses, stores, sums up and compares."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_envelope import metrics
from model_envelope.errors import InvalidInput
from model_envelope.metrics import MetricType

DAY = datetime(2026, 3, 1, tzinfo=UTC)

finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
moderate = st.floats(-1e9, 1e9)
labels = st.lists(
    st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable()),
    min_size=1,
    max_size=12,
    unique=True,
)


@st.composite
def scores(draw: st.DrawFn) -> tuple[list[bool], list[float]]:
    """Labels of both classes, and scores with ties."""
    n = draw(st.integers(2, 60))
    truth = draw(st.lists(st.booleans(), min_size=n - 2, max_size=n - 2))
    score = st.integers(0, 10).map(lambda i: i / 10)
    return [True, False, *truth], draw(st.lists(score, min_size=n, max_size=n))


@st.composite
def labelled(draw: st.DrawFn, values: st.SearchStrategy[float]) -> tuple[list[str], list[float]]:
    names = draw(labels)
    return names, draw(st.lists(values, min_size=len(names), max_size=len(names)))


@st.composite
def matrices(draw: st.DrawFn) -> metrics.ConfusionMatrix:
    names = draw(labels)
    row = st.lists(st.integers(0, 10**6), min_size=len(names), max_size=len(names))
    counts = draw(st.lists(row, min_size=len(names), max_size=len(names)))
    counts[0][0] += 1
    return metrics.ConfusionMatrix(names, counts)


@st.composite
def tables(draw: st.DrawFn) -> metrics.Table:
    columns = draw(labels)
    cell = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | finite | st.text(max_size=9)
    row = st.lists(cell, min_size=len(columns), max_size=len(columns))
    return metrics.Table(columns, draw(st.lists(row, max_size=5)))


def series(values: list[float]) -> metrics.TimeSeries:
    return metrics.TimeSeries([DAY + timedelta(hours=i) for i in range(len(values))], values)


anything: st.SearchStrategy[MetricType] = st.one_of(
    st.floats().map(metrics.Scalar),
    st.lists(finite, min_size=1, max_size=20).map(metrics.Vector),
    labelled(moderate).map(lambda drawn: metrics.Vector(drawn[1], drawn[0])),
    scores().map(lambda drawn: metrics.RocCurve.from_scores(*drawn)),
    scores().map(lambda drawn: metrics.PrCurve.from_scores(*drawn)),
    scores().map(lambda drawn: metrics.Calibration.from_scores(*drawn)),
    matrices(),
    st.lists(moderate, min_size=1).map(metrics.Histogram.from_values),
    st.lists(moderate, min_size=1).map(metrics.Quantiles.from_values),
    labelled(finite).map(lambda drawn: metrics.FeatureImportance(*drawn)),
    tables(),
    st.lists(finite, min_size=1, max_size=30).map(series),
)


@given(anything)
def test_json_round_trip(metric: MetricType) -> None:
    again = type(metric).from_json(metric.to_json())
    assert repr(again) == repr(metric)
    assert again == metric or math.isnan(getattr(metric, "value", 0))


@given(anything)
def test_json_and_rows_are_plain_json(metric: MetricType) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(metric.to_json(), parse_constant=refuse)
    json.dumps(metric.rows(), allow_nan=False)
    if not isinstance(metric, metrics.Scalar):
        assert all(map(math.isfinite, metric.scalars().values()))


@given(anything)
def test_compared_with_itself_nothing_differs(metric: MetricType) -> None:
    found = metric.compare(metric)
    assert found.scalars.keys() == metric.scalars().keys()
    for delta in found.scalars.values():
        assert delta.delta == 0 or not math.isfinite(delta.value)
    for row in found.rows:
        assert all(value == 0 for name, value in row.items() if name.endswith("_delta"))


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: metrics.Scalar("0.5"), "must be a number, not str '0.5'"),  # type: ignore[arg-type]
    (lambda: metrics.Scalar(None), "must be a number, not NoneType"),  # type: ignore[arg-type]
    (lambda: metrics.Scalar(10**400), "no number that a float can hold"),
    (lambda: metrics.Vector([1, 2, math.nan]), r"values\[2\] is nan: a finite number"),
    (lambda: metrics.Vector([]), "values must not be empty"),
    (lambda: metrics.Vector([1, 2], ["a"]), "values has 2, labels has 1"),
    (lambda: metrics.Vector([1, 2], ["a", "a"]), r"labels\[1\] is 'a', as labels\[0\]"),
    (lambda: metrics.Vector(np.zeros(10_001)), "10001 values are too many.*Histogram"),  # type: ignore[arg-type]
    (lambda: metrics.Vector(np.zeros((2, 2))), r"one dimension, not the shape \(2, 2\)"),  # type: ignore[arg-type]
    (lambda: metrics.Vector("12"), "must be a list or array, not str"),  # type: ignore[arg-type]
    (lambda: metrics.Vector({1, 2}), "must be a list or array, not set"),  # type: ignore[arg-type]
    (lambda: metrics.Vector([1], ["\ud800"]), r"labels\[0\] is '.ud800'"),
    (lambda: metrics.RocCurve([0, 0.6, 0.5, 1], [0, 0.5, 1, 1]), r"fpr\[2\] is 0.5 after 0.6"),
    (lambda: metrics.RocCurve([0, 0.5, 1], [0, 1.2, 1]), r"tpr\[1\] is 1.2: .* from 0 to 1"),
    (lambda: metrics.RocCurve([0, 1], [0.1, 1]), r"from \(0, 0\) to \(1, 1\)"),
    (lambda: metrics.RocCurve([0, 1], [0, 0.5, 1]), "fpr has 2, tpr has 3"),
    (lambda: metrics.RocCurve([0, 1], [0, 1], auc=0.9), "the area under these points is 0.5"),
    (lambda: metrics.RocCurve([0, 1], [0, 1], [0.1, 0.9]), r"thresholds\[1\] is 0.9 after 0.1"),
    (lambda: metrics.RocCurve([0, 1], [0, 1], [0.1]), "points has 2, thresholds has 1"),
    (lambda: metrics.RocCurve.from_scores([1, 1], [0.1, 0.2]), "one class only"),
    (lambda: metrics.RocCurve.from_scores([0, 1, 1], [0.1, 0.2]), "y_true has 3, y_score has 2"),
    (lambda: metrics.RocCurve.from_scores([0, 1], [0.1, math.nan]), r"y_score\[1\] is nan"),
    (lambda: metrics.RocCurve.from_scores([0, None], [0.1, 0.2]), r"y_true\[1\] is None"),  # type: ignore[arg-type]
    (lambda: metrics.RocCurve.from_scores([0, 2], [0.1, 0.2]), "holds 0, 2: say which"),
    (lambda: metrics.RocCurve.from_scores(["a"], [0.1], positive="b"), "holds no 'b'"),
    (lambda: metrics.RocCurve.from_scores([], []), "y_true is empty"),
    (
        lambda: metrics.RocCurve.from_scores([0, 1], np.ones((2, 2))),
        r"not the shape \(2, 2\).*predict_proba\(X\)\[:, 1\]",
    ),
    (
        lambda: metrics.RocCurve.from_scores([0, 1], [0.1, 0.2], sample_weight=[1, -1]),
        r"sample_weight\[1\] is negative",
    ),
    (
        lambda: metrics.RocCurve.from_scores([0, 1], [0.1, 0.2], sample_weight=[0, 0]),
        "sample_weight holds zeros only",
    ),
    (lambda: metrics.PrCurve.from_scores([0, 0], [0.1, 0.2]), "holds no positive"),
    (lambda: metrics.PrCurve([1, 0.5], [0, 0.9]), "recall must reach from 0 to 1"),
    (lambda: metrics.Calibration([0.1], [1.5], [3]), r"predicted\[0\] is 1.5"),
    (lambda: metrics.Calibration([0.1], [0.5], [0]), r"counts\[0\] is 0"),
    (lambda: metrics.Calibration.from_scores([0, 1], [0.1, 1.5]), r"y_prob\[1\] is 1.5"),
    (
        lambda: metrics.Calibration.from_scores([0, 1], [0.1, 0.5], bins=0),
        "bins is 0: a whole",
    ),
    (
        lambda: metrics.Calibration.from_scores([0, 1], [0.1, 0.5], strategy="log"),  # type: ignore[arg-type]
        "'uniform' or 'quantile', not 'log'",
    ),
    (lambda: metrics.ConfusionMatrix(["a", "b"], [[1, 2], [3]]), r"counts\[1\] has 1"),
    (lambda: metrics.ConfusionMatrix(["a"], [[1.5]]), r"counts\[0\]\[0\] is 1.5: a whole"),  # type: ignore[list-item]
    (lambda: metrics.ConfusionMatrix(["a"], [[-1]]), r"counts\[0\]\[0\] is -1"),
    (lambda: metrics.ConfusionMatrix(["a"], [[0]]), "zeros only"),
    (
        lambda: metrics.ConfusionMatrix.from_labels(["a", "b"], ["a", "c"], labels=["a", "b"]),
        r"y_pred\[1\] is 'c', which is none of the labels",
    ),
    (lambda: metrics.ConfusionMatrix.from_labels([1, "1"], [1, 1]), "is '1', as labels"),  # type: ignore[arg-type]
    (lambda: metrics.Histogram([0, 2, 1], [1, 1]), r"edges\[2\] is 1.0 after 2.0"),
    (lambda: metrics.Histogram([0, 1], [1, 1]), "edges but the first has 1, counts has 2"),
    (lambda: metrics.Histogram([0, 1], [0]), "zeros only"),
    (lambda: metrics.Histogram.from_values([1, 5], bins=[0, 2]), r"values\[1\] is 5.0"),
    (lambda: metrics.Histogram.from_values([1, 5], bins=201), "bins is 201: a whole number"),
    (lambda: metrics.Histogram.from_values(pd.array([1, None])), r"values\[1\] is nan"),
    (lambda: metrics.Histogram.from_values([0, 5e-324]), "Too many bins for data range.*fewer"),
    (lambda: metrics.Histogram.from_values([1e200]), r"values\[0\] is 1e\+200: .*1e\+150"),
    (lambda: metrics.Histogram.from_values([1], bins=2.5), "must be a list or array"),  # type: ignore[arg-type]
    (lambda: metrics.Quantiles.from_values([1e308, -1e308]), r"values\[0\] is 1e\+308"),
    (lambda: metrics.Quantiles([0.1, 1.1], [1, 2]), r"levels\[1\] is 1.1"),
    (lambda: metrics.Quantiles([0.1, 0.2], [2, 1]), r"values\[1\] is 1.0 after 2.0"),
    (lambda: metrics.FeatureImportance(["a", ""], [1, 2]), r"features\[1\] is ''"),
    (lambda: metrics.FeatureImportance.from_mapping({}), "must not be empty"),
    (lambda: metrics.FeatureImportance.from_mapping({"a": math.inf}), r"importances\[0\] is inf"),
    (lambda: metrics.Table(["a"], [[1], [1, 2]]), r"cells\[1\] has 2"),
    (lambda: metrics.Table(["a"], [[{}]]), r"cells\[0\], column 'a', holds dict"),  # type: ignore[list-item]
    (lambda: metrics.Table(["a"], [["x" * 1001]]), "holds 1001 characters"),
    (lambda: metrics.Table.from_frame(pd.DataFrame({"a": range(1001)})), "1001 rows are too many"),
    (lambda: metrics.Table.from_frame(pd.DataFrame([[1, 2]], columns=["a", "a"])), "'a', as"),
    (lambda: metrics.Table(["a"], [["\ud800"]]), r"cells\[0\], column 'a', holds str"),
    (lambda: metrics.Table(["a"], [5]), r"cells\[0\] must be a list"),  # type: ignore[list-item]
    (lambda: metrics.Table.from_frame([1]), "takes a pandas DataFrame, not list"),  # type: ignore[arg-type]
    (lambda: metrics.TimeSeries([datetime(2026, 1, 1)], [1]), r"times\[0\].*time zone"),
    (lambda: metrics.TimeSeries([DAY, DAY], [1, 2]), r"times\[1\].*must be rising"),
    (lambda: metrics.TimeSeries.from_series(pd.Series([1.0])), "time zone"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=range(len(REFUSED)))
def test_refuses_with_the_place(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        make()


@pytest.mark.parametrize(
    "body", ["", "[1]", '{"fpr": [0, 1]}', '{"fpr": ["0", 1], "tpr": [0, 1]}', "\x00"]
)
def test_unreadable_json_is_refused(body: str) -> None:
    with pytest.raises(InvalidInput, match="is no roc_curve"):
        metrics.RocCurve.from_json(body)


def test_validation_holds_for_stored_json_too() -> None:
    with pytest.raises(InvalidInput, match=r"tpr\[1\] is 3.0"):
        metrics.RocCurve.from_json('{"fpr": [0, 1], "tpr": [0, 3]}')


@pytest.mark.parametrize(
    ("given_value", "kept"),
    [
        (1, 1.0),
        (True, 1.0),
        (np.bool_(False), 0.0),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.array(2.5), 2.5),
        (Decimal("0.1"), 0.1),
        (math.inf, math.inf),
    ],
)
def test_a_scalar_is_any_real_number(given_value: Any, kept: float) -> None:
    scalar = metrics.Scalar(given_value)
    assert float(scalar) == kept
    assert type(scalar.value) is float


def test_metrics_are_equal_and_hashable_by_value() -> None:
    one = metrics.RocCurve(np.array([0, 0.2, 1]), np.array([0, 0.7, 1]))  # type: ignore[arg-type]
    two = metrics.RocCurve([0, 0.2, 1], (0, 0.7, 1))
    assert one == two
    assert len({one, two}) == 1


def test_a_long_curve_shows_itself_in_one_line() -> None:
    curve = metrics.RocCurve.from_scores([0, 1] * 500, np.linspace(0, 1, 1000))
    assert repr(curve) == f"RocCurve(auc={curve.auc:.6g})"


def test_curves_are_compared_at_equal_places() -> None:
    better = metrics.RocCurve([0, 0.1, 1], [0, 0.9, 1])
    worse = metrics.RocCurve([0, 0.5, 1], [0, 0.9, 1])
    found = better.compare(worse)
    assert found.scalars["auc"].delta == pytest.approx(better.auc - worse.auc)
    at_tenth = next(row for row in found.rows if row["fpr"] == 0.1)
    assert at_tenth == {
        "fpr": 0.1,
        "tpr": pytest.approx(0.9),
        "tpr_baseline": pytest.approx(0.18),
        "tpr_delta": pytest.approx(0.72),
    }


def test_a_curve_is_compared_at_the_upper_end_of_a_vertical_step() -> None:
    step = metrics.RocCurve([0, 0, 1], [0, 0.8, 1])
    assert step.aligned_rows()[0] == {"fpr": 0.0, "tpr": 0.8}


def test_rows_are_compared_where_both_have_them() -> None:
    old = metrics.FeatureImportance.from_mapping({"age": 1, "income": 3})
    new = metrics.FeatureImportance.from_mapping({"age": 2, "tenure": 1})
    assert new.compare(old).rows == [
        {
            "feature": "age",
            "importance": 2.0,
            "importance_baseline": 1.0,
            "importance_delta": 1.0,
            "rank": 1,
            "rank_baseline": 2,
            "rank_delta": -1,
        }
    ]


def test_different_types_are_not_compared() -> None:
    with pytest.raises(InvalidInput, match="A scalar can only be compared with another"):
        metrics.Scalar(1).compare(metrics.Vector([1]))


def test_only_the_greatest_features_are_kept() -> None:
    importance = metrics.FeatureImportance.from_mapping({f"f{i}": -i for i in range(500)})
    assert len(importance.features) == 200
    assert importance.features[0] == "f499"
    assert importance.total == 500
    assert metrics.FeatureImportance.from_json(importance.to_json()) == importance


def test_a_table_keeps_what_a_frame_holds() -> None:
    frame = pd.DataFrame(
        {
            "count": pd.array([1, None], dtype="Int64"),
            "share": [0.5, math.nan],
            "when": pd.to_datetime(["2026-01-02", "NaT"]),
            "kind": pd.Categorical(["a", None]),
            "ok": [True, False],
        }
    )
    table = metrics.Table.from_frame(frame)
    assert table.columns == ("count", "share", "when", "kind", "ok")
    assert table.cells == (
        (1, 0.5, "2026-01-02T00:00:00", "a", True),
        (None, None, None, None, False),
    )


def test_a_time_series_is_kept_in_utc_and_gaps_are_left_out() -> None:
    index = pd.date_range("2026-01-01", periods=3, tz="Europe/Paris")
    found = metrics.TimeSeries.from_series(pd.Series([1.0, None, 3.0], index=index))
    assert found.times == (
        datetime(2025, 12, 31, 23, tzinfo=UTC),
        datetime(2026, 1, 2, 23, tzinfo=UTC),
    )
    assert found.scalars() == {"mean": 2.0, "last": 3.0}
    elsewhere = timezone(timedelta(hours=1))
    assert metrics.TimeSeries([DAY], [1]) == metrics.TimeSeries([DAY.astimezone(elsewhere)], [1])


def test_a_histogram_knows_mean_and_deviation_of_the_values() -> None:
    values = np.random.default_rng(1).normal(3, 2, 1000)
    exact = metrics.Histogram.from_values(values)
    assert exact.scalars() == {
        "count": 1000.0,
        "mean": pytest.approx(values.mean()),
        "std": pytest.approx(values.std()),
    }
    binned = metrics.Histogram(exact.edges, exact.counts)
    assert binned.mean == pytest.approx(exact.mean, abs=0.1)
    assert binned.std == pytest.approx(exact.std, abs=0.1)


def test_bins_may_be_an_integer_of_numpy() -> None:
    assert len(metrics.Histogram.from_values([1, 2], bins=np.int64(3)).counts) == 3  # type: ignore[arg-type]


def test_a_type_must_have_a_name_that_can_be_stored() -> None:
    with pytest.raises(InvalidInput, match=r"Lift\.type is 'Lift Curve'"):

        class Lift(metrics.Scalar):
            type = "Lift Curve"


def test_importing_the_types_loads_nothing_heavy() -> None:
    heavy = ("numpy", "pandas", "pyarrow", "sqlalchemy", "sklearn")
    code = (
        "import sys, model_envelope.metrics as m\n"
        "m.to_points('roc', m.RocCurve([0, .5, 1], [0, .9, 1]))\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
