"""Deploying from the pages through a whole Airflow on PostgreSQL, below a path, as its user."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pandas as pd
import pytest
from playwright.sync_api import Locator, Page, expect

from model_envelope.client.client import Client
from model_envelope.store.opening import VERSION_TABLE, upgrade
from tests.conftest import free_port
from tests.e2e.browser import Visit, Visitor
from tests.e2e.deployed import Deployed

pytestmark = pytest.mark.slow

BELOW = "/teams/models"
MINUTES = 240_000


@pytest.fixture(scope="module")
def airflow_path() -> str:
    return BELOW


@pytest.fixture(scope="module")
def service(standalone_airflow: Any, standalone_models: Client) -> Deployed:
    """The service of all tests here; each goes on from what the one before has left."""
    return Deployed(standalone_airflow, standalone_models, "client-ltv")


@pytest.fixture
def ada(visit: Visit, standalone_airflow: Any) -> Visitor:
    """The browser of somebody who may trigger DAGs, and is no administrator."""
    return visit(standalone_airflow.url).signed_in(standalone_airflow.token("ada"))


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


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


def ask_to_deploy(visitor: Visitor, envelope_id: str, service: str) -> Locator:
    """Fill in the dialog on a model's page; gives the button."""
    page = visitor.page
    page.goto(f"{visitor.url}/plugin/models/m/{envelope_id}")
    page.get_by_role("button", name="Deploy…").click()
    dialog(page).get_by_label("Service").fill(service)
    return dialog(page).get_by_role("button", name="Deploy", exact=True)


def followed(page: Page, state: str) -> tuple[str, str]:
    """The run of Airflow that the dialog has followed to that end."""
    link = dialog(page).get_by_role("link", name="model_deploy")
    expect(link.locator("xpath=ancestor::p")).to_contain_text(state, timeout=MINUTES)
    _, _, run_id = (link.get_attribute("href") or "").rpartition("/")
    return "model_deploy", unquote(run_id)


def test_with_the_keyboard_alone_a_user_deploys(ada: Visitor, service: Deployed) -> None:
    model = service.save(times(2.0))
    page = ada.page
    page.goto(f"{ada.url}/plugin/models")
    # The first request has the web server import what our API needs.
    expect(page.get_by_role("table", name="Models")).to_be_visible(timeout=MINUTES)
    page.keyboard.press("/")
    page.keyboard.type(f"canonical_name == '{service.name}'")
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 of 1 models")).to_be_visible()
    ada.tab_to(service.name)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text(service.name)
    ada.tab_to("Deploy…")
    page.keyboard.press("Enter")
    expect(dialog(page).get_by_label("Service")).to_be_focused()
    page.keyboard.type(service.name)
    expect(dialog(page).get_by_text("Begins a new service.")).to_be_visible()
    ada.tab_to("Why")
    page.keyboard.type("By keys")
    expect(dialog(page).locator("[aria-busy=true]")).to_have_count(0)
    expect(dialog(page).get_by_role("button", name="Deploy", exact=True)).to_be_enabled()
    ada.accessible("dialog")
    ada.tab_to("Deploy")
    page.keyboard.press("Enter")
    # The run is followed while it goes on, not only told at its end.
    expect(dialog(page).get_by_text("golden rows")).to_be_visible(timeout=MINUTES)
    expect(dialog(page).get_by_text("live", exact=True)).to_be_visible(timeout=MINUTES)
    run = followed(page, "success")
    ada.accessible("dialog")
    ada.tab_to(f"See the service {service.name}")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{BELOW}/plugin/models/services/{service.name}")
    expect(page.get_by_text("1 of 1 ready.")).to_be_visible()
    expect(page.get_by_role("definition").filter(has_text="by ada")).to_contain_text("By keys")
    assert service.predict(1.5) == [3.0]

    dag_id, run_id = run
    told = service.airflow.call(f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}")
    assert told["triggering_user_name"] == "ada"
    (deployment,) = service.models.store.deployments_of_run(*run)
    assert (deployment.envelope_id, deployment.by) == (model, "ada")

    # Airflow's page of the run tells the same, and leads back.
    page.goto(f"{ada.url}/dags/{dag_id}/runs/{quote(run_id)}/plugin/envelopes")
    row = page.get_by_role("table", name="Deployments").get_by_role("row").nth(1)
    expect(row).to_contain_text("live")
    ada.accessible(".me")
    row.get_by_role("rowheader").get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(service.name)


def test_two_clicks_deploy_once_and_as_was_said(ada: Visitor, service: Deployed) -> None:
    before = service.models.service(service.name)
    model = service.save(times(3.0))
    deploy = ask_to_deploy(ada, model, service.name)
    said = dialog(ada.page).get_by_role("status")
    expect(said).to_contain_text(
        f"Replaces {str(before.live_envelope)[:8]}, which stays available for rollback."
    )
    expect(said).to_contain_text(f"It answers on {before.url}")
    ledger = service.models.deployments(service.name)

    deploy.dblclick()

    _, run_id = followed(ada.page, "success")
    runs = service.airflow.call("/api/v2/dags/model_deploy/dagRuns")["dag_runs"]
    assert run_id in {run["dag_run_id"] for run in runs}
    assert len(runs) == 2
    (new,) = service.models.deployments(service.name)[: -len(ledger)]
    after = service.models.service(service.name)
    assert (new.envelope_id, after.live_envelope, after.url) == (model, model, before.url)
    assert after.previous_envelope == before.live_envelope
    assert service.predict(1.0) == [3.0]
    # Once more it would change nothing, and says so.
    ask_to_deploy(ada, model, service.name)
    expect(said).to_contain_text("It runs this very model already.")


def test_a_rollback_rests_the_rule(ada: Visitor, service: Deployed) -> None:
    before = service.models.service(service.name)
    service.follow_rule()
    page = ada.page
    page.goto(f"{ada.url}/plugin/models/services/{service.name}")
    page.get_by_role("button", name="Roll back").click()
    back = str(before.previous_envelope)
    expect(dialog(page)).to_contain_text(f"Puts back {back[:8]}.")
    expect(dialog(page)).to_contain_text(f"The rule {service.name} is paused")
    dialog(page).get_by_label("Why").fill("A complaint")
    ada.accessible("dialog")
    dialog(page).get_by_role("button", name="Roll back").click()
    followed(page, "success")
    assert service.models.service(service.name).live_envelope == back
    assert service.predict(1.0) == [2.0]

    page.goto(f"{ada.url}/plugin/models/rules/{service.name}")
    expect(page.get_by_text("Paused: A complaint.")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    dialog(page).get_by_role("button", name="Resume").click()
    expect(page.get_by_text("Paused: A complaint.")).to_have_count(0)
    history = page.get_by_role("table", name="History of the rule")
    expect(history.get_by_role("row").filter(has_text="ada")).to_have_count(2)


def test_what_its_gate_refuses_is_told_where_it_was_asked_for(
    ada: Visitor, service: Deployed
) -> None:
    broken = service.save(elsewhere_another())
    ask_to_deploy(ada, broken, service.name).click()
    page = ada.page
    _, run_id = followed(page, "failed")
    step = dialog(page).get_by_role("listitem").filter(has_text="golden")
    expect(step).to_contain_text(re.compile("failed|refused"))
    (refused,) = service.models.store.deployments_of_run("model_deploy", run_id)
    assert refused.reason
    expect(dialog(page)).to_contain_text(refused.reason)
    assert service.predict(1.0) == [2.0]
    # The controls are there, and what is wrong is still told to who comes later.
    dialog(page).get_by_role("button", name="Close").last.click()
    page.get_by_role("tab", name="Deployments").click()
    told = page.get_by_role("tabpanel").get_by_role("listitem").filter(has_text=service.name)
    expect(told).to_contain_text("failed")
    expect(told).to_contain_text(refused.reason)
    told.get_by_role("link", name="model_deploy / deploy").click()
    page.wait_for_url(re.compile(r"/dags/model_deploy/runs/[^/]+/tasks/deploy($|\?)"))


def test_a_store_that_is_away_or_old_says_what_to_do(
    ada: Visitor, service: Deployed, tmp_path: Path
) -> None:
    old = f"sqlite:///{tmp_path}/old.sqlite"
    upgrade(old)
    with sqlite3.connect(tmp_path / "old.sqlite") as database:
        database.execute(f"UPDATE {VERSION_TABLE} SET version_num = '0001'")
    away = f"postgresql+psycopg://models@127.0.0.1:{free_port()}/models"
    ada.expected.append("503")
    page = ada.page
    page.goto(f"{ada.url}/plugin/models/services")
    expect(page.get_by_role("table", name="Services")).to_be_visible()
    known = service.airflow.call("/api/v2/connections/model_envelope_default")
    right = json.loads(known["extra"])
    alert, table = page.get_by_role("alert"), page.get_by_role("table", name="Services")
    retry = page.get_by_role("button", name="Retry")

    def refused() -> bool:
        page.reload()
        expect(table.or_(alert)).to_be_visible()
        return alert.count() == 1

    def answered() -> bool:
        retry.click()
        expect(page.locator(".me [aria-busy=true]")).to_have_count(0)
        return table.count() == 1

    for store, words in (
        (old, "model-envelope db upgrade"),
        (away, "See that the database runs and can be reached from this server."),
    ):
        connect(service, {**right, "store": store})
        service.until("refusal", refused)
        expect(alert).to_contain_text("The store cannot be read")
        expect(alert).to_contain_text(words)
        expect(page.get_by_role("navigation", name="Model Envelope")).to_be_visible()
        connect(service, right)
        service.until("answer", answered)
        expect(alert).to_have_count(0)


def connect(service: Deployed, extra: dict[str, str]) -> None:
    """Have Airflow's connection say something else."""
    connection = {"connection_id": "model_envelope_default", "conn_type": "model_envelope"}
    body = {**connection, "extra": json.dumps(extra)}
    service.airflow.call(f"/api/v2/connections/{connection['connection_id']}", body, "PATCH")
