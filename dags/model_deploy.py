"""Deploy, roll back or undeploy a model by hand: who starts the run has done it.

Airflow gives the permission, the audit log and the task's log. Start it from the form, or
with `conf` by the REST API.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, task

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
        title="What",
        description="Rollback puts back what ran before, and pauses the rule that would undo it.",
    ),
    "service": Param(
        type="string",
        pattern="^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$",
        title="Service",
        description="Its name is part of its URL: lower-case letters, digits and hyphens.",
    ),
    "envelope": Param(
        "",
        type="string",
        title="Model",
        description="To deploy: an envelope's id, or a tag query, whose latest match is taken, "
        "e.g. canonical_name == 'client_ltv' and passes_tests == 'true'.",
    ),
    "target": Param(
        None,
        type=["null", "string"],
        examples=["process", "docker", "kubernetes"],
        title="Where",
        description="Of a new service; else it stays where it is unless given.",
    ),
    "options": Param(
        {},
        type="object",
        title="Options of the target",
        description='As JSON, e.g. {"replicas": 2}.',
    ),
    "reason": Param("", type="string", title="Why", description="For the ledger."),
}


@dag(
    schedule=None,
    catchup=False,
    params=PARAMS,
    render_template_as_native_obj=True,
    tags=["model-envelope"],
    doc_md=__doc__,
)
def model_deploy() -> None:
    """One task runs, the one that was asked for."""

    @task.branch
    def choose(params: dict[str, str] | None = None) -> str:
        chosen = (params or {})["action"]
        if chosen == "deploy" and not (params or {})["envelope"].strip():
            raise ValueError("Say which model to deploy: an envelope's id, or a tag query.")
        return chosen

    service, reason = "{{ params.service }}", "{{ params.reason }}"
    choose() >> [
        ModelDeployOperator(
            task_id="deploy",
            service=service,
            tag_query="{{ params.envelope }}",
            target="{{ params.target }}",
            options="{{ params.options }}",
            reason=reason,
        ),
        ModelRollbackOperator(task_id="rollback", service=service, reason=reason),
        ModelUndeployOperator(task_id="undeploy", service=service, reason=reason),
    ]


model_deploy()
