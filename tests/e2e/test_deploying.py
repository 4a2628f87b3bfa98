"""The deploying DAGs that this project ships, as runs of a real Airflow."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from airflow.sdk import DAG, DagRunState, TaskInstanceState

from model_envelope.deployment.rule import Rule
from model_envelope.deployment.targets.opening import open_target

if TYPE_CHECKING:
    from model_envelope.client.client import Client

DAGS = Path(__file__).parents[2] / "dags"
SERVICE = "ltv"


@pytest.fixture(scope="module")
def deploying_dags(airflow_database: Path) -> dict[str, DAG]:
    """The DAGs by their ids."""
    from airflow.dag_processing.dagbag import DagBag

    found: dict[str, DAG] = {}
    for name in ("model_deploy.py", "continuous_deployment.py"):
        # A run is only made of what lies in Airflow's own folder.
        bag = DagBag(shutil.copy(DAGS / name, airflow_database / "dags"))
        assert not bag.import_errors
        found |= bag.dags
    return found


@pytest.fixture
def services(models: Client, shared_cache: Path) -> Iterator[Client]:
    """A client of the connection's store; whatever was deployed is stopped at the end."""
    yield models
    target = open_target("process", models.platform)
    target.route([])
    for running in target.running():
        target.stop(running.release, drain=timedelta(0))


def save(client: Client, factor: float, **tags: str) -> str:
    def model(frame: pd.DataFrame) -> pd.Series:
        return frame["a"] * factor

    sample = pd.DataFrame({"a": [1.0, 2.0]})
    return client.save_model(model, tags={"name": "ltv", **tags}, api_input=sample).id


def test_the_form_deploys_rolls_back_and_undeploys(
    services: Client, deploying_dags: dict[str, DAG]
) -> None:
    first, second = save(services, 2.0), save(services, 3.0)

    def run(**conf: Any) -> Any:
        done = deploying_dags["model_deploy"].test(run_conf={"service": SERVICE, **conf})
        assert done.state == DagRunState.SUCCESS
        return done

    run(envelope=first, options={"threads": 1}, target="process")
    done = run(envelope="name == 'ltv'", reason="better")
    record = services.service(SERVICE)
    assert (record.live_envelope, record.reason) == (second, "better")
    assert record.desired_by == "dag_test"  # the user, for `dag.test()`
    assert record.target["options"] == {"threads": 1}
    task = done.get_task_instance("deploy")
    assert task.xcom_pull("deploy") == second
    assert task.xcom_pull("deploy", key="url") == record.url
    assert task.xcom_pull("deploy", key="_link_ServiceLink") == record.url
    assert done.get_task_instance("rollback").state == TaskInstanceState.SKIPPED
    (deployment,) = services.store.deployments_of_run("model_deploy", done.run_id)
    assert "map_index" not in deployment.airflow
    run(action="rollback")
    assert services.service(SERVICE).live_envelope == first
    run(action="undeploy")
    assert services.service(SERVICE).live_envelope is None


def test_continuous_deployment_follows_the_rules_and_tells_the_owner(
    services: Client, deploying_dags: dict[str, DAG], caplog: pytest.LogCaptureFixture
) -> None:
    rule = Rule.read(
        {
            "name": "best",
            "service": SERVICE,
            "when": "stage == 'prod'",
            "gates": [{"metric": "metric.auc > 0.9"}],
            "owner": "ada@example.com",
        }
    )
    services.store.put_rule(rule.name, rule.service, rule.spec(), "ada")
    dag = deploying_dags["continuous_deployment"]
    assert dag.test().state == DagRunState.SUCCESS
    good, early, worse = (save(services, k, stage="test") for k in (2.0, 3.0, 4.0))
    services.get(good).set_tags({"stage": "prod"}).log_metrics({"auc": 0.95})
    run = dag.test()
    assert run.state == DagRunState.SUCCESS
    assert services.service(SERVICE).live_envelope == good
    assert services.service(SERVICE).desired_by == "rule:best@1"
    (deployment,) = services.store.deployments_of_run(dag.dag_id, run.run_id)
    assert (deployment.envelope_id, deployment.state) == (good, "live")
    assert (deployment.airflow["task_id"], deployment.airflow["map_index"]) == ("deploy", "0")
    # Too little is known of the next one: it waits, and that is no failure.
    services.get(early).set_tags({"stage": "prod"})
    run = dag.test()
    assert run.state == DagRunState.SUCCESS
    assert run.get_task_instance("deploy", map_index=0).state == TaskInstanceState.SKIPPED
    services.get(worse).set_tags({"stage": "prod"}).log_metrics({"auc": 0.1})
    run = dag.test()
    assert run.state == DagRunState.FAILED
    assert services.service(SERVICE).live_envelope == good
    said = [r.getMessage() for r in caplog.records if "could not deploy" in r.getMessage()]
    assert any("To ada@example.com: Rule 'best'" in line for line in said)
