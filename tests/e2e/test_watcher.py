"""Saving a model wakes DAGs: one whole Airflow for all tests here."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import HTTPError

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


def test_the_page_of_an_envelope_is_for_those_who_may_see_dags(
    standalone_airflow: Any, standalone_models: Client
) -> None:
    tags = {"canonical_name": "shown", "note": "<script>alert(1)</script>"}
    model = standalone_models.save_model(answer, tags=tags, api_input=None)
    path = f"/model-envelope/m/{model.id}?connection=model_envelope_default"

    page = standalone_airflow.read(path)

    assert f"<code>{model.id}</code>" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page
    with pytest.raises(HTTPError, match="401"):
        standalone_airflow.read(path, anonymous=True)
    with pytest.raises(HTTPError, match="404"):
        standalone_airflow.read("/model-envelope/m/00000000000000000000")
    with pytest.raises(HTTPError, match="404"):
        standalone_airflow.read(f"/model-envelope/m/{model.id}?connection=elsewhere")
