"""A real Prometheus and Alertmanager watch a real service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

import model_envelope as me
from model_envelope.monitoring.watched import watched
from model_envelope.monitoring.writing import write
from tests.conftest import free_port

pytestmark = pytest.mark.slow


def picky(frame: pd.DataFrame) -> pd.Series[float]:
    if (frame["x"] < 0).any():
        raise ValueError("negative")
    return frame["x"] * 2


picky.__module__ = "__main__"  # as in a notebook: saved by value


@pytest.fixture
def service(shared_cache: Path) -> Iterator[str]:
    """The URL of a service whose model does not stand negative numbers."""
    model = me.save_model(
        picky,
        tags={"canonical_name": "picky", "team": "growth"},
        api_input=pd.DataFrame({"x": [1.0, 2.0]}),
    )
    me.deploy(model, "picky")
    (record,) = me.services()
    yield str(record.url)
    me.undeploy("picky")


@pytest.fixture
def watchers(service: str, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Base URLs of a Prometheus and an Alertmanager that read what is written for them."""
    prometheus, alertmanager = free_port(), free_port()
    base = {
        "receivers": [{"name": "everybody"}, {"name": "team-growth"}],
        "route": {"receiver": "everybody"},
    }
    (tmp_path / "base.yml").write_text(yaml.safe_dump(base))
    write(
        tmp_path,
        watched(me.connect().platform),
        alertmanager=tmp_path / "base.yml",
        alertmanagers=[f"127.0.0.1:{alertmanager}"],
    )
    with ExitStack() as stack:
        stack.enter_context(
            _running(
                tmp_path,
                "prometheus",
                "--config.file=prometheus.yml",
                "--storage.tsdb.path=prometheus-data",
                f"--web.listen-address=127.0.0.1:{prometheus}",
            )
        )
        stack.enter_context(
            _running(
                tmp_path,
                "prometheus-alertmanager",
                "--config.file=alertmanager.yml",
                "--storage.path=alertmanager-data",
                "--cluster.listen-address=",
                f"--web.listen-address=127.0.0.1:{alertmanager}",
            )
        )
        yield f"http://127.0.0.1:{prometheus}", f"http://127.0.0.1:{alertmanager}"


def test_a_healthy_start_tells_nobody_and_failing_requests_tell_the_team(
    service: str, watchers: tuple[str, str]
) -> None:
    prometheus, alertmanager = watchers

    def alerts() -> dict[str, str]:
        found = _get(f"{prometheus}/api/v1/alerts")["data"]["alerts"]
        return {alert["labels"]["alertname"]: alert["state"] for alert in found}

    def targets() -> list[str]:
        found = _get(f"{prometheus}/api/v1/targets")["data"]["activeTargets"]
        return [target["health"] for target in found]

    _until("a target that is up", lambda: targets() == ["up"])
    for _ in range(20):
        _ask(service, 1.0)
    assert "ModelServiceFails" not in alerts()
    assert "ModelServiceDown" not in alerts()

    def failing() -> bool:
        for x in (1.0, -1.0):
            _ask(service, x)
        return alerts().get("ModelServiceFails") == "firing"

    _until("an alert", failing)
    assert "ModelServiceDown" not in alerts()

    def told() -> list[Any]:
        found = _get(f"{alertmanager}/api/v2/alerts")
        return [a for a in found if a["labels"]["alertname"] == "ModelServiceFails"]

    (alert,) = _until("a told alert", told)
    assert [receiver["name"] for receiver in alert["receivers"]] == ["team-growth"]
    assert alert["labels"]["service"] == "picky"
    assert alert["labels"]["severity"] == "page"
    assert alert["annotations"]["next_step"] == "model-envelope rollback picky"


def _ask(url: str, x: float) -> int:
    body = json.dumps([{"x": x}]).encode()
    request = urllib.request.Request(  # noqa: S310 - the service's own URL
        f"{url}/predict", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - our own
        return json.load(answer)


def _until(what: str, found: Callable[[], Any], seconds: float = 180) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if answer := found():
                return answer
        except (OSError, ConnectionError):
            pass
        time.sleep(0.5)
    raise AssertionError(f"There never was {what}.")


@contextmanager
def _running(folder: Path, program: str, *arguments: str) -> Iterator[None]:
    path = shutil.which(program)
    if not path:
        message = f"{program} is not installed: apt-get install prometheus prometheus-alertmanager"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with (folder / f"{program}.log").open("wb") as log:
        process = subprocess.Popen([path, *arguments], cwd=folder, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)
