"""A real Airflow on SQLite: its database, its DAGs folder, and a store of envelopes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from model_envelope.client.client import Client

DAGS = Path(__file__).parent / "dags"


@pytest.fixture(scope="session")
def airflow_database() -> Path:
    """AIRFLOW_HOME, with the database migrated and the tests' DAGs in its folder."""
    home = Path(os.environ["AIRFLOW_HOME"])
    shutil.copytree(DAGS, home / "dags", dirs_exist_ok=True)
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True)
    return home


@pytest.fixture
def models(
    airflow_database: Path, sqlite_store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Client:
    """A client of an empty store, which is also Airflow's default connection."""
    from model_envelope.client.client import Client

    artifacts = str(tmp_path / "artifacts")
    extra = {"store": sqlite_store_url, "artifacts": artifacts}
    description = json.dumps({"conn_type": "model_envelope", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_MODEL_ENVELOPE_DEFAULT", description)
    return Client(store=sqlite_store_url, artifacts=artifacts)


@pytest.fixture(scope="session")
def dags(airflow_database: Path) -> dict[str, DAG]:
    """The tests' DAGs by their ids."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(airflow_database / "dags")
    assert not bag.import_errors
    return bag.dags
