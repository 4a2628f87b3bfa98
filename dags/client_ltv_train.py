"""Train models for client lifetime value and save them for whoever asks by tags.

For each segment of customers, three models learn from what was known on a day. They are
saved, scored on what the customers really spent in the 39 weeks after it, and the best one
is tagged `passes_tests`. The batch DAG looks for that tag: neither DAG names the other.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

from airflow.sdk import Param, dag, task

SEGMENTS = ["1997-01", "1997-02", "1997-03"]  # month of the first purchase
TRANSACTIONS = Path(__file__).parent / "data" / "cdnow" / "CDNOW_master.txt"


@dag(
    schedule=None,
    params={"as_of": Param("1997-10-01", format="date", description="First unknown day.")},
    tags=["model-envelope", "example"],
    doc_md=__doc__,
)
def client_ltv_train() -> None:
    """Train, then let the best model of each segment pass."""

    @task
    def train(segment: str, as_of: str, run: str) -> list[str]:
        """Save one model of each family; gives their envelope ids."""
        # Imported here, so that parsing the DAG costs no scikit-learn.
        import client_ltv
        import model_envelope as me
        from client_ltv.evaluate import by_decile, score
        from client_ltv.features import HOLDOUT_WEEKS, customer_features, spend_after
        from client_ltv.models import FAMILIES, FEATURES, QUESTIONS
        from client_ltv.transactions import read_transactions

        day = date.fromisoformat(as_of)
        everybody = read_transactions(TRANSACTIONS)
        customers = customer_features(everybody, day)
        customers = customers[customers["segment"] == segment].reset_index(drop=True)
        transactions = everybody[everybody["customer_id"].isin(customers["customer_id"])]
        spent = spend_after(transactions, day, HOLDOUT_WEEKS)
        actual = customers["customer_id"].map(spent).fillna(0.0)

        saved = []
        for family, fit in FAMILIES.items():
            envelope = me.save_model(
                fit(transactions, day),
                description=f"Dollars that a client will spend in {HOLDOUT_WEEKS} weeks ({family})",
                tags={
                    "canonical_name": "client_ltv",
                    "business_line": "music",
                    "segment": segment,
                    "model_family": family,
                    "trained_as_of": as_of,
                    "training_run": run,
                },
                api_input=customers[FEATURES],
                query_functions=QUESTIONS.get(family),
                modules=[client_ltv],  # travels with the model: workers need not install it
            )
            # Scored is what was saved, not what was in memory.
            predicted = envelope.predict(customers[FEATURES])
            envelope.log_metrics(
                score(actual, predicted),
                buys_again=me.metrics.RocCurve.from_scores(actual > 0, predicted),
                deciles=me.metrics.Table.from_frame(by_decile(actual, predicted)),
            )
            saved.append(envelope.id)
        return saved

    @task
    def let_the_best_pass(segment: str, run: str) -> str:
        """Tag the model of this run with the smallest error; gives its envelope id."""
        import model_envelope as me

        (best,) = me.query(
            {"canonical_name": "client_ltv", "segment": segment, "training_run": run},
            order_by="metric:rmse",
            descending=False,
            limit=1,
        )
        return best.set_tags(passes_tests="true").id

    trained = train.partial(as_of="{{ params.as_of }}", run="{{ run_id }}").expand(segment=SEGMENTS)
    trained >> let_the_best_pass.partial(run="{{ run_id }}").expand(segment=SEGMENTS)


client_ltv_train()
