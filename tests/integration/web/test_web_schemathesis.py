"""The API against its own description, as an adversary reads it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import model_envelope as me

TOKEN = "sesame"  # noqa: S105
STARTS_PROCESSES = "/deployments$|/rollback$|/undeploy$"


def answer(row: dict[str, Any]) -> float:
    return float(row["x"])


answer.__module__ = "__main__"  # as in a notebook: saved by value


@pytest.fixture
def address(home: Path) -> Iterator[str]:
    """Where the pages of a store with a few things in it are served."""
    client = me.Client()
    for stage in ("dev", "prod"):
        tags = {"canonical_name": "m", "stage": stage}
        model = client.save_model(answer, tags=tags, api_input={"x": 1.5}, metrics={"auc": 0.5})
    client.rule("best", when="stage == 'prod'", service="ltv")
    client.store.want(
        "ltv", target={"kind": "process", "options": {}}, envelope_id=model.id, by="ada"
    )
    command = [sys.executable, "-m", "model_envelope.cli", "ui", "--port", "0"]
    environment = os.environ | {"MODEL_ENVELOPE_UI_TOKEN": TOKEN, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        yield server.stdout.readline().partition("#")[0]
        server.terminate()


@pytest.mark.slow
def test_schemathesis_finds_nothing(address: str, tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{address}api/v1/openapi.json"),
        *("-H", f"Authorization: Bearer {TOKEN}", "-H", "X-Model-Envelope: 1"),
        *("--checks", "not_a_server_error,status_code_conformance,response_schema_conformance"),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--seed", "1"),
        *("--exclude-path-regex", STARTS_PROCESSES, "--continue-on-failure"),
    ]
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
