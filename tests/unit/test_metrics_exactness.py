"""What is computed from raw labels and scores equals scikit-learn's and numpy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from model_envelope import metrics

Floats = npt.NDArray[np.float64]

# Few different values, so that ties are the rule.
tied = st.integers(0, 8).map(lambda i: i / 8)


@st.composite
def classified(draw: st.DrawFn, weighted: bool = False) -> tuple[Any, Floats, Floats | None]:
    """Labels of both classes, scores with ties, weights of which some are 0."""
    n = draw(st.integers(2, 80))
    truth = draw(arrays(np.int64, n, elements=st.integers(0, 1)))
    truth[:2] = 0, 1
    score = draw(arrays(np.float64, n, elements=tied | st.floats(0, 1)))
    if not weighted:
        return truth, score, None
    weight = draw(arrays(np.float64, n, elements=st.sampled_from([0.0, 0.5, 1.0, 3.0])))
    weight[:2] = 1
    return truth, score, weight


either = classified() | classified(weighted=True)


@given(either)
def test_roc_curve(drawn: tuple[Any, Floats, Floats | None]) -> None:
    truth, score, weight = drawn
    fpr, tpr, thresholds = sk.roc_curve(truth, score, sample_weight=weight, drop_intermediate=False)
    found = metrics.RocCurve.from_scores(truth, score, sample_weight=weight)
    np.testing.assert_allclose(found.fpr, fpr, atol=1e-12)
    np.testing.assert_allclose(found.tpr, tpr, atol=1e-12)
    assert found.thresholds == (None, *thresholds[1:].tolist())
    assert found.auc == pytest.approx(
        sk.roc_auc_score(truth, score, sample_weight=weight), abs=1e-12
    )


@given(classified())
def test_roc_curve_of_scikit_learns_arrays(drawn: tuple[Any, Floats, None]) -> None:
    truth, score, _ = drawn
    found = metrics.RocCurve(*sk.roc_curve(truth, score))
    assert found.auc == pytest.approx(sk.roc_auc_score(truth, score), abs=1e-12)


@given(either)
def test_pr_curve(drawn: tuple[Any, Floats, Floats | None]) -> None:
    truth, score, weight = drawn
    precision, recall, thresholds = sk.precision_recall_curve(truth, score, sample_weight=weight)
    found = metrics.PrCurve.from_scores(truth, score, sample_weight=weight)
    np.testing.assert_allclose(found.precision, precision[::-1], atol=1e-12)
    np.testing.assert_allclose(found.recall, recall[::-1], atol=1e-12)
    assert found.thresholds == (None, *thresholds[::-1].tolist())
    exact = sk.average_precision_score(truth, score, sample_weight=weight)
    assert found.average_precision == pytest.approx(exact, abs=1e-12)


@given(classified())
def test_pr_curve_of_scikit_learns_arrays(drawn: tuple[Any, Floats, None]) -> None:
    truth, score, _ = drawn
    given_arrays = metrics.PrCurve(*sk.precision_recall_curve(truth, score))
    computed = metrics.PrCurve.from_scores(truth, score)
    assert given_arrays.thresholds == computed.thresholds
    np.testing.assert_allclose(given_arrays.recall, computed.recall, atol=1e-12)
    assert given_arrays.average_precision == pytest.approx(computed.average_precision, abs=1e-12)


@given(classified(), st.integers(1, 20), st.sampled_from(["uniform", "quantile"]))
def test_calibration(drawn: tuple[Any, Floats, None], bins: int, strategy: Any) -> None:
    truth, probability, _ = drawn
    observed, predicted = calibration_curve(truth, probability, n_bins=bins, strategy=strategy)
    found = metrics.Calibration.from_scores(truth, probability, bins=bins, strategy=strategy)
    np.testing.assert_allclose(found.observed, observed, atol=1e-12)
    np.testing.assert_allclose(found.predicted, predicted, atol=1e-12)
    assert sum(found.counts) == len(truth)
    assert found.brier == pytest.approx(sk.brier_score_loss(truth, probability), abs=1e-12)


@given(st.data())
def test_confusion_matrix(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 60))
    kind: st.SearchStrategy[Any] = data.draw(
        st.sampled_from([st.integers(0, 4), st.sampled_from("abc"), st.booleans()])
    )
    true = data.draw(st.lists(kind, min_size=n, max_size=n))
    predicted = data.draw(st.lists(kind, min_size=n, max_size=n))
    assume(len({*true, *predicted}) > 1)  # scikit-learn warns of a single class
    found = metrics.ConfusionMatrix.from_labels(true, predicted)
    assert found.labels == tuple(map(str, sorted({*true, *predicted})))
    assert [list(line) for line in found.counts] == sk.confusion_matrix(true, predicted).tolist()
    scalars = found.scalars()
    assert scalars["accuracy"] == pytest.approx(sk.accuracy_score(true, predicted))
    f1 = sk.f1_score(true, predicted, average="macro", zero_division=0)
    assert scalars["macro_f1"] == pytest.approx(f1)
    # ... and here of classes that are predicted but never occur.
    assume(set(predicted) <= set(true) and len(set(true)) > 1)
    assert scalars["balanced_accuracy"] == pytest.approx(
        sk.balanced_accuracy_score(true, predicted)
    )


@pytest.mark.parametrize(
    ("truth", "positive"),
    [
        ([False, True, True], None),
        ([-1, 1, 1], None),
        (["no", "yes", "yes"], "yes"),
        (np.array([0, 1, 1], dtype=object), None),
    ],
)
def test_labels_of_any_kind(truth: Any, positive: object) -> None:
    found = metrics.RocCurve.from_scores(truth, [0.1, 0.4, 0.3], positive=positive)
    assert found.auc == 1.0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), st.integers(1, 50))
def test_histogram(values: list[float], bins: int) -> None:
    counts, edges = np.histogram(values, bins=bins)
    assume((np.diff(edges) > 0).all())
    found = metrics.Histogram.from_values(values, bins=bins)
    assert found.counts == tuple(counts)
    assert found.edges == tuple(edges)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_quantiles(values: list[float]) -> None:
    found = metrics.Quantiles.from_values(values)
    np.testing.assert_allclose(found.values, np.quantile(values, found.levels), rtol=1e-12)
    assert found.scalars()["p50"] == pytest.approx(np.median(values))
