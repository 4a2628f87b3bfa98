"""What only a whole Airflow shows: one for all tests here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from model_envelope.client.client import Client

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
