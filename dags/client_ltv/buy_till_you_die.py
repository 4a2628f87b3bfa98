"""BG/NBD for how often a customer will buy, Gamma-Gamma for how much each time.

Fitted on nothing but past purchases: no customer's future is needed, and a segment of a few
hundred customers is enough.

Sources:
    P. S. Fader, B. G. S. Hardie, K. L. Lee: "Counting Your Customers" the Easy Way: An
    Alternative to the Pareto/NBD Model. Marketing Science 24 (2005), 275-284.
    P. S. Fader, B. G. S. Hardie: The Gamma-Gamma Model of Monetary Value (2013),
    http://www.brucehardie.com/notes/025/
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize
from scipy.special import betaln, gammaln, hyp2f1

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class BuyTillYouDie:
    """A fitted model. Parameters are named as in the papers; times are in weeks.

    Purchases come at rate ~ Gamma(r, alpha) until the customer drops out, after each
    purchase with probability ~ Beta(a, b); values spread around a customer's own mean by
    Gamma(p), and the means over customers by q and gamma.
    """

    r: float
    alpha: float
    a: float
    b: float
    p: float
    q: float
    gamma: float
    weeks: float

    def predict(self, customers: pd.DataFrame) -> pd.Series[float]:
        """Dollars that each customer will spend in the next `weeks`."""
        value = self.expected_purchases(customers) * self.purchase_value(customers)
        return value.rename("ltv")

    def expected_purchases(self, customers: pd.DataFrame) -> pd.Series[float]:
        """Days with a purchase in the next `weeks`: equation (10) of the BG/NBD paper."""
        x, _, age = _history(customers)
        shape, rest = self.r + x, self.a + self.b + x - 1
        later = self.alpha + age + self.weeks
        unseen = ((self.alpha + age) / later) ** shape * hyp2f1(
            shape, self.b + x, rest, self.weeks / later
        )
        expected = rest / (self.a - 1) * (1 - unseen) * self._alive(customers)
        return pd.Series(expected, index=customers.index, name="purchases")

    def probability_alive(self, customers: pd.DataFrame) -> pd.Series[float]:
        """Probability that the customer has not dropped out yet."""
        return pd.Series(self._alive(customers), index=customers.index, name="alive")

    def purchase_value(self, customers: pd.DataFrame) -> pd.Series[float]:
        """Dollars per purchase: the customer's own mean, drawn towards everybody's."""
        x, mean = customers["frequency"], customers["repeat_value"]
        return self.p * (self.gamma + x * mean) / (self.p * x + self.q - 1)

    def _alive(self, customers: pd.DataFrame) -> Vector:
        x, recency, age = _history(customers)
        odds = self.a / (self.b + np.maximum(x, 1) - 1)
        odds *= ((self.alpha + age) / (self.alpha + recency)) ** (self.r + x)
        return 1 / (1 + np.where(x > 0, odds, 0.0))


def fit_buy_till_you_die(customers: pd.DataFrame, weeks: float) -> BuyTillYouDie:
    """Fit both parts by maximum likelihood.

    Args:
        customers: `customer_features`, of all customers: those who bought once count too.
        weeks: how far the model will look ahead.

    Raises:
        ValueError: nobody came back, or the likelihood has no maximum.
    """
    r, alpha, a, b = fit_purchases(customers)
    p, q, gamma = fit_values(customers)
    return BuyTillYouDie(r=r, alpha=alpha, a=a, b=b, p=p, q=q, gamma=gamma, weeks=weeks)


def fit_purchases(customers: pd.DataFrame) -> tuple[float, ...]:
    """r, alpha, a, b of BG/NBD: equation (6) of its paper, as logarithms."""
    # Many customers share one history, so each distinct one is evaluated once.
    histories, counts = np.unique(np.stack(_history(customers)), axis=1, return_counts=True)
    x, recency, age = histories

    def log_likelihood(r: float, alpha: float, a: float, b: float) -> float:
        shape = r + x
        still_there = -shape * np.log(alpha + age)
        dropped_out = np.log(a / (b + np.maximum(x, 1) - 1)) - shape * np.log(alpha + recency)
        terms = gammaln(shape) - gammaln(r) + r * np.log(alpha) + betaln(a, b + x) - betaln(a, b)
        terms += np.logaddexp(still_there, np.where(x > 0, dropped_out, -np.inf))
        return float(counts @ terms)

    return _maximum(log_likelihood, parameters=4)


def fit_values(customers: pd.DataFrame) -> tuple[float, ...]:
    """p, q, gamma of Gamma-Gamma: equation (1a) of its note, over those who came back."""
    came_back = customers[(customers["frequency"] > 0) & (customers["repeat_value"] > 0)]
    if came_back.empty:
        raise ValueError("No customer bought a second time: there are no repeat values to fit.")
    x = came_back["frequency"].to_numpy(dtype=np.float64)
    mean = came_back["repeat_value"].to_numpy(dtype=np.float64)

    def log_likelihood(p: float, q: float, gamma: float) -> float:
        shape = p * x
        terms = gammaln(shape + q) - gammaln(shape) - gammaln(q) + q * np.log(gamma)
        terms += (shape - 1) * np.log(mean) + shape * np.log(x)
        return float((terms - (shape + q) * np.log(gamma + x * mean)).sum())

    return _maximum(log_likelihood, parameters=3)


def _history(customers: pd.DataFrame) -> tuple[Vector, Vector, Vector]:
    x, recency, age = (
        customers[name].to_numpy(dtype=np.float64) for name in ("frequency", "recency", "age")
    )
    return x, recency, age


def _maximum(log_likelihood: Callable[..., float], *, parameters: int) -> tuple[float, ...]:
    def loss(logarithms: Any) -> float:
        return -log_likelihood(*np.exp(logarithms))

    # On a logarithmic scale every parameter stays positive without bounds.
    found = minimize(
        loss,
        np.zeros(parameters),
        method="Nelder-Mead",
        options={"xatol": 1e-6, "fatol": 1e-6, "maxiter": 5000},
    )
    if not found.success:
        raise ValueError(f"The likelihood has no maximum that could be found: {found.message}")
    return tuple(float(value) for value in np.exp(found.x))
