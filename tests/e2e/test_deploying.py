"""The deploying DAGs that this project ships, as runs of a real Airflow."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from airflow.sdk import DAG, DagRunState, TaskInstanceState

from model_envelope.client.client import Client
from model_envelope.deployment.rule import Rule
from model_envelope.deployment.serving_options import read_options
from model_envelope.deployment.targets.opening import open_target, target_kinds
from model_envelope.errors import StoreError
from model_envelope.store.opening import VERSION_TABLE
from model_envelope.tag_query import parse

DAGS = Path(__file__).parents[2] / "dags"
SERVICE = "ltv"
AWAY = "postgresql://models@127.0.0.1:1/models"


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
    done = run(envelope="name == 'ltv'", reason="[1, '2']")  # no Python, though it looks so
    record = services.service(SERVICE)
    assert (record.live_envelope, record.reason) == (second, "[1, '2']")
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
    run(action="undeploy", reason=None)
    record = services.service(SERVICE)
    assert (record.live_envelope, record.reason) == (None, "Undeployed.")


def test_the_form_wants_a_model_to_deploy(services: Client, deploying_dags: dict[str, DAG]) -> None:
    conf = {"action": "deploy", "service": SERVICE, "envelope": " "}
    run = deploying_dags["model_deploy"].test(run_conf=conf)
    assert run.state == DagRunState.FAILED
    assert run.get_task_instance("choose").state == TaskInstanceState.FAILED
    assert services.services() == ()


def test_what_the_form_offers_is_so(models: Client, deploying_dags: dict[str, DAG]) -> None:
    params = form(deploying_dags["model_deploy"])
    fields = {name: param.schema for name, param in params.items()}
    assert all(param.schema["title"] and param.description for _, param in params.items())
    assert fields["target"]["enum"] == [None, *target_kinds()]
    assert {"process", "docker"} <= {*fields["target"]["enum"]}
    for example in fields["envelope"]["examples"]:
        assert parse(example).keys
    options = re.search(r"{.*}", params.get_param("options").description)
    assert options is not None
    process = open_target("process", models.platform)
    assert read_options(process, json.loads(options[0])).target["replicas"] == 2
    # In Airflow's form, only what may be null need not be filled in.
    needed = {name for name, field in fields.items() if "null" not in field["type"]}
    assert needed == {"action", "service"}


def form(dag: DAG) -> Any:
    """The params as the web server gets them."""
    from airflow.serialization.serialized_objects import DagSerialization

    body = json.loads(json.dumps(DagSerialization.serialize_dag(dag)))
    return DagSerialization.deserialize_dag(body).params


@pytest.mark.parametrize("name", ["model_deploy", "continuous_deployment"])
def test_the_dags_are_parsed_though_the_store_is_away(
    name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.dag_processing.dagbag import DagBag

    for store in (None, AWAY):
        if store is not None:
            monkeypatch.setenv("MODEL_ENVELOPE_STORE", store)
        bag = DagBag(DAGS / f"{name}.py")
        assert not bag.import_errors
        assert list(bag.dags) == [name]
    assert not home.exists()


@pytest.mark.parametrize(
    ("store", "said"),
    [(AWAY, "cannot be reached.*MODEL_ENVELOPE_STORE"), (None, "model-envelope db upgrade")],
    ids=["away", "of an older version"],
)
def test_a_plan_without_a_store_says_what_to_do(
    store: str | None,
    said: str,
    sqlite_store_url: str,
    deploying_dags: dict[str, DAG],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if store is None:
        with sqlite3.connect(sqlite_store_url.removeprefix("sqlite:///")) as database:
            database.execute(f"UPDATE {VERSION_TABLE} SET version_num = '0001'")
        database.close()
    monkeypatch.setenv("MODEL_ENVELOPE_STORE", store or sqlite_store_url)
    plan: Any = deploying_dags["continuous_deployment"].get_task("plan")
    with pytest.raises(StoreError, match=said):
        plan.python_callable()


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
