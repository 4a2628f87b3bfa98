"""The pages inside Airflow, below a path, in a real browser: on its React, in its colours."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from playwright.sync_api import Page, expect

from model_envelope.client.client import Client
from model_envelope.client.envelope import Envelope
from tests.e2e.airflow_web import WebServer
from tests.e2e.browser import Visit, Visitor

pytestmark = pytest.mark.slow

DAG = """
from airflow.sdk import dag, task

@dag(schedule=None)
def train_for_pages():
    @task
    def fit(): ...
    fit()

train_for_pages()
"""


def answer() -> int:
    return 42


answer.__module__ = "__main__"  # as in a notebook: saved by value


@pytest.fixture(scope="module")
def run(server: WebServer, airflow_database: Path) -> tuple[str, str]:
    """A DAG and a run of it, which nothing runs."""
    (airflow_database / "dags" / "train_for_pages.py").write_text(DAG)
    settings = os.environ | {"AIRFLOW_HOME": str(airflow_database)}
    command = [sys.executable, "-m", "airflow", "dags", "reserialize"]
    subprocess.run(command, env=settings, check=True, stdout=subprocess.DEVNULL)
    body = {"logical_date": None, "dag_run_id": "first"}
    status, text, _ = server.ask("/api/v2/dags/train_for_pages/dagRuns", "admin", "POST", body)
    assert status == 200, text
    return "train_for_pages", "first"


@pytest.fixture
def model(server: WebServer, run: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> Envelope:
    """A model that the task of the run has saved."""
    dag_id, run_id = run
    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", dag_id)
    monkeypatch.setenv("AIRFLOW_CTX_DAG_RUN_ID", run_id)
    monkeypatch.setenv("AIRFLOW_CTX_TASK_ID", "fit")
    models: Client = server.models
    return models.save_model(answer, tags={"canonical_name": "by_a_task"}, api_input=None)


def signed_in(visit: Visit, server: WebServer, role: str = "admin", **options: Any) -> Visitor:
    """A browser that has the cookie which Airflow's form of logging in gives."""
    visitor = visit(server.url, **options)
    visitor.page.context.add_cookies(
        [{"name": "_token", "value": server.token(role), "url": server.url}]
    )
    return visitor


def models_page(visitor: Visitor) -> Page:
    visitor.page.goto(f"{visitor.url}/")
    visitor.page.get_by_role("link", name="Models", exact=True).click()
    visitor.page.wait_for_url("**/teams/models/plugin/models")
    expect(visitor.page.get_by_role("table", name="Models")).to_be_visible()
    return visitor.page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_models_are_an_item_of_airflow_s_own(
    visit: Visit, server: WebServer, model: Envelope, scheme: str
) -> None:
    visitor = signed_in(visit, server, color_scheme=scheme)
    page = models_page(visitor)
    page.get_by_role("textbox", name="Tag query").fill("canonical_name == 'by_a_task'")
    page.keyboard.press("Enter")
    page.wait_for_url("**/teams/models/plugin/models?q=*")
    page.reload()
    page.get_by_role("rowheader").get_by_role("link", name="by_a_task").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("by_a_task")
    background = page.evaluate("getComputedStyle(document.querySelector('.me')).color")
    host = page.evaluate("getComputedStyle(document.body).color")
    assert background == host
    page.go_back()
    expect(page.get_by_role("table", name="Models")).to_be_visible()


def test_a_model_leads_to_its_task_and_its_run_to_the_model(
    visit: Visit, server: WebServer, model: Envelope
) -> None:
    visitor = signed_in(visit, server)
    page = visitor.page
    page.goto(f"{visitor.url}/plugin/models/m/{model.id}")
    page.get_by_role("tabpanel").get_by_role("link", name="train_for_pages / fit").click()
    page.wait_for_url("**/dags/train_for_pages/runs/first/tasks/fit**")
    page.goto(f"{visitor.url}/dags/train_for_pages/runs/first/plugin/envelopes")
    page.get_by_role("rowheader").get_by_role("link", name="by_a_task").first.click()
    page.wait_for_url("**/plugin/models/m/*")
    expect(page.get_by_role("heading", level=1)).to_contain_text("by_a_task")


def test_a_viewer_looks_and_is_told_what_is_missing(
    visit: Visit, server: WebServer, model: Envelope
) -> None:
    visitor = signed_in(visit, server, "viewer")
    page = visitor.page
    page.goto(f"{visitor.url}/plugin/models/m/{model.id}")
    deploy = page.get_by_role("button", name="Deploy…")
    expect(deploy).to_be_disabled()
    expect(deploy).to_have_attribute("title", re.compile("permission to trigger the DAG"))
    expect(page.get_by_role("button", name="Edit tags")).to_have_count(0)


def test_who_is_not_signed_in_comes_back_to_where_they_were(
    visit: Visit, server: WebServer, model: Envelope
) -> None:
    visitor = visit(server.url)
    visitor.expected.append("401")
    visitor.page.goto(f"{visitor.url}/plugin/models?q=canonical_name")
    visitor.page.wait_for_url("**/auth/login**")
    assert "plugin/models" in unquote(visitor.page.url)
