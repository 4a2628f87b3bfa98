"""The web application alone: who may do what, and what every answer has."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from fastapi.testclient import TestClient

from model_envelope.client.client import Client
from model_envelope.store.opening import open_store
from model_envelope.web.alone import alone
from model_envelope.web.app import NOUNS

API = "/api/v1/"
TOKEN = "sesame"  # noqa: S105
OURS = {"X-Model-Envelope": "1"}
MINE = {**OURS, "Authorization": f"Bearer {TOKEN}"}


def forty_two() -> int:
    return 42


forty_two.__module__ = "__main__"  # as in a notebook: saved by value


def problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    refusal: dict[str, Any] = answer.json()
    assert refusal["request_id"] == answer.headers["X-Request-Id"]
    found: dict[str, Any] = refusal["error"]
    return found


def test_the_session_says_who_and_what(browser: TestClient) -> None:
    asked = browser.get(API + "session")
    assert asked.json()["may"] == {"change": False, "deploy": False}
    assert asked.json()["mode"] == "alone"
    assert {"docker", "process"} <= set(asked.json()["targets"])
    assert asked.json()["store"] == {"ok": True, "message": "", "next_step": None}
    known = browser.get(API + "session", headers=MINE).json()
    assert known["may"] == {"change": True, "deploy": True}
    wrong = browser.get(API + "session", headers={"Authorization": "Bearer other"})
    assert "token is wrong" in problem(wrong, 401)["message"]
    assert wrong.headers["WWW-Authenticate"] == "Bearer"


def test_the_session_answers_without_a_store(tmp_path: Path) -> None:
    client = Client(store="postgresql+psycopg://x:y@127.0.0.1:1/z", artifacts=str(tmp_path))
    with TestClient(alone(lambda: client), base_url="http://127.0.0.1") as browser:
        store = browser.get(API + "session").json()["store"]
        assert not store["ok"]
        assert "y" not in store["message"].split("@")[0].split(":")[-1]
        assert "database" in store["next_step"]
        told = problem(browser.get(API + "models"), 503)
        assert told["code"] == "store_unavailable"
        assert told["hint"] == store["next_step"]


def test_a_store_of_an_old_schema_says_what_to_run(tmp_path: Path) -> None:
    file = tmp_path / "old.sqlite"
    with open_store(f"sqlite:///{file}"):
        pass
    import sqlite3

    with sqlite3.connect(file) as old:
        old.execute("UPDATE model_envelope_schema SET version_num = '0001'")
    old.close()
    client = Client(store=f"sqlite:///{file}", artifacts=str(tmp_path))
    with TestClient(alone(lambda: client), base_url="http://127.0.0.1") as browser:
        assert "db upgrade" in browser.get(API + "session").json()["store"]["next_step"]
        assert problem(browser.get(API + "models"), 503)["code"] == "schema_outdated"


def test_nothing_changes_without_the_token(client: Client) -> None:
    reading = TestClient(alone(lambda: client), base_url="http://127.0.0.1")
    keeping = TestClient(alone(lambda: client, token=TOKEN), base_url="http://127.0.0.1")
    changing = [
        (method, route.path)
        for noun in NOUNS
        for route in getattr(noun, "changes", noun.reads).routes
        for method in route.methods - {"GET", "HEAD"}
    ]
    for method, path in changing:
        address = API + re.sub(r"{[^}]+}", "abcd", path.lstrip("/"))
        assert problem(reading.request(method, address, headers=OURS), 403)
        assert problem(keeping.request(method, address, headers=OURS), 401)
        other = {**MINE, "Authorization": "Bearer other"}
        assert problem(keeping.request(method, address, headers=other), 401)
        bare = {"Authorization": f"Bearer {TOKEN}"}
        assert (
            "X-Model-Envelope"
            in problem(keeping.request(method, address, headers=bare), 403)["message"]
        )
        elsewhere = {**MINE, "Sec-Fetch-Site": "cross-site"}
        assert problem(keeping.request(method, address, headers=elsewhere), 403)


def test_only_the_names_of_this_machine_lead_here(browser: TestClient) -> None:
    answer = browser.get(API + "session", headers={"Host": "rebound.example.com"})
    assert answer.status_code == 400


def test_every_answer_is_framed(browser: TestClient) -> None:
    for path in ("session", "models", "nothing"):
        headers = browser.get(API + path).headers
        assert headers["Cache-Control"] == "private, no-cache"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in headers
    ids = {browser.get(API + "session").headers["X-Request-Id"] for _ in range(3)}
    assert len(ids) == 3


def test_what_is_known_is_not_sent_again(browser: TestClient, client: Client) -> None:
    for path in ("session", "models"):
        first = browser.get(API + path)
        tag = {"If-None-Match": f'"other", {first.headers["ETag"]}'}
        again = browser.get(API + path, headers=tag)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]
    tag = {"If-None-Match": browser.get(API + "models").headers["ETag"]}
    assert browser.get(API + "models?limit=2", headers=tag).status_code == 200
    client.save_model(forty_two, tags={"a": "b"}, api_input=None)
    assert browser.get(API + "models", headers=tag).status_code == 200


def test_every_route_is_documented(browser: TestClient) -> None:
    paths = browser.get(API + "openapi.json").json()["paths"]
    assert f"{API}models" in paths
    for path, methods in paths.items():
        for method, route in methods.items():
            good = next(body for status, body in route["responses"].items() if status < "300")
            assert route["summary"], path
            assert " " in route["summary"], f"{method} {path} is documented by its name only"
            if method == "get":
                assert good["content"]["application/json"]["schema"], path


def test_the_page_may_run_our_own_scripts_only(browser: TestClient) -> None:
    for path in ("/", "/m/abcd?tab=data", "/rules/best"):
        page = browser.get(path)
        assert page.headers["Content-Type"].startswith("text/html")
        policy = page.headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
    script = browser.get("/static/alone.js")
    assert "javascript" in script.headers["Content-Type"]
    known = {"If-None-Match": script.headers["ETag"]}
    assert browser.get("/static/alone.js", headers=known).status_code == 304
    assert browser.get("/static/..%2Fapp.py").status_code == 404
    assert browser.get("/static/nothing.js").status_code == 404


def test_a_failure_that_nobody_foresaw_has_words_and_an_id(
    browser: TestClient, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.store.head = None  # type: ignore[assignment, method-assign]
    told = problem(browser.get(API + "models"), 500)
    assert told["code"] == "internal"
    assert "log" in told["hint"]
    assert "Traceback" in caplog.text


def test_the_command_serves_the_pages(home: Path) -> None:
    command = [sys.executable, "-m", "model_envelope.cli", "ui", "--port", "0"]
    environment = os.environ | {"MODEL_ENVELOPE_UI_TOKEN": "a b&c", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        address, _, token = server.stdout.readline().strip().partition("#token=")
        assert unquote(token) == "a b&c"
        known = {"Authorization": "Bearer a b&c"}
        session = httpx.get(f"{address}api/v1/session", headers=known, timeout=60).json()
        assert session["may"]["change"]
        assert not httpx.get(f"{address}api/v1/session", timeout=60).json()["may"]["change"]
        taken = subprocess.run(
            [*command[:-1], address.rstrip("/").rpartition(":")[2]],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert taken.returncode == 1
        assert "Give another" in taken.stderr
        server.send_signal(signal.SIGINT)
        assert server.wait(60) in (0, 130)  # as what a shell has interrupted
        assert "Traceback" not in server.stderr.read()
    assert (home / "store.sqlite").exists()
