"""Schemathesis against a service's own OpenAPI document: what it says is what it does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import model_envelope as me
from model_envelope.isolation import fetch_all, service_plan
from tests.integration.serving.support import TOKEN, Service

FRAME = pd.DataFrame(
    {
        "price": [0.1, np.nan, 2.5],
        "count": pd.array([2**53 + 1, 2, 3], "int64"),
        "share": np.array([0.5, 0.25, 0.75], "float32"),
        "stock": pd.array([1, None, 3], "Int16"),
        "kind": pd.Categorical(["x", "y", "x"]),
        'say "so"': ["a", None, "c"],
        "when": pd.to_datetime(["2024-01-01", "2024-02-29", "2024-03-01"]),
        "seen": pd.to_datetime(["2024-01-01", "2024-02-29", None]).tz_localize("UTC"),
        "where": [{"lat": 1.5, "lon": None}, {"lat": 2.5, "lon": 1}, {"lat": 3.5, "lon": 2}],
        "history": [[1.0], [], [2.0, 3.0]],
        "photo": [b"a", b"", b"ccc"],
    }
)
HOOKS = Path(__file__).with_name("schemathesis_hooks.py")


def value(frame: pd.DataFrame) -> pd.Series:
    """What the stock is worth."""
    return frame["price"] * frame["share"]


def echo(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    client = me.Client(f"sqlite:///{folder}/store.sqlite", str(folder / "artifacts"))
    envelope = client.save_model(
        value, tags={"canonical_name": "stock"}, api_input=FRAME, query_functions={"echo": echo}
    )
    plan = service_plan(
        envelope.record,
        service="stock",
        release="stock0",
        directory=fetch_all(client.artifacts, envelope.record),
        scratch=folder / "scratch",
        control_token=TOKEN,
    )
    service = Service(plan, folder)
    yield service
    service.close()


def test_schemathesis_finds_nothing(service: Service, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run"),
        f"http://127.0.0.1:{service.port}/openapi.json",
        *("--checks", "all", "--exclude-checks", "positive_data_acceptance"),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--seed", "1"),
        *("--continue-on-failure", "--suppress-health-check", "all"),
        f"--report-json-path={report}",
    ]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": str(HOOKS), "PYTHONWARNINGS": "ignore"}
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert service.get("/readyz").status == 200
    assert json.loads(report.read_text())
