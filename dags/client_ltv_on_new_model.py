"""Predict anew as soon as a better model passes its tests, without asking when that is.

The asset stands for "the models that may be used". Its watcher looks at the store from the
triggerer and holds no worker; several models that pass at once make one run.
"""

from __future__ import annotations

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Asset, AssetWatcher, dag

from model_envelope.operators.sensors import TagQuerySensor
from model_envelope.operators.triggers import TagQueryTrigger

PASSING = "canonical_name == 'client_ltv' and passes_tests == 'true'"

passing_models = Asset(
    "client_ltv_models",
    watchers=[AssetWatcher(name="new_model", trigger=TagQueryTrigger(tag_query=PASSING))],
)


@dag(
    schedule=[passing_models],
    catchup=False,
    tags=["model-envelope", "example"],
    doc_md=__doc__,
)
def client_ltv_on_new_model() -> None:
    """Run the batch DAG for today."""
    TriggerDagRunOperator(
        task_id="predict", trigger_dag_id="client_ltv_predict", wait_for_completion=True
    )


@dag(schedule="@weekly", catchup=False, tags=["model-envelope", "example"])
def client_ltv_weekly_if_new() -> None:
    """The other way round: a schedule that waits for a model of the week and skips without."""
    new_model = TagQuerySensor(
        task_id="new_model", tag_query=PASSING, timeout=6 * 60 * 60, soft_fail=True
    )
    predict = TriggerDagRunOperator(task_id="predict", trigger_dag_id="client_ltv_predict")
    new_model >> predict


client_ltv_on_new_model()
client_ltv_weekly_if_new()
