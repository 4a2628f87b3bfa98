"""Bring every service to what its rule wants, as soon as a model is saved, tagged or measured.

The asset stands for "what rules want". Its watcher plans in the triggerer whenever the store
has moved, and holds no worker. Now and then the DAG runs by itself, too: it restores what has
gone, and tries again what failed for reasons that pass. It may run twice at once or be
killed anywhere: each service is worked on by one task at a time.
"""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, dag, task

from model_envelope.operators.deploy import ModelDeployOperator
from model_envelope.operators.hook import ModelEnvelopeHook
from model_envelope.operators.owners import OwnerNotifier
from model_envelope.operators.triggers import RuleTrigger

SECONDS = float(os.environ.get("MODEL_ENVELOPE_POLL_SECONDS") or 1)

wishes = Asset(
    "model_envelope_rules",
    watchers=[AssetWatcher(name="rules_want_more", trigger=RuleTrigger(poll_interval=SECONDS))],
)


@dag(
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("*/5 * * * *", timezone="UTC"), assets=[wishes]
    ),
    catchup=False,
    max_active_runs=4,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=20)},
    tags=["model-envelope"],
    doc_md=__doc__,
)
def continuous_deployment() -> None:
    """Plan, then a task for each service that has something to do."""

    @task
    def plan() -> list[str]:
        return list(ModelEnvelopeHook().pending())

    ModelDeployOperator.partial(
        task_id="deploy",
        map_index_template="{{ task.service }}",
        on_failure_callback=OwnerNotifier(),
    ).expand(service=plan())


continuous_deployment()
