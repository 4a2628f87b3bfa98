"""The README's one command: a real Airflow and a real Spark on the real data, twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

DAGS = Path(__file__).parents[2] / "dags"


def as_a_newcomer() -> dict[str, str]:
    """The environment of somebody who has set nothing up."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "MODEL_ENVELOPE"))
    }


def run_demo(folder: Path) -> str:
    """Run the demo as `make demo` does; gives what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "demo", str(folder)],
        env={**as_a_newcomer(), "PYTHONPATH": str(DAGS)},
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def demo_home(tmp_path: Path) -> Iterator[Path]:
    """The demo's folder; the service that goes on after the demo ends with the test."""
    yield tmp_path
    command(tmp_path, "undeploy", "client-ltv")


def command(home: Path, *arguments: str) -> str:
    """What the command line prints in the demo's store."""
    done = subprocess.run(
        [sys.executable, "-m", "model_envelope.cli", *arguments],
        env={
            **as_a_newcomer(),
            "MODEL_ENVELOPE_HOME": str(home / "envelopes"),
            "MODEL_ENVELOPE_CACHE": str(home / "cache"),
        },
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.stdout


def predictions(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "tables" / "predictions").sort_values(
        "customer_id", ignore_index=True
    )


@pytest.mark.slow
@pytest.mark.spark
def test_the_demo_shows_that_all_ways_agree_and_can_be_run_again(demo_home: Path) -> None:
    first_output = run_demo(demo_home)
    first = predictions(demo_home)
    assert "to the last bit" in first_output
    assert "DIFFER" not in first_output
    assert len(first) == first["customer_id"].nunique() == 23_570
    assert first.groupby("segment", observed=True)["envelope_id"].nunique().tolist() == [1, 1, 1]
    report = (demo_home / "report.html").read_text()
    assert all(envelope in report for envelope in first["envelope_id"].unique())

    (service,) = json.loads(command(demo_home, "services", "--output", "json"))
    assert service["runs"] == first.query("segment == '1997-01'")["envelope_id"].iloc[0]
    ledger = json.loads(command(demo_home, "service", "client-ltv", "--output", "json"))
    states = [deployment["state"] for deployment in ledger["deployments"]]
    assert states == ["live", "retired", "failed", "failed", "retired"]
    reasons = [deployment["reason"] for deployment in ledger["deployments"]]
    assert reasons[2].endswith("The model raised: KeyError: 'LTV_SCALE'")
    assert reasons[3].startswith("not_worse: rmse is ")
    assert all(reason in report for reason in (service["url"], "rolls back"))

    run_demo(demo_home)
    second = predictions(demo_home)
    # New models of the same data: the rows were replaced, and only their envelopes differ.
    assert set(second["envelope_id"]).isdisjoint(first["envelope_id"])
    columns = ["customer_id", "ltv", "segment", "logical_date"]
    pd.testing.assert_frame_equal(first[columns], second[columns])


def test_the_example_dags_can_be_imported_and_nothing_beside_them_is_parsed(
    airflow_database: Path,
) -> None:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(DAGS)
    assert bag.import_errors == {}
    assert set(bag.dags) == {
        "client_ltv_train",
        "client_ltv_predict",
        "client_ltv_on_new_model",
        "client_ltv_weekly_if_new",
        "continuous_deployment",
        "model_deploy",
    }
    assert {Path(dag.fileloc).parent for dag in bag.dags.values()} == {DAGS}
