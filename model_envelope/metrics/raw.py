"""Labels, scores and values as users have them, to numpy arrays; imported when needed."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from model_envelope.errors import InvalidInput
from model_envelope.metrics import checks

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Ranked(NamedTuple):
    """Cumulative (weighted) counts at each distinct score, highest first."""

    thresholds: Floats
    true_positives: Floats
    false_positives: Floats


def finite(values: Any, what: str, largest: float = np.inf) -> Floats:
    """A 1-dimensional array of finite numbers, at least one, none larger or smaller than that.

    Raises:
        InvalidInput: it is something else; says where.
    """
    array = _one_dimension(values, what)
    if array.dtype.kind not in "buif":
        array = np.array(checks.numbers(values, what))
    numbers = array.astype(np.float64)
    bad = ~(np.isfinite(numbers) & (np.abs(numbers) <= largest))
    if bad.any():
        at = int(bad.argmax())
        limit = f" up to ±{largest:g}" if largest < np.inf else ""
        raise InvalidInput(f"{what}[{at}] is {numbers[at]}: a finite number{limit} is expected.")
    return numbers


def labels(values: Any, what: str) -> npt.NDArray[Any]:
    """A 1-dimensional array of labels, none missing, at least one.

    Raises:
        InvalidInput: it is something else; says where.
    """
    array = _one_dimension(values, what)
    if array.dtype.kind in "fO":
        for i, value in enumerate(array.tolist()):
            if checks.missing(value):
                raise InvalidInput(f"{what}[{i}] is {value}: drop rows without a label.")
    return array


def binary(values: Any, positive: object) -> Bools:
    """Which of the true labels are positive.

    Raises:
        InvalidInput: that cannot be told, or `positive` does not occur.
    """
    array = labels(values, "y_true")
    found = set(array.tolist())
    if positive is None:
        if not (found <= {0, 1} or found <= {-1, 1}):
            shown = ", ".join(sorted(map(repr, found))[:5])
            raise InvalidInput(f"y_true holds {shown}: say which is the positive= label.")
        positive = 1
    elif positive not in found:
        raise InvalidInput(f"y_true holds no {positive!r}, the positive= label.")
    return np.asarray(array == positive, dtype=np.bool_)


def rank(y_true: Any, y_score: Any, positive: object, sample_weight: Any) -> Ranked:
    """Count true and false positives as the threshold falls.

    The method of scikit-learn's `confusion_matrix_at_thresholds`: one threshold for each
    distinct score, so that tied scores are one step.

    Raises:
        InvalidInput: labels, scores and weights do not fit; says where.
    """
    truth = binary(y_true, positive)
    score = finite(y_score, "y_score")
    checks.same_length(y_true=truth, y_score=score)
    weight = _weights(sample_weight, len(truth))
    used = weight > 0
    truth, score, weight = truth[used], score[used], weight[used]
    order = np.argsort(-score, kind="stable")
    truth, score, weight = truth[order], score[order], weight[order]
    last = np.r_[np.flatnonzero(np.diff(score)), len(score) - 1]
    return Ranked(
        thresholds=score[last],
        true_positives=np.cumsum(weight * truth)[last],
        false_positives=np.cumsum(weight * ~truth)[last],
    )


def _weights(sample_weight: Any, n: int) -> Floats:
    if sample_weight is None:
        return np.ones(n)
    weight = finite(sample_weight, "sample_weight")
    checks.same_length(y_true=range(n), sample_weight=weight)
    if (weight < 0).any():
        raise InvalidInput(f"sample_weight[{int((weight < 0).argmax())}] is negative.")
    if not weight.any():
        raise InvalidInput("sample_weight holds zeros only: nothing is counted.")
    return weight


def _one_dimension(values: Any, what: str) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise InvalidInput(
            f"{what} must have one dimension, not the shape {array.shape}. For a model of two "
            "classes pass the positive one's column, predict_proba(X)[:, 1]."
        )
    if not len(array):
        raise InvalidInput(f"{what} is empty.")
    return array
