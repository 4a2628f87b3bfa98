"""Long curves keep their shape in 200 vertices, and their numbers exactly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from model_envelope import metrics
from model_envelope.metrics.reduction import LIMIT, reduce

Floats = npt.NDArray[np.float64]


@st.composite
def rising_curves(draw: st.DrawFn) -> tuple[Floats, Floats]:
    """Long lines from (0, 0) to (1, 1): concave, jagged, staircases, with long jumps."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(LIMIT, 3000))
    spread = draw(st.floats(0.02, 3))
    dx, dy = random.gamma(spread, 1, (2, n)) + 1e-12
    form = draw(st.sampled_from(["jagged", "staircase", "concave"]))
    if form == "staircase":
        dx[::2], dy[1::2] = 0, 0
    if form == "concave":
        order = np.argsort(-dy / dx)
        dx, dy = dx[order], dy[order]
    x, y = (np.concatenate([[0], np.cumsum(d)]) for d in (dx, dy))
    return x / x[-1], y / y[-1]


@given(rising_curves())
def test_a_roc_curve_keeps_its_area_and_ends(curve: tuple[Floats, Floats]) -> None:
    x, y = curve
    found = metrics.RocCurve(x.tolist(), y.tolist())
    assert len(found.fpr) <= LIMIT
    assert (found.fpr[0], found.tpr[0], found.fpr[-1], found.tpr[-1]) == (0, 0, 1, 1)
    assert set(zip(found.fpr, found.tpr, strict=True)) <= set(zip(x, y, strict=True))
    assert found.auc == pytest.approx(np.trapezoid(y, x), abs=1e-12)
    assert np.trapezoid(found.tpr, found.fpr) == pytest.approx(found.auc, abs=2e-3)
    assert metrics.RocCurve.from_json(found.to_json()) == found


@given(rising_curves())
def test_no_vertex_is_far_from_the_reduced_line(curve: tuple[Floats, Floats]) -> None:
    x, y = curve
    kept = reduce(x.tolist(), y.tolist())
    # Along the diagonal a rising line is a function, vertical steps and all.
    along, across = x + y, y - x
    off = np.abs(across - np.interp(along, along[kept], across[kept]))
    assert off.max() < 0.1


@given(st.lists(st.floats(0, 1), min_size=2, max_size=LIMIT))
def test_a_short_line_is_kept_as_it_is(y: list[float]) -> None:
    assert reduce(list(range(len(y))), y) == list(range(len(y)))


def test_vertices_on_a_straight_line_are_not_kept() -> None:
    assert reduce(list(range(1000)), [2.0 * i for i in range(1000)]) == [0, 999]


def test_a_spike_is_kept() -> None:
    y = [0.0] * 5000
    y[3210] = 1.0
    assert 3210 in reduce(list(range(5000)), y)


def test_a_line_that_returns_to_its_start_is_reduced() -> None:
    angle = np.linspace(0, 2 * np.pi, 1000)
    kept = reduce(np.cos(angle).tolist(), np.sin(angle).tolist())
    assert len(kept) == LIMIT
    assert max(np.diff(kept)) < 20


def test_scores_of_many_rows_give_exact_numbers() -> None:
    random = np.random.default_rng(7)
    truth = random.random(20_000) < 0.2
    score = random.normal(truth, 1)
    roc = metrics.RocCurve.from_scores(truth, score)
    pr = metrics.PrCurve.from_scores(truth, score)
    assert len(roc.fpr) == len(pr.recall) == LIMIT
    assert roc.auc == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
    assert pr.average_precision == pytest.approx(average_precision_score(truth, score), abs=1e-12)
    assert pr.thresholds[0] is None
    assert len(roc.to_json()) < 20_000


def test_a_time_series_keeps_its_mean() -> None:
    import pandas as pd

    index = pd.date_range("2020-01-01", periods=5000, freq="h", tz="UTC")
    values = np.random.default_rng(1).normal(size=5000).cumsum()
    found = metrics.TimeSeries.from_series(pd.Series(values, index=index))
    assert len(found.times) <= 1000
    assert found.mean == pytest.approx(values.mean())
    assert found.scalars()["last"] == values[-1]
