"""What only a whole Airflow shows: one for all tests here."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pandas as pd
import psutil
import pytest

from model_envelope.client.client import Client
from tests.e2e.deployed import Deployed
from tests.e2e.mailbox import mailbox

pytestmark = pytest.mark.slow


def answer() -> int:
    return 42


answer.__module__ = "__main__"  # as in a notebook: saved by value


def test_a_saved_model_wakes_the_dags_that_watch_for_it(
    standalone_airflow: Any, standalone_models: Client
) -> None:
    tags = {"canonical_name": "client_ltv", "champion": "yes", "region": "US"}
    model = standalone_models.save_model(answer, tags=tags, api_input=None)

    def finished() -> Any:
        runs = standalone_airflow.call("/api/v2/dags/on_champion/dagRuns")["dag_runs"]
        return [run for run in runs if run["state"] == "success"]

    (run,) = standalone_airflow.until("finished run", finished)
    xcom = f"/api/v2/dags/on_champion/dagRuns/{run['dag_run_id']}/taskInstances/announced"
    assert standalone_airflow.call(f"{xcom}/xcomEntries/return_value")["value"] == [model.id]
    # Two assets of one trigger, which shares its poll with the trigger of the first.
    events = standalone_airflow.call("/api/v2/assets/events")["asset_events"]
    events = [event for event in events if "envelope_id" in event["extra"]["payload"]]
    assert sorted(event["name"] for event in events) == ["champion", "first", "second"]
    payload = {"envelope_id": model.id, "revision": 1, "tags": tags}
    assert [event["extra"]["payload"] for event in events] == [payload] * 3


def test_the_connection_form_has_our_fields(standalone_airflow: Any) -> None:
    forms = standalone_airflow.call("/ui/connections/hook_meta")
    (form,) = [form for form in forms if form["connection_type"] == "model_envelope"]
    assert form["hook_name"] == "Model Envelope"
    assert list(form["extra_fields"]) == ["store", "artifacts", "aws_conn_id"]
    assert form["standard_fields"]["password"]["title"] == "Store password"
    assert form["standard_fields"]["host"]["hidden"]


def test_the_api_shows_the_store_but_not_its_password(standalone_airflow: Any) -> None:
    extra = {"store": "postgresql+psycopg://models@db.example.com/models", "artifacts": "/m"}
    connection = {
        "connection_id": "models",
        "conn_type": "model_envelope",
        "password": "a-secret-word",
        "extra": json.dumps(extra),
    }
    standalone_airflow.call("/api/v2/connections", connection)
    shown = standalone_airflow.call("/api/v2/connections/models")
    assert json.loads(shown["extra"]) == extra
    assert "a-secret-word" not in json.dumps(shown)


# Deploying


numbers = count()


@pytest.fixture
def service(standalone_airflow: Any, standalone_models: Client) -> Iterator[Deployed]:
    """A service of this test alone."""
    found = Deployed(standalone_airflow, standalone_models, f"ltv-{next(numbers)}")
    yield found
    names = [rule.name for rule in standalone_models.store.rules()]
    for name in names:
        standalone_models.store.pause_rule(name, "The test is over.")


def times(factor: float) -> Callable[[pd.DataFrame], Any]:
    def model(frame: pd.DataFrame) -> Any:
        return frame["a"] * factor

    return model


def elsewhere_another() -> Callable[[pd.DataFrame], Any]:
    """A model that answers otherwise in any process but the one that saves it."""
    here = os.getpid()

    def model(frame: pd.DataFrame) -> Any:
        return frame["a"] * (1.0 if os.getpid() == here else 2.0)

    return model


def test_a_tag_brings_a_model_to_its_url(service: Deployed) -> None:
    service.follow_rule()
    model = service.save(times(3.0))

    service.let_pass(model)

    service.until_live(model)
    assert service.predict(1.5, -2.0) == [4.5, -6.0]
    record = service.models.service(service.name)
    assert record.desired_by == f"rule:{service.name}@1"
    (deployment,) = service.models.store.deployments(service.name)
    dag_id, run_id = (deployment.airflow[part] for part in ("dag_id", "run_id"))
    assert (dag_id, deployment.airflow["task_id"]) == ("continuous_deployment", "deploy")
    assert service.models.store.deployments_of_run(dag_id, run_id) == (deployment,)
    assert service.end_of(dag_id, run_id) == "success"

    # The other asset of the same trigger had the event, too.
    def woken() -> Any:
        runs = service.airflow.call("/api/v2/dags/on_wishes/dagRuns?state=success")["dag_runs"]
        path = "/api/v2/dags/on_wishes/dagRuns/{}/taskInstances/wanted/xcomEntries/return_value"
        found = [service.airflow.call(path.format(run["dag_run_id"]))["value"] for run in runs]
        return any(f"'{service.name}'" in str(value) for value in found)

    service.until("event for the other asset", woken)


def test_what_its_gate_refuses_leaves_the_old_one_and_the_owner_is_told(
    service: Deployed,
) -> None:
    service.follow_rule(owner="ada@example.com")
    good, broken = service.save(times(3.0)), service.save(elsewhere_another())
    service.let_pass(good)
    service.until_live(good)

    service.let_pass(broken)

    def refused() -> Any:
        newest = service.models.store.deployments(service.name, limit=1)[0]
        return newest if newest.state == "failed" else None

    failed = service.until("refusal", refused)
    assert failed.envelope_id == broken
    assert "golden" in failed.reason
    assert service.predict(1.0) == [3.0]
    task = failed.airflow
    run = (task["dag_id"], task["run_id"])
    assert service.end_of(*run) == "failed"
    said = f"Rule '{service.name}' could not deploy to '{service.name}'"
    index = int(task["map_index"])
    service.until(
        "alert", lambda: f"To ada@example.com: {said}" in service.told(*run, map_index=index)
    )
    # Any notifier of Airflow's tells them elsewhere, too.
    with mailbox() as (port, mails):
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@example.com"}
        connection = {"connection_id": "smtp_default", "conn_type": "smtp", "host": "127.0.0.1"}
        body = {**connection, "port": port, "extra": json.dumps(extra)}
        service.airflow.call("/api/v2/connections", body)
        run_id = service.start("deploy_and_mail", service=service.name)
        assert service.end_of("deploy_and_mail", run_id) == "failed"
        (mail,) = service.until("mail", lambda: mails)
    assert mail["to"] == "ada@example.com"
    assert mail["subject"].startswith(said)
    assert service.predict(1.0) == [3.0]


def test_rolled_back_from_the_form_the_rule_rests_until_it_is_resumed(service: Deployed) -> None:
    service.follow_rule()
    first, second = service.save(times(2.0)), service.save(times(3.0))
    for model in (first, second):
        service.let_pass(model)
        service.until_live(model)
    form = {"service": service.name, "reason": "a complaint"}

    run_id = service.start("model_deploy", action="rollback", **form)

    assert service.end_of("model_deploy", run_id) == "success"
    assert service.predict(1.0) == [2.0]
    rule = service.models.store.get_rule(service.name)
    assert rule.paused
    assert "a complaint" in rule.pause_reason
    (deployment,) = service.models.store.deployments_of_run("model_deploy", run_id)
    assert (deployment.envelope_id, deployment.by) == (first, "admin")
    # A whole look at everything does not undo it, and resuming the rule does.
    run_id = service.start("continuous_deployment")
    assert service.end_of("continuous_deployment", run_id) == "success"
    assert service.predict(1.0) == [2.0]
    service.models.store.resume_rule(service.name)
    service.until_live(second)
    assert service.predict(1.0) == [3.0]


def test_by_the_form_a_person_deploys_and_undeploys(service: Deployed) -> None:
    first = service.save(times(2.0))

    def run(**conf: Any) -> str:
        run_id = service.start("model_deploy", service=service.name, **conf)
        assert service.end_of("model_deploy", run_id) == "success"
        return run_id

    run(envelope=f"canonical_name == '{service.name}'", target="process", options={"threads": 1})
    assert service.predict(1.0) == [2.0]
    record = service.models.service(service.name)
    assert (record.live_envelope, record.desired_by, record.pinned) == (first, "admin", True)
    run(action="undeploy", reason="no longer needed")
    record = service.models.service(service.name)
    assert (record.live_envelope, record.reason) == (None, "no longer needed")


@pytest.mark.parametrize(
    "conf",
    [
        {},
        {"service": "Not A Name"},
        {"service": "ltv\n"},
        {"service": "ltv", "action": "destroy"},
        {"service": "ltv", "options": [1]},
        {"service": "ltv", "target": "moon"},
    ],
    ids=str,
)
def test_the_form_refuses_what_cannot_be(standalone_airflow: Any, conf: dict[str, Any]) -> None:
    body = {"logical_date": None, "conf": conf}
    with pytest.raises(HTTPError) as caught:
        standalone_airflow.call("/api/v2/dags/model_deploy/dagRuns", body)
    with caught.value as refused:
        assert refused.code == 400


def test_runs_of_continuous_deployment_at_once_deploy_once(service: Deployed) -> None:
    service.follow_rule()
    model = service.save(times(5.0))
    service.let_pass(model)

    runs = [service.start("continuous_deployment") for _ in range(2)]

    assert [service.end_of("continuous_deployment", run_id) for run_id in runs] == ["success"] * 2
    service.until_live(model)
    assert service.predict(1.0) == [5.0]
    assert [d.state for d in service.models.store.deployments(service.name)] == ["live"]


def test_what_is_tagged_while_the_triggerer_is_dead_is_deployed(service: Deployed) -> None:
    service.follow_rule()
    model = service.save(times(7.0))
    service.airflow.kill_triggerer()

    service.let_pass(model)
    service.airflow.start_triggerer()

    service.until_live(model)
    assert service.predict(1.0) == [7.0]


def slowness(trace: Path) -> Any:
    """A model that tells its process and then takes its time. Its class is saved by value."""

    class Slowness:
        def predict(self, frame: Any) -> Any:
            import os
            import time

            if trace.parent.exists():
                trace.write_text(str(os.getpid()))
                time.sleep(300)
            return frame["x"]

    return Slowness()


@pytest.mark.spark
def test_a_task_that_is_stopped_takes_spark_with_it(
    standalone_airflow: Any, standalone_models: Client, tmp_path: Path
) -> None:
    trace = tmp_path / "saved" / "pid"
    frame = pd.DataFrame({"x": [1, 2, 3]})
    standalone_models.save_model(slowness(trace), tags={"canonical_name": "slow"}, api_input=frame)
    trace.parent.mkdir()
    frame.to_parquet(tmp_path / "input.parquet")
    conf = {
        "input": str(tmp_path / "input.parquet"),
        "output": str(tmp_path / "output"),
    }
    runs = "/api/v2/dags/predict_slowly/dagRuns"
    run = standalone_airflow.call(runs, {"logical_date": None, "conf": conf})
    standalone_airflow.until("prediction", trace.exists)
    worker = psutil.Process(int(trace.read_text()))
    spark = [parent for parent in worker.parents() if parent.name() == "java"]
    assert spark

    task = f"{runs}/{run['dag_run_id']}/taskInstances/predict"
    standalone_airflow.call(task, {"new_state": "failed"}, method="PATCH")

    standalone_airflow.until("end of Spark", lambda: not any(p.is_running() for p in spark))
    standalone_airflow.until("end of the model", lambda: not worker.is_running())
    assert not Path(conf["output"]).exists()

    def recorded() -> bool:
        (run,) = standalone_models.store.batch_predictions()
        return run.state == "failed"

    standalone_airflow.until("record of the failure", recorded, seconds=60)
