"""The families of models for client lifetime value, each fitted by one function.

Every model takes a frame of `FEATURES`, one row per customer, and gives `ltv`: the dollars
that the customer will spend in the `HOLDOUT_WEEKS` after the features' day.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor

from client_ltv.buy_till_you_die import BuyTillYouDie, fit_buy_till_you_die
from client_ltv.features import HOLDOUT_WEEKS, customer_features, spend_after

FEATURES = [
    "frequency",
    "recency",
    "age",
    "repeat_value",
    "first_value",
    "spend",
    "cds",
    "recent_spend",
]


def spend_rate(customers: pd.DataFrame) -> pd.Series[float]:
    """Everybody goes on spending as until now: what any model has to beat."""
    per_week = customers["spend"] / (customers["age"] + 1 / 7)
    return (per_week * HOLDOUT_WEEKS).rename("ltv")


@dataclass(frozen=True)
class Boosting:
    """Gradient boosting on what customers did next on earlier days."""

    regressor: HistGradientBoostingRegressor

    def predict(self, customers: pd.DataFrame) -> pd.Series[float]:
        """Dollars that each customer will spend in the next `HOLDOUT_WEEKS`."""
        dollars = self.regressor.predict(_relative(customers))
        return pd.Series(dollars, index=customers.index, name="ltv")


def fit_boosting(transactions: pd.DataFrame, as_of: date) -> Boosting:
    """Learn from three earlier days and the 13 weeks after each.

    All of it lies before `as_of`, so the model knows nothing that it would not have known
    on that day.
    """
    outcome_weeks = 13
    past, outcomes = [], []
    for weeks_ago in (13, 20, 26):
        day = as_of - timedelta(weeks=weeks_ago)
        customers = customer_features(transactions, day)
        spent = customers["customer_id"].map(spend_after(transactions, day, outcome_weeks))
        past.append(customers)
        outcomes.append(spent.fillna(0.0) * HOLDOUT_WEEKS / outcome_weeks)
    regressor = HistGradientBoostingRegressor(
        # Spend is positive, mostly zero, with a long tail: what a Poisson loss is made for.
        loss="poisson",
        # Few shallow trees: what single customers will do is mostly chance.
        max_depth=3,
        learning_rate=0.05,
        max_iter=80,
        min_samples_leaf=100,
        early_stopping=False,
        random_state=0,
    )
    return Boosting(regressor.fit(_relative(pd.concat(past)), pd.concat(outcomes)))


def _relative(customers: pd.DataFrame) -> pd.DataFrame:
    """Features that mean the same early and late in a customer's life."""
    return pd.DataFrame(
        {
            "frequency": customers["frequency"],
            "per_week": customers["frequency"] / (customers["age"] + 1),
            "silent_weeks": customers["age"] - customers["recency"],
            "repeat_value": customers["repeat_value"],
            "first_value": customers["first_value"],
            "recent_spend": customers["recent_spend"],
            "cds_per_purchase": customers["cds"] / (customers["frequency"] + 1),
        }
    )


def _buy_till_you_die(transactions: pd.DataFrame, as_of: date) -> BuyTillYouDie:
    return fit_buy_till_you_die(customer_features(transactions, as_of), HOLDOUT_WEEKS)


def _spend_rate(transactions: pd.DataFrame, as_of: date) -> Callable[..., pd.Series[float]]:
    return spend_rate


FAMILIES: Mapping[str, Callable[[pd.DataFrame, date], Any]] = {
    "bg_nbd": _buy_till_you_die,
    "boosting": fit_boosting,
    "spend_rate": _spend_rate,
}
"""Family name -> fit(transactions, as_of): a function or an object with `.predict`."""

QUESTIONS: Mapping[str, Mapping[str, str]] = {
    "bg_nbd": {"probability_alive": "probability_alive", "purchases": "expected_purchases"}
}
"""What else models of a family can answer: by name, the method that does."""
