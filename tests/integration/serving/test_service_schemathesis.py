"""Schemathesis against a service's own OpenAPI document: what it says is what it does."""

from __future__ import annotations

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
        "stock": pd.array([1, None, 3], "Int16"),
        "kind": pd.Categorical(["x", "y", "x"]),
        'say "so"': ["a", None, "c"],
        "seen": pd.to_datetime(pd.Series(["2024-01-01", "2024-02-29", None]), utc=True),
        "where": [{"lat": 1.5, "lon": None}, {"lat": 2.5, "lon": 1.0}, {"lat": 3.5, "lon": 2.0}],
        "history": [[1.0], [], [2.0, 3.0]],
    }
)
HOOKS = Path(__file__).with_name("schemathesis_hooks.py")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    def echo(frame: pd.DataFrame) -> pd.DataFrame:
        return frame

    folder = tmp_path_factory.mktemp("service")
    client = me.Client(f"sqlite:///{folder}/store.sqlite", str(folder / "artifacts"))
    envelope = client.save_model(echo, tags={"canonical_name": "stock"}, api_input=FRAME)
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


@pytest.mark.slow
def test_schemathesis_finds_nothing(service: Service, tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run"),
        f"http://127.0.0.1:{service.port}/openapi.json",
        # A schema cannot say all: columns must be of one length, tensors as large as their shape.
        *("--checks", "all", "--exclude-checks", "positive_data_acceptance"),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--seed", "1"),
        *("--workers", "2", "--continue-on-failure"),
    ]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": str(HOOKS), "PYTHONWARNINGS": "ignore"}
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert not [line for line in service.logged() if line["level"] == "error"]
