"""How good predictions were, once the future is known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import spearmanr


def score(actual: pd.Series[float], predicted: pd.Series[float]) -> dict[str, float]:
    """Scalar metrics of predicted against actual dollars, row by row.

    Returns:
        `rmse` and `mae` in dollars; `total_ratio`, predicted over actual dollars of
        everybody; `spearman`, the rank correlation; `gini`, 1 when the customers are in the
        best order and 0 for a random one; `top_decile_lift`, dollars of the tenth with the
        highest predictions over those of a tenth taken at random.
    """
    error = predicted.to_numpy() - actual.to_numpy()
    deciles = by_decile(actual, predicted)
    return {
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mae": float(np.mean(np.abs(error))),
        "total_ratio": float(predicted.sum() / actual.sum()),
        "spearman": float(spearmanr(actual, predicted).statistic),
        "gini": gini(actual, predicted),
        "top_decile_lift": float(deciles["actual"].iloc[-1] / actual.mean()),
    }


def by_decile(actual: pd.Series[float], predicted: pd.Series[float]) -> pd.DataFrame:
    """Mean dollars by tenth of the customers, from lowest to highest prediction.

    Returns:
        Columns `decile` (1 to 10), `customers`, `predicted`, `actual`.
    """
    decile = pd.qcut(predicted.rank(method="first"), 10, labels=range(1, 11)).astype("int64")
    frame = pd.DataFrame({"decile": decile, "predicted": predicted, "actual": actual})
    return frame.groupby("decile", as_index=False).agg(
        customers=("actual", "size"), predicted=("predicted", "mean"), actual=("actual", "mean")
    )


def gini(actual: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Area that ordering by the prediction gains over a random order, as a share of the best."""
    dollars, by = np.asarray(actual, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    return _gain(dollars, order_by=by) / _gain(dollars, order_by=dollars)


def _gain(actual: npt.NDArray[np.float64], *, order_by: npt.NDArray[np.float64]) -> float:
    captured = np.cumsum(actual[np.argsort(-order_by, kind="stable")]) / actual.sum()
    # A random order captures (1/n, 2/n, ..., 1), whose mean this is.
    return float(captured.mean() - (len(actual) + 1) / (2 * len(actual)))
