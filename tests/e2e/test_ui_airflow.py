"""The pages inside Airflow, below a path, in a real browser: on its React, in its colours."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from playwright.sync_api import Page, Route, expect

from model_envelope.client.client import Client
from model_envelope.client.envelope import Envelope
from model_envelope.metrics import RocCurve
from tests.e2e.airflow_web import USERS, WebServer
from tests.e2e.browser import Visit, Visitor

pytestmark = pytest.mark.slow

DEPLOYING = Path(__file__).parents[2] / "dags" / "model_deploy.py"
DAGS = """
from airflow.sdk import dag, task

@dag(schedule=None)
def train_for_pages():
    @task
    def fit(): ...
    fit()

train_for_pages()

@dag(schedule=None)
def once_there():
    @task
    def fit(): ...
    fit()

once_there()
"""
PAGES = {
    "": "Models",
    "rules": "Rules",
    "services": "Services",
    "deployments": "Deployments",
    "batch": "Batch predictions",
}


def answer() -> int:
    return 42


answer.__module__ = "__main__"  # as in a notebook: saved by value


@pytest.fixture(scope="module")
def dags(server: WebServer, tmp_path_factory: pytest.TempPathFactory) -> None:
    """DAGs that train, and the one that deploys; nothing runs them."""
    file = tmp_path_factory.mktemp("dags") / "train_for_pages.py"
    file.write_text(DAGS)
    shutil.copy(DEPLOYING, server.settings["AIRFLOW__CORE__DAGS_FOLDER"])
    server.add_dag(file)
    for dag_id in ("train_for_pages", "once_there"):
        body = {"logical_date": None, "dag_run_id": "first"}
        status, text, _ = server.ask(f"/api/v2/dags/{dag_id}/dagRuns", "admin", "POST", body)
        assert status == 200, text


def task(dag_id: str) -> dict[str, str]:
    """The task of a DAG's run, as what it does tells of it."""
    return {"dag_id": dag_id, "run_id": "first", "task_id": "fit"}


@pytest.fixture
def save(
    server: WebServer, dags: None, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Envelope]:
    """Saves a model as the task of a DAG's run does."""

    def save(dag_id: str) -> Envelope:
        for name, value in task(dag_id).items():
            known_as = "DAG_RUN_ID" if name == "run_id" else name.upper()
            monkeypatch.setenv(f"AIRFLOW_CTX_{known_as}", value)
        models: Client = server.models
        return models.save_model(answer, tags={"canonical_name": "by_a_task"}, api_input=None)

    return save


@pytest.fixture
def model(save: Callable[[str], Envelope]) -> Envelope:
    """A model that a task of `train_for_pages` has saved."""
    return save("train_for_pages")


def signed_in(visit: Visit, server: WebServer, role: str = "admin", **options: Any) -> Visitor:
    """A browser in which the user of a role has logged in."""
    return visit(server.url, **options).signed_in(server.token(role))


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
    request = {"inputs": {"t": "clients"}, "output": "db.ltv", "query_function": "predict"}
    server.models.store.start_batch("k", model.id, request, airflow=task("train_for_pages"))
    visitor = signed_in(visit, server)
    page = visitor.page
    page.goto(f"{visitor.url}/plugin/models/m/{model.id}")
    page.get_by_role("tabpanel").get_by_role("link", name="train_for_pages / fit").click()
    page.wait_for_url("**/dags/train_for_pages/runs/first/tasks/fit**")
    page.goto(f"{visitor.url}/dags/train_for_pages/runs/first/plugin/envelopes")
    expect(page.get_by_role("table", name="Batch predictions")).to_contain_text("db.ltv")
    visitor.accessible(".me")
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_the_pages_there(
    visit: Visit, server: WebServer, model: Envelope, scheme: str
) -> None:
    visitor = signed_in(visit, server, color_scheme=scheme)
    page = visitor.page
    for path, heading in PAGES.items():
        page.goto(f"{visitor.url}/plugin/models/{path}")
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        expect(page.locator(".me [aria-busy=true]")).to_have_count(0)
        visitor.accessible(".me")
        page.set_viewport_size({"width": 320, "height": 800})
        assert not visitor.too_wide(".me"), path
        page.set_viewport_size({"width": 1280, "height": 800})


def test_the_switch_of_airflow_s_theme_recolours_pages_and_charts(
    visit: Visit, server: WebServer, model: Envelope
) -> None:
    model.log_metrics({"roc": RocCurve.from_scores([0, 1, 0, 1], [0.1, 0.9, 0.3, 0.6])})
    visitor = signed_in(visit, server, color_scheme="light")
    page = visitor.page
    page.goto(f"{visitor.url}/plugin/models/m/{model.id}?tab=metrics")
    canvas = page.get_by_role("figure").filter(has_text="roc").locator("canvas")
    expect(canvas).to_be_visible()
    text = "getComputedStyle(document.querySelector('.me')).color"
    picture = "document.querySelector('figure canvas')?.toDataURL()"
    before = page.evaluate(text), page.evaluate(picture)
    for mode in ("Dark Mode", "Light Mode"):
        page.get_by_role("button", name="User").click()
        page.get_by_role("menuitem", name="Appearance").hover()
        page.get_by_role("menuitemradio", name=mode).or_(
            page.get_by_role("menuitem", name=mode)
        ).click()
        same = "===" if mode == "Light Mode" else "!=="
        page.wait_for_function(f"([was]) => {text} {same} was", arg=[before[0]])
        page.wait_for_function(
            f"([was]) => {{ const now = {picture}; return now && now {same} was; }}",
            arg=[before[1]],
        )
        expect(canvas).to_be_visible()


def test_charts_are_drawn_where_the_policy_forbids_to_make_code_of_text(
    visit: Visit, server: WebServer, model: Envelope
) -> None:
    model.log_metrics({"roc": RocCurve.from_scores([0, 1, 0, 1], [0.1, 0.9, 0.3, 0.6])})
    visitor = signed_in(visit, server)
    page = visitor.page

    def strictly(route: Route) -> None:
        """As a proxy in front of Airflow adds it."""
        answer = route.fetch()
        policy = "script-src 'self'; worker-src 'self' blob:; object-src 'none'"
        route.fulfill(
            response=answer, headers={**answer.headers, "content-security-policy": policy}
        )

    base = f"{visitor.url}/"
    page.route(lambda url: url == base or "/plugin/models" in url, strictly)
    page.goto(f"{visitor.url}/plugin/models/m/{model.id}?tab=metrics")
    expect(page.get_by_role("figure").filter(has_text="roc").locator("canvas")).to_be_visible()
    assert not visitor.errors
    # Not at once: what a debugger runs itself may make code of text.
    visitor.expected.append("unsafe-eval")
    tried = (
        "try { Function(''); globalThis.tried = 'made' } catch (e) { globalThis.tried = e.name }"
    )
    page.evaluate(f"() => setTimeout(() => {{ {tried} }})")
    page.wait_for_function("globalThis.tried")
    assert page.evaluate("globalThis.tried") == "EvalError"


def test_who_may_no_longer_change_anything_is_told_which_permission_is_missing(
    visit: Visit, server: WebServer, model: Envelope
) -> None:
    server.models.rule("ltv", when="region == 'US'", service="ltv")
    visitor = signed_in(visit, server)
    visitor.expected.append("403")
    page = visitor.page
    page.goto(f"{visitor.url}/plugin/models/rules/ltv")
    page.get_by_role("button", name="Pause").click()
    visitor.signed_in(server.token("viewer"))
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Pause").click()
    alert = dialog.get_by_role("alert")
    expect(alert).to_contain_text("Not allowed")
    expect(alert).to_contain_text("the permission to trigger the DAG 'model_deploy'")
    assert not server.models.store.get_rule("ltv").paused
    visitor.signed_in(server.token("user"))
    dialog.get_by_role("button", name="Pause").click()
    expect(dialog).to_have_count(0)
    assert server.models.store.get_rule("ltv").paused


def test_who_is_signed_out_meanwhile_signs_in_and_is_back(
    visit: Visit, server: WebServer, model: Envelope
) -> None:
    visitor = signed_in(visit, server)
    visitor.expected.append("401")
    page = visitor.page
    page.goto(f"{visitor.url}/plugin/models")
    expect(page.get_by_role("table", name="Models")).to_be_visible()
    # Airflow's own requests would lead away, a moment earlier or later.
    page.route(re.compile("/(ui|api/v2)/"), lambda route: None)
    page.context.clear_cookies()
    page.get_by_role("navigation", name="Model Envelope").get_by_role("link", name="Rules").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Session ended")
    page.unroute_all()
    alert.get_by_role("link", name="Sign in").click()
    page.wait_for_url("**/auth/login**")
    page.get_by_label("Username").fill(USERS["admin"])
    page.get_by_label("Password").fill("admin-word")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/plugin/models/rules")
    expect(page.get_by_role("heading", level=1)).to_have_text("Rules")


def test_a_run_that_waits_for_its_dag_says_so(
    visit: Visit, server: WebServer, model: Envelope
) -> None:
    path = "/api/v2/dags/model_deploy"
    assert server.ask(path, "admin", "PATCH", {"is_paused": True})[0] == 200
    visitor = signed_in(visit, server, "user")
    page = visitor.page
    page.goto(f"{visitor.url}/plugin/models/m/{model.id}")
    page.get_by_role("button", name="Deploy…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Service").fill("ltv")
    dialog.get_by_role("button", name="Deploy", exact=True).click()
    expect(dialog).to_contain_text("The DAG model_deploy is paused in Airflow")
    assert server.ask(path, "admin", "PATCH", {"is_paused": False})[0] == 200
    expect(dialog).not_to_contain_text("is paused in Airflow")
    expect(dialog).to_contain_text("Waiting for it to begin")
    dialog.get_by_role("button", name="Close").last.click()
    expect(dialog).to_have_count(0)


def test_what_airflow_has_no_more_is_said(
    visit: Visit, server: WebServer, save: Callable[[str], Envelope]
) -> None:
    model = save("once_there")
    visitor = signed_in(visit, server)
    page = visitor.page
    page.goto(f"{visitor.url}/plugin/models/m/{model.id}")
    source = page.get_by_role("definition").filter(has_text="once_there / fit")
    expect(source.get_by_role("link")).to_be_visible()
    for dag_id in ("once_there", "model_deploy"):
        status, text, _ = server.ask(f"/api/v2/dags/{dag_id}", "admin", "DELETE")
        assert status == 204, text
    page.reload()
    expect(source).to_contain_text("Airflow has this run no more")
    expect(source.get_by_role("link")).to_have_count(0)
    deploy = page.get_by_role("button", name="Deploy…")
    expect(deploy).to_be_disabled()
    expect(deploy).to_have_attribute("title", re.compile("Airflow has no DAG model_deploy"))
    # All else still works.
    page.get_by_role("button", name="Edit the description").click()
    page.get_by_role("textbox", name="Description").fill("Of a DAG that is gone")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("tabpanel")).to_contain_text("Of a DAG that is gone")
    # Back, for whatever test comes next.
    server.add_dag(DEPLOYING)
