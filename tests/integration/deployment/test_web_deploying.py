"""Deploying from the pages that stand alone: begun by a request, done by another process."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from fastapi.testclient import TestClient

from model_envelope.web.alone import alone
from tests.integration.deployment.scene import SERVICE, Scene, times

MINE = {"X-Model-Envelope": "1", "Authorization": "Bearer sesame"}
PATIENCE = 240.0


@pytest.fixture
def browser(scene: Scene) -> TestClient:
    app = alone(lambda: scene.client, token="sesame")  # noqa: S106
    return TestClient(app, base_url="http://127.0.0.1", headers=MINE)


def until(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(0.2)
    raise AssertionError("It took too long.")


def shown(browser: TestClient, path: str = "") -> Any:
    answer = browser.get(f"/api/v1/services/{SERVICE}{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def runs(browser: TestClient, envelope_id: str) -> bool:
    live = shown(browser)["live"]
    return live is not None and live["envelope"] == envelope_id


def test_a_model_is_deployed_called_and_rolled_back(scene: Scene, browser: TestClient) -> None:
    first, second = scene.save(times(2), stage="one"), scene.save(times(3), stage="two")
    loaded: list[str] = []

    def listen(event_name: str, _arguments: Any) -> None:
        if event_name == "pickle.find_class":
            loaded.append(event_name)

    sys.addaudithook(listen)
    for model in (first, second):
        begun = browser.post(
            "/api/v1/deployments", json={"envelope": model.id, "service": SERVICE, "reason": "test"}
        )
        assert begun.status_code == 202, begun.text
        assert begun.json()["service"] == SERVICE
        until(partial(runs, browser, model.id))
        until(lambda: shown(browser)["state"] == "live")
    healthy = shown(browser, "/health")
    assert healthy["state"] == "healthy", healthy
    assert len(healthy["replicas"]) == 1
    called = browser.post(f"/api/v1/services/{SERVICE}/call/predict", json=[{"a": 2.0}]).json()
    assert called["status"] == 200, called
    assert "6.0" in called["body"]
    assert called["headers"]["x-envelope-id"] == second.id
    assert shown(browser, "/health")["rates"]["requests_per_minute"] > 0
    assert "text" in shown(browser, "/logs")
    steps = browser.get(f"/api/v1/deployments/{shown(browser)['live']['deployment']}").json()
    assert all(step["state"] in ("running", "passed") for step in steps["steps"])
    assert steps["by"] == scene.client.actor
    back = browser.post(f"/api/v1/services/{SERVICE}/rollback", json={"reason": "worse"})
    assert back.status_code == 202, back.text
    until(partial(runs, browser, first.id))
    ended = browser.post(f"/api/v1/services/{SERVICE}/undeploy", json={})
    assert ended.status_code == 202, ended.text
    until(lambda: shown(browser)["live"] is None)
    until(lambda: shown(browser)["state"] == "stopped")
    assert shown(browser, "/health")["state"] == "unknown"
    assert json.loads(browser.get(f"/api/v1/models/{first.id}").text)["needed_by"] == []
    assert loaded == []
