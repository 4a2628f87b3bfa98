"""Curves over all thresholds of a classifier: ROC, and precision against recall."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Self

from model_envelope.errors import InvalidInput
from model_envelope.metrics import checks, vega
from model_envelope.metrics.metric_type import MetricType
from model_envelope.metrics.reduction import interpolate, reduce, take

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

GRID = tuple(i / 100 for i in range(101))
AUC_TOLERANCE = 0.02


@dataclass(frozen=True, repr=False)
class RocCurve(MetricType):
    """Receiver operating characteristic, with the area under it.

    Takes the arrays that scikit-learn's `roc_curve` returns, in that order. More than 200
    vertices are reduced to 200 of the same shape; `auc` stays that of all.

    Attributes:
        fpr: false positive rates, from 0 to 1, never falling.
        tpr: true positive rates, likewise.
        thresholds: scores from which on the answer is positive, never rising; may be
            left out. The first may be None (or infinite): nothing is positive.
        auc: area under the curve; computed by the trapezoidal rule unless given.
    """

    type: ClassVar[str] = "roc_curve"
    keys: ClassVar[tuple[str, ...]] = ("fpr",)
    fpr: Sequence[float]
    tpr: Sequence[float]
    thresholds: Sequence[float | None] = ()
    auc: float = math.nan

    def __post_init__(self) -> None:
        fpr, tpr = _rates(self.fpr, "fpr"), _rates(self.tpr, "tpr")
        checks.same_length(fpr=fpr, tpr=tpr)
        _spans((fpr[0], tpr[0]), (fpr[-1], tpr[-1]))
        thresholds = _thresholds(self.thresholds, len(fpr))
        area = math.fsum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in _steps(fpr, tpr))
        auc = checks.number(self.auc, "auc")
        if math.isnan(auc):
            auc = area
        if not abs(auc - area) <= AUC_TOLERANCE:
            raise InvalidInput(f"auc is {auc:g}, but the area under these points is {area:g}.")
        kept = reduce(fpr, tpr)
        self._normalise(
            fpr=take(fpr, kept), tpr=take(tpr, kept), thresholds=take(thresholds, kept), auc=auc
        )

    @classmethod
    def from_scores(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        *,
        positive: object = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """From true labels and scores, as `sklearn.metrics.roc_curve` computes it.

        Args:
            y_true: (n,) labels: booleans, 0/1, -1/1, or any with `positive`.
            y_score: (n,) scores; higher means more likely positive.
            positive: the positive label.
            sample_weight: (n,) weights, not negative.

        Raises:
            InvalidInput: lengths differ, a value is missing or not finite, or only one
                class occurs, so that there is no curve.
        """
        from model_envelope.metrics.raw import rank

        ranked = rank(y_true, y_score, positive, sample_weight)
        hits, false_alarms = ranked.true_positives, ranked.false_positives
        if not (hits[-1] > 0 and false_alarms[-1] > 0):
            raise InvalidInput("y_true holds one class only: a ROC curve needs both.")
        return cls(
            fpr=[0.0, *(false_alarms / false_alarms[-1]).tolist()],
            tpr=[0.0, *(hits / hits[-1]).tolist()],
            thresholds=[None, *ranked.thresholds.tolist()],
        )

    def scalars(self) -> dict[str, float]:
        """`auc`."""
        return {"auc": self.auc}

    def rows(self) -> list[dict[str, Any]]:
        """A row for each vertex: `vertex`, `fpr`, `tpr`, `threshold`."""
        thresholds = self.thresholds or (None,) * len(self.fpr)
        return [
            {"vertex": i, "fpr": x, "tpr": y, "threshold": threshold}
            for i, (x, y, threshold) in enumerate(zip(self.fpr, self.tpr, thresholds, strict=True))
        ]

    def aligned_rows(self) -> list[dict[str, Any]]:
        """The true positive rate at each hundredth of the false positive rate."""
        return [{"fpr": at, "tpr": interpolate(self.fpr, self.tpr, at)} for at in GRID]

    @classmethod
    def spec(cls, n_models: int) -> dict[str, Any]:
        """A line for each model over the diagonal of a guess."""
        return vega.over_diagonal(
            vega.chart(
                "ROC curve: true against false positive rate",
                mark="line",
                x=vega.share("fpr", "False positive rate"),
                y=vega.share("tpr", "True positive rate"),
                order=vega.quantitative("vertex"),
                **vega.line_by_model(n_models),
            )
        )


@dataclass(frozen=True, repr=False)
class PrCurve(MetricType):
    """Precision against recall, with the average precision.

    Takes the arrays that scikit-learn's `precision_recall_curve` returns, in that order:
    falling recall is turned round, and the threshold that is missing for the point with
    recall 0 is filled in. More than 200 vertices are reduced to 200 of the same shape;
    `average_precision` stays that of all.

    Attributes:
        precision: share of the answered positives that are positive, 0 to 1.
        recall: share of the positives that are found, from 0 to 1, never falling.
        thresholds: scores from which on the answer is positive; may be left out.
        average_precision: mean of the precision weighted by the rise of recall; computed
            unless given.
    """

    type: ClassVar[str] = "pr_curve"
    keys: ClassVar[tuple[str, ...]] = ("recall",)
    precision: Sequence[float]
    recall: Sequence[float]
    thresholds: Sequence[float | None] = ()
    average_precision: float = math.nan

    def __post_init__(self) -> None:
        precision = checks.numbers(self.precision, "precision", low=0, high=1)
        recall = checks.numbers(self.recall, "recall", low=0, high=1)
        n = checks.same_length(precision=precision, recall=recall)
        thresholds = checks.listed(self.thresholds, "thresholds")
        falling = recall[0] > recall[-1]
        if len(thresholds) == n - 1 and n > 1:
            thresholds.insert(n if falling else 0, None)
        if falling:
            precision, recall, thresholds = precision[::-1], recall[::-1], thresholds[::-1]
        checks.ordered(recall, "recall", "not falling")
        if (recall[0], recall[-1]) != (0, 1):
            raise InvalidInput("recall must reach from 0 to 1: add the points at the ends.")
        average = checks.number(self.average_precision, "average_precision")
        if math.isnan(average):
            average = math.fsum((x - x0) * y for (x0, _), (x, y) in _steps(recall, precision))
        checks.numbers([average], "average_precision", low=0, high=1 + 1e-9)
        kept = reduce(recall, precision)
        self._normalise(
            precision=take(precision, kept),
            recall=take(recall, kept),
            thresholds=take(_thresholds(thresholds, n), kept),
            average_precision=average,
        )

    @classmethod
    def from_scores(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        *,
        positive: object = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """From true labels and scores, as `sklearn.metrics.precision_recall_curve` computes it.

        Arguments and errors are those of `RocCurve.from_scores`, but that positives alone
        are enough.
        """
        from model_envelope.metrics.raw import rank

        ranked = rank(y_true, y_score, positive, sample_weight)
        hits = ranked.true_positives
        if not hits[-1] > 0:
            raise InvalidInput("y_true holds no positive: there is no recall without any.")
        return cls(
            precision=[1.0, *(hits / (hits + ranked.false_positives)).tolist()],
            recall=[0.0, *(hits / hits[-1]).tolist()],
            thresholds=[None, *ranked.thresholds.tolist()],
        )

    def scalars(self) -> dict[str, float]:
        """`average_precision`."""
        return {"average_precision": self.average_precision}

    def rows(self) -> list[dict[str, Any]]:
        """A row for each vertex: `vertex`, `recall`, `precision`, `threshold`."""
        thresholds = self.thresholds or (None,) * len(self.recall)
        return [
            {"vertex": i, "recall": x, "precision": y, "threshold": threshold}
            for i, (x, y, threshold) in enumerate(
                zip(self.recall, self.precision, thresholds, strict=True)
            )
        ]

    def aligned_rows(self) -> list[dict[str, Any]]:
        """The precision at each hundredth of the recall."""
        return [
            {"recall": x, "precision": interpolate(self.recall, self.precision, x)} for x in GRID
        ]

    @classmethod
    def spec(cls, n_models: int) -> dict[str, Any]:
        """A line for each model."""
        return vega.chart(
            "Precision against recall",
            mark="line",
            x=vega.share("recall", "Recall"),
            y=vega.share("precision", "Precision"),
            order=vega.quantitative("vertex"),
            **vega.line_by_model(n_models),
        )


def _rates(values: Sequence[float], what: str) -> tuple[float, ...]:
    rates = checks.numbers(values, what, low=0, high=1)
    checks.ordered(rates, what, "not falling")
    return rates


def _spans(start: tuple[float, float], end: tuple[float, float]) -> None:
    if start != (0, 0) or end != (1, 1):
        raise InvalidInput(
            f"A ROC curve goes from (0, 0) to (1, 1), not from {start} to {end}: add the "
            "points at the ends."
        )


def _thresholds(values: Sequence[float | None], n: int) -> tuple[float | None, ...]:
    """Checked thresholds, highest first; none at all are fine."""
    listed = checks.listed(values, "thresholds")
    if not listed:
        return ()
    checks.same_length(points=range(n), thresholds=listed)
    if listed[0] in (None, math.inf):
        rest = _thresholds_below(listed[1:])
        return (None, *rest)
    return _thresholds_below(listed)


def _thresholds_below(values: list[Any]) -> tuple[float, ...]:
    thresholds = checks.numbers(values, "thresholds")
    checks.ordered(thresholds, "thresholds", "not rising")
    return thresholds


def _steps(
    x: Sequence[float], y: Sequence[float]
) -> pairwise[tuple[tuple[float, float], tuple[float, float]]]:
    return pairwise(zip(x, y, strict=True))
