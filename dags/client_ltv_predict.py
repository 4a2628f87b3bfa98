"""Predict client lifetime value every month, with the best model of each segment.

The models are found by their tags when the task runs: whichever was saved last among those
that pass. Rerunning a month replaces its predictions and touches no other.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from airflow.sdk import Variable, chain, dag, task

from model_envelope.operators.batch import ModelBatchPredictOperator

SEGMENTS = ["1997-01", "1997-02", "1997-03"]  # month of the first purchase
TRANSACTIONS = Path(__file__).parent / "data" / "cdnow" / "CDNOW_master.txt"
TABLES = "{{ var.value.client_ltv_tables }}"  # a folder, or s3a://bucket/prefix on a cluster


@dag(
    schedule="@monthly",
    start_date=datetime(1997, 10, 1, tzinfo=UTC),
    catchup=False,
    tags=["model-envelope", "example"],
    doc_md=__doc__,
)
def client_ltv_predict() -> None:
    """Features as of the logical date, predictions by segment, a check of the result."""

    @task
    def build_features(day: str) -> None:
        """Write what was known of each customer on the logical date, a file for each segment."""
        from client_ltv.features import customer_features
        from client_ltv.transactions import read_transactions

        features = customer_features(read_transactions(TRANSACTIONS), date.fromisoformat(day))
        folder = Path(Variable.get("client_ltv_tables"), "features", day)
        folder.mkdir(parents=True, exist_ok=True)
        for segment, rows in features.groupby("segment"):
            rows.to_parquet(folder / f"{segment}.parquet", index=False)

    predictions = [
        ModelBatchPredictOperator(
            task_id=f"predict_{segment}",
            tag_query=(
                f"canonical_name == 'client_ltv' and segment == '{segment}' "
                "and passes_tests == 'true'"
            ),
            input_table=f"{TABLES}/features/{{{{ ds }}}}/{segment}.parquet",
            # A run replaces its logical date in its table. The folders' names make the tables
            # of all segments one to whoever reads `predictions`.
            output_table=f"{TABLES}/predictions/segment={segment}",
            keep_columns=["customer_id"],
            spark_conn_id="spark_default",
        )
        for segment in SEGMENTS
    ]

    @task
    def check(day: str) -> dict[str, int]:
        """See that everybody has one prediction; gives the number of customers by segment."""
        import pandas as pd

        tables = Path(Variable.get("client_ltv_tables"))
        customers = pd.read_parquet(tables / "features" / day, columns=["customer_id"])
        of_the_day = [("logical_date", "==", day)]
        found = pd.read_parquet(tables / "predictions", filters=of_the_day)
        if sorted(found["customer_id"]) != sorted(customers["customer_id"]):
            raise ValueError(f"{len(customers)} customers have {len(found)} predictions.")
        return {str(key): int(count) for key, count in found["segment"].value_counts().items()}

    chain(build_features("{{ ds }}"), predictions, check("{{ ds }}"))


client_ltv_predict()
