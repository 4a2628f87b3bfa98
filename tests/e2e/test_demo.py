"""The README's one command: a real Airflow and a real Spark on the real data, twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

DAGS = Path(__file__).parents[2] / "dags"


def run_demo(folder: Path) -> str:
    """Run the demo as `make demo` does; gives what it printed."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "MODEL_ENVELOPE"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "demo", str(folder)],
        env={**environment, "PYTHONPATH": str(DAGS)},
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def predictions(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "tables" / "predictions").sort_values(
        "customer_id", ignore_index=True
    )


@pytest.mark.slow
@pytest.mark.spark
def test_the_demo_shows_that_batch_and_model_agree_and_can_be_run_again(tmp_path: Path) -> None:
    first_output = run_demo(tmp_path)
    first = predictions(tmp_path)
    assert "to the last bit" in first_output
    assert "DIFFER" not in first_output
    assert len(first) == first["customer_id"].nunique() == 23_570
    assert first.groupby("segment", observed=True)["envelope_id"].nunique().tolist() == [1, 1, 1]
    report = (tmp_path / "report.html").read_text()
    assert all(envelope in report for envelope in first["envelope_id"].unique())

    run_demo(tmp_path)
    second = predictions(tmp_path)
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
    }
    assert {Path(dag.fileloc).parent for dag in bag.dags.values()} == {DAGS}
