"""Beside the DAGs that deploy: another watcher of the rules, and an owner who is told by mail."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import DAG, Asset, AssetWatcher, task

from model_envelope.operators.deploy import ModelDeployOperator
from model_envelope.operators.owners import OwnerNotifier
from model_envelope.operators.triggers import RuleTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

SECONDS = float(os.environ.get("MODEL_ENVELOPE_POLL_SECONDS") or 1)

# To Airflow the same trigger as that of the asset in `continuous_deployment`.
wishes = Asset(
    "wishes", watchers=[AssetWatcher("wishes_watcher", trigger=RuleTrigger(poll_interval=SECONDS))]
)

with DAG("on_wishes", schedule=[wishes]):

    @task
    def wanted(triggering_asset_events: Any = None) -> list[str]:
        events = [event for events in triggering_asset_events.values() for event in events]
        return sorted({name for event in events for name in event.extra["payload"]["services"]})

    wanted()


def mail(owner: str, message: str, context: Context) -> None:
    SmtpNotifier(to=owner, subject=message).notify(context)


with DAG("deploy_and_mail", schedule=None):
    ModelDeployOperator(
        task_id="deploy",
        service="{{ dag_run.conf['service'] }}",
        on_failure_callback=OwnerNotifier(mail),
    )
