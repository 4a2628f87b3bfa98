"""Deploy, roll back or undeploy a model by hand: who starts the run has done it.

Airflow gives the permission, the audit log and the task's log. Start it from the form, or
with `conf` by the REST API.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, task
from airflow.sdk.exceptions import AirflowFailException

from model_envelope.deployment.targets.opening import target_kinds
from model_envelope.operators.deploy import (
    ModelDeployOperator,
    ModelRollbackOperator,
    ModelUndeployOperator,
)

PARAMS = {
    "action": Param(
        "deploy",
        type="string",
        enum=["deploy", "rollback", "undeploy"],
        values_display={
            "deploy": "Deploy a model",
            "rollback": "Roll back to what ran before",
            "undeploy": "End the service",
        },
        title="What",
        description="To roll back or to end a service also pauses the rule that would undo it.",
    ),
    "service": Param(
        type="string",
        pattern="^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$(?!\\n)",
        title="Service",
        description="Its name is part of its URL: lower-case letters, digits and hyphens, "
        "beginning with a letter.",
    ),
    "envelope": Param(
        None,
        type=["null", "string"],
        examples=["canonical_name == 'client_ltv' and passes_tests == 'true'"],
        title="Model",
        description="To deploy: a tag query, whose latest match is taken, or an envelope's id.",
        section="To deploy",
    ),
    "target": Param(
        None,
        type=["null", "string"],
        enum=[None, *target_kinds()],
        values_display={None: "where it is; a new service as a process"},
        title="Where",
        description="What it runs on.",
        section="To deploy",
    ),
    "options": Param(
        None,
        type=["null", "object"],
        title="Options of the target",
        description='All of them, as JSON, e.g. {"replicas": 2}; as they are unless given.',
        section="To deploy",
    ),
    "reason": Param(
        None, type=["null", "string"], title="Why", description="For those who read the ledger."
    ),
}


@dag(
    schedule=None,
    catchup=False,
    # It does nothing until somebody starts it.
    is_paused_upon_creation=False,
    params=PARAMS,
    tags=["model-envelope"],
    doc_md=__doc__,
)
def model_deploy() -> None:
    """One task runs, the one that was asked for."""

    @task.branch
    def choose(action: str, envelope: str) -> str:
        if action == "deploy" and not envelope.strip():
            raise AirflowFailException("Say which model to deploy: a tag query, or an id.")
        return action

    service, reason = "{{ params.service }}", "{{ params.reason or '' }}"
    envelope = "{{ params.envelope or '' }}"
    choose("{{ params.action }}", envelope) >> [
        ModelDeployOperator(
            task_id="deploy",
            service=service,
            tag_query=envelope,
            target="{{ params.target or '' }}",
            options="{{ params.options | tojson }}",
            reason=reason,
        ),
        ModelRollbackOperator(task_id="rollback", service=service, reason=reason),
        ModelUndeployOperator(task_id="undeploy", service=service, reason=reason),
    ]


model_deploy()
