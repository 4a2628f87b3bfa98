"""The API in Airflow's own web server, below a path: who may look, and who may change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.airflow_web import OURS, USERS, WebServer, web_server

pytestmark = pytest.mark.slow

API = "/model-envelope/api/v1"
FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
ADD_USERS = """
import json, sys
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
with get_application_builder() as builder:
    for name, role, word in json.loads(sys.argv[1]):
        found = builder.sm.find_role(role)
        assert builder.sm.add_user(name, name, name, f"{name}@example.com", found, password=word)
"""


def answer() -> int:
    return 42


answer.__module__ = "__main__"  # as in a notebook: saved by value


@pytest.fixture(scope="module")
def fab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """With the auth manager of the FAB provider."""
    pytest.importorskip("airflow.providers.fab")
    folder = tmp_path_factory.mktemp("fab")
    settings = {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__AUTH_MANAGER": FAB,
        # Where there are no DAGs: nobody needs them here.
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
    }
    environment = os.environ | settings
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=environment, check=True)
    users = [[name, role.capitalize(), f"{role}-word"] for role, name in USERS.items()]
    adding = [sys.executable, "-W", "ignore", "-c", ADD_USERS, json.dumps(users)]
    subprocess.run(adding, env=environment, check=True)
    with web_server(folder, settings) as found:
        yield found


@pytest.fixture(params=["server", "fab"])
def guarded(request: pytest.FixtureRequest) -> WebServer:
    """With either auth manager."""
    found: WebServer = request.getfixturevalue(request.param)
    return found


def test_who_may_look_and_who_may_change(guarded: WebServer) -> None:
    model = guarded.models.save_model(answer, tags={"canonical_name": "m"}, api_input=None).id
    rule = {"spec": {"when": "canonical_name == 'm'", "service": "ltv"}}
    asked: list[tuple[str, str, Any, tuple[int, ...]]] = [
        ("GET", "/session", None, (401, 200, 200, 200)),
        ("GET", "/models", None, (401, 200, 200, 200)),
        ("GET", f"/models/{model}", None, (401, 200, 200, 200)),
        ("GET", "/services/ltv/logs", None, (401, 404, 404, 404)),
        ("GET", "/runs?dag_id=a&run_id=b", None, (401, 200, 200, 200)),
        ("POST", "/rules/preview", rule, (401, 422, 422, 422)),
        ("PATCH", f"/models/{model}", {"description": "x"}, (401, 403, 200, 200)),
        ("PUT", "/rules/best", {**rule, "base_revision": 9}, (401, 403, 409, 409)),
        ("DELETE", "/rules/none", None, (401, 403, 404, 404)),
        ("POST", "/services/ltv/call/predict", [], (401, 403, 404, 404)),
        ("POST", "/services/ltv/undeploy", {}, (401, 403, 404, 404)),
    ]
    for method, path, body, statuses in asked:
        for role, status in zip((None, *USERS), statuses, strict=True):
            found, text, _ = guarded.ask(API + path, role, method, body)
            assert found == status, (method, path, role, text)
    told = json.loads(guarded.ask(f"{API}/rules/none", "viewer", "DELETE")[1])
    assert "model_deploy" in told["error"]["message"]
    history = json.loads(guarded.ask(f"{API}/models/{model}/history")[1])["items"]
    assert [event["actor"] for event in history if event["kind"] == "description"] == ["ada"]


def test_the_session_says_what_the_user_may(guarded: WebServer) -> None:
    for role, may in (("viewer", False), ("user", True), ("admin", True)):
        session = json.loads(guarded.ask(f"{API}/session", role)[1])
        assert session["mode"] == "airflow"
        assert session["user"] == USERS[role]
        assert session["may"] == {"change": may, "deploy": may}
        assert session["store"]["ok"]


def test_only_our_pages_have_a_browser_change_anything(server: WebServer) -> None:
    path = f"{API}/rules/none"
    elsewhere = {**OURS, "Sec-Fetch-Site": "same-site"}
    for headers in ({}, elsewhere):
        status, text, _ = server.ask(path, "admin", "DELETE", headers=headers)
        assert status == 403, text
    origin = {"Origin": "https://example.com"}
    _, _, headers_back = server.ask(f"{API}/session", headers=origin)
    assert "Access-Control-Allow-Origin" not in headers_back


def test_what_is_known_is_not_sent_again(server: WebServer) -> None:
    _, _, headers = server.ask(f"{API}/models")
    tag = {"If-None-Match": str(headers["ETag"])}
    assert server.ask(f"{API}/models", headers=tag)[:2] == (304, "")
    assert headers["Cache-Control"] == "private, no-cache"


def test_airflow_lists_the_pages_and_serves_their_files(server: WebServer) -> None:
    listed = json.loads(server.ask("/api/v2/plugins")[1])["plugins"]
    (ours,) = [plugin for plugin in listed if plugin["name"] == "model_envelope"]
    assert ours["fastapi_apps"][0]["url_prefix"] == "/model-envelope"
    apps = {app["name"]: app for app in ours["react_apps"]}
    assert apps["Models"]["destination"] == "nav"
    assert apps["Models"]["nav_top_level"]
    assert apps["Envelopes"]["destination"] == "dag_run"
    for app in apps.values():
        # Relative to Airflow's own base.
        status, text, headers = server.ask(f"/{app['bundle_url']}", None)
        assert status == 200
        assert "javascript" in str(headers["Content-Type"])
        assert f"globalThis.{app['name']} =" in text
    status, text, _ = server.ask("/model-envelope/static/../web.py", None)
    assert status == 404


def test_the_api_is_documented_where_it_is(server: WebServer) -> None:
    status, text, _ = server.ask(f"{API}/openapi.json", None)
    assert status == 200
    assert "/api/v1/models" in json.loads(text)["paths"]
