"""Whether predicted probabilities come true."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from model_envelope.errors import InvalidInput
from model_envelope.metrics import checks, vega
from model_envelope.metrics.metric_type import MetricType

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

LIMIT = 200


@dataclass(frozen=True, repr=False)
class Calibration(MetricType):
    """A reliability diagram: observed against predicted probability, in bins.

    Attributes:
        observed: share of positives in each bin, 0 to 1.
        predicted: mean predicted probability of each bin, rising, 0 to 1.
        counts: rows in each bin.
        brier: mean squared error of the probabilities; None where the rows themselves are
            not known.
    """

    type: ClassVar[str] = "calibration"
    keys: ClassVar[tuple[str, ...]] = ("predicted",)
    observed: Sequence[float]
    predicted: Sequence[float]
    counts: Sequence[int]
    brier: float | None = None

    def __post_init__(self) -> None:
        observed = checks.numbers(self.observed, "observed", low=0, high=1)
        predicted = checks.numbers(self.predicted, "predicted", low=0, high=1)
        counts = checks.whole_numbers(self.counts, "counts")
        n = checks.same_length(observed=observed, predicted=predicted, counts=counts)
        checks.at_most(n, LIMIT, "bins", "Use fewer bins.")
        checks.ordered(predicted, "predicted", "not falling")
        if 0 in counts:
            raise InvalidInput(f"counts[{counts.index(0)}] is 0: leave empty bins out.")
        brier = self.brier
        if brier is not None:
            (brier,) = checks.numbers([brier], "brier", low=0, high=1)
        self._normalise(observed=observed, predicted=predicted, counts=counts, brier=brier)

    @classmethod
    def from_scores(
        cls,
        y_true: ArrayLike,
        y_prob: ArrayLike,
        *,
        bins: int = 10,
        strategy: Literal["uniform", "quantile"] = "uniform",
        positive: object = None,
    ) -> Self:
        """From true labels and probabilities, as `sklearn.calibration.calibration_curve`.

        Args:
            y_true: (n,) labels: booleans, 0/1, -1/1, or any with `positive`.
            y_prob: (n,) probabilities of the positive class, 0 to 1.
            bins: how many, up to 200; empty ones are left out.
            strategy: bins of equal width, or of about equally many rows.
            positive: the positive label.

        Raises:
            InvalidInput: lengths differ, or a value is missing or out of range; says where.
        """
        import numpy as np

        from model_envelope.metrics import raw

        truth, probability = raw.binary(y_true, positive), raw.finite(y_prob, "y_prob")
        checks.same_length(y_true=truth, y_prob=probability)
        checks.numbers(probability, "y_prob", low=0, high=1)
        bins = checks.count(bins, "bins", low=1, high=LIMIT)
        if strategy not in ("uniform", "quantile"):
            raise InvalidInput(f"strategy must be 'uniform' or 'quantile', not {strategy!r}.")
        places = np.linspace(0, 1, bins + 1)
        edges = places if strategy == "uniform" else np.percentile(probability, places * 100)
        bin_of = np.searchsorted(edges[1:-1], probability)
        counts = np.bincount(bin_of, minlength=len(edges))
        used = counts > 0
        total_predicted = np.bincount(bin_of, weights=probability, minlength=len(edges))
        total_observed = np.bincount(bin_of, weights=truth, minlength=len(edges))
        return cls(
            observed=(total_observed[used] / counts[used]).tolist(),
            predicted=(total_predicted[used] / counts[used]).tolist(),
            counts=counts[used].tolist(),
            brier=float(np.mean((probability - truth) ** 2)),
        )

    def scalars(self) -> dict[str, float]:
        """`expected_error`, `maximum_error` over the bins, and `brier` where it is known.

        The expected calibration error is the mean distance of observed from predicted,
        weighted by rows (Naeini, Cooper and Hauskrecht, 2015).
        """
        errors = [abs(o - p) for o, p in zip(self.observed, self.predicted, strict=True)]
        weighted = math.fsum(e * n for e, n in zip(errors, self.counts, strict=True))
        found = {"expected_error": weighted / sum(self.counts), "maximum_error": max(errors)}
        return found if self.brier is None else {**found, "brier": self.brier}

    def rows(self) -> list[dict[str, Any]]:
        """A row for each bin: `predicted`, `observed`, `count`."""
        return [
            {"predicted": p, "observed": o, "count": n}
            for p, o, n in zip(self.predicted, self.observed, self.counts, strict=True)
        ]

    @classmethod
    def spec(cls, n_models: int) -> dict[str, Any]:
        """A line for each model over the diagonal of perfect calibration."""
        return vega.over_diagonal(
            vega.chart(
                "Calibration: observed against predicted probability",
                mark={"type": "line", "point": True, "tooltip": {"content": "data"}},
                x=vega.share("predicted", "Predicted probability"),
                y=vega.share("observed", "Observed share"),
                **vega.line_by_model(n_models),
            )
        )
