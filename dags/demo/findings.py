"""What the demo has to show: read back from the output table and the store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import pandas as pd

import model_envelope as me
from client_ltv.evaluate import by_decile
from client_ltv.features import HOLDOUT_WEEKS, spend_after
from client_ltv.models import FEATURES
from client_ltv.transactions import read_transactions

METRICS = ["rmse", "mae", "total_ratio", "gini", "spearman", "top_decile_lift", "buys_again.auc"]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Frames to show.

    Attributes:
        models: a row for each model trained: `segment`, `model`, `envelope`, metrics, `passes`.
        agreement: a row for each segment: how batch and in-process predictions compare.
        deciles: mean predicted and actual dollars by tenth of all customers.
        best: the customers with the highest predictions.
        customers: number of customers predicted for.
        predicted: dollars predicted for all of them.
        actual: dollars they spent.
    """

    models: pd.DataFrame
    agreement: pd.DataFrame
    deciles: pd.DataFrame
    best: pd.DataFrame
    customers: int
    predicted: float
    actual: float

    @property
    def identical(self) -> bool:
        """Whether the table says to the last bit what the models say in this process."""
        return bool((self.agreement["identical"] == self.agreement["customers"]).all())


def find(*, tables: Path, transactions: Path, as_of: date, since: datetime) -> Findings:
    """Read everything back.

    Args:
        tables: folder of the feature and prediction tables.
        transactions: the CDNOW master file.
        as_of: the logical date that was predicted for.
        since: models saved earlier are not listed.
    """
    day = as_of.isoformat()
    features = pd.read_parquet(tables / "features" / day)
    predictions = pd.read_parquet(
        tables / "predictions",
        columns=["customer_id", "ltv", "envelope_id"],
        filters=[("logical_date", "==", day)],
    ).merge(features, on="customer_id", validate="1:1")
    spent = spend_after(read_transactions(transactions), as_of, HOLDOUT_WEEKS)
    predictions["actual"] = predictions["customer_id"].map(spent).fillna(0.0)
    best = predictions.nlargest(10, "ltv")
    return Findings(
        models=_models(since),
        agreement=_agreement(predictions),
        deciles=by_decile(predictions["actual"], predictions["ltv"]),
        best=best.rename(columns={"spend": "spent_before", "ltv": "predicted"})[
            ["customer_id", "segment", "frequency", "spent_before", "predicted", "actual"]
        ],
        customers=len(predictions),
        predicted=float(predictions["ltv"].sum()),
        actual=float(predictions["actual"].sum()),
    )


def _models(since: datetime) -> pd.DataFrame:
    values = me.metrics.frame(
        "canonical_name == 'client_ltv'",
        METRICS,
        since=since,
        tags=["segment", "model_family", "passes_tests"],
    )
    models = values.pivot_table(
        index=["segment", "model_family", "envelope_id"], columns="name", values="value"
    )[METRICS].reset_index()
    passing = values.loc[values["passes_tests"] == "true", "envelope_id"]
    models["passes"] = models["envelope_id"].isin(passing)
    named = models.rename(columns={"model_family": "model", "envelope_id": "envelope"})
    return named.sort_values(["segment", "rmse"], ignore_index=True)


def _agreement(predictions: pd.DataFrame) -> pd.DataFrame:
    """Ask each envelope again, in this process, and compare."""
    rows = []
    for envelope_id, batch in predictions.groupby("envelope_id"):
        asked = me.load(str(envelope_id))(batch[FEATURES])
        rows.append(
            {
                "segment": batch["segment"].iloc[0],
                "envelope": envelope_id,
                "customers": len(batch),
                "identical": int((asked == batch["ltv"]).sum()),
                "largest_difference": float((asked - batch["ltv"]).abs().max()),
            }
        )
    return pd.DataFrame(rows).sort_values("segment", ignore_index=True)
