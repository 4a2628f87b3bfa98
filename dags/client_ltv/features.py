"""What is known of each customer on a day, and what they spent after it."""

from __future__ import annotations

from datetime import date

import pandas as pd

CALIBRATION_END = date(1997, 10, 1)
"""First day after the 39 weeks that the CDNOW literature fits its models on."""

HOLDOUT_WEEKS = 39

_DAYS = 7.0


def customer_features(transactions: pd.DataFrame, as_of: date) -> pd.DataFrame:
    """One row per customer who bought before `as_of`; later purchases are not looked at.

    Purchases of one day count as one. Times are in weeks, as in the literature:

    - `frequency`: days with a purchase after the first one
    - `recency`: from the first to the last purchase
    - `age`: from the first purchase to the day before `as_of` (called T there)
    - `repeat_value`: mean dollars of the days counted by `frequency`; 0 without any
    - `first_value`, `spend`: dollars on the first day, and in all
    - `cds`: number of CDs bought
    - `recent_spend`: dollars in the last 13 weeks

    and `segment`, the month of the first purchase, e.g. `1997-01`.

    Args:
        transactions: as `read_transactions` gives them.
        as_of: the first day that is not known yet.
    """
    end = pd.Timestamp(as_of)
    known = transactions[transactions["date"] < end]
    days = known.groupby(["customer_id", "date"], as_index=False)[["cds", "dollars"]].sum()
    by_customer = days.groupby("customer_id")
    first, last = by_customer["date"].min(), by_customer["date"].max()
    frequency = by_customer.size() - 1
    spend, first_value = by_customer["dollars"].sum(), by_customer["dollars"].first()
    recent = days[days["date"] >= end - pd.Timedelta(weeks=13)]
    features = pd.DataFrame(
        {
            "segment": first.dt.strftime("%Y-%m"),
            "frequency": frequency,
            "recency": (last - first).dt.days / _DAYS,
            "age": (end - pd.Timedelta(days=1) - first).dt.days / _DAYS,
            "repeat_value": ((spend - first_value) / frequency).where(frequency > 0, 0.0),
            "first_value": first_value,
            "spend": spend,
            "cds": by_customer["cds"].sum(),
            "recent_spend": recent.groupby("customer_id")["dollars"].sum(),
        }
    )
    return features.fillna({"recent_spend": 0.0}).reset_index()


def spend_after(transactions: pd.DataFrame, as_of: date, weeks: int) -> pd.Series[float]:
    """Dollars that each customer spent in the weeks from `as_of`, by customer id.

    Customers who bought nothing in that time are not listed.
    """
    start = pd.Timestamp(as_of)
    days = transactions["date"]
    inside = transactions[(days >= start) & (days < start + pd.Timedelta(weeks=weeks))]
    return inside.groupby("customer_id")["dollars"].sum()
