"""The README's one command: a real Airflow and a real Spark on the real data, twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import free_port

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

    see_it_in_airflow(demo_home, first_output)


def see_it_in_airflow(demo_home: Path, output: str) -> None:
    """As the user whom the demo names, at an address like the one that it names."""
    (password,) = re.findall(r"/plugin/models as admin, password (\S+)", output)
    with looking(demo_home) as url:

        def ask(path: str, body: Any = None, token: str = "") -> Any:
            request = urllib.request.Request(  # noqa: S310
                url + path,
                data=body and json.dumps(body).encode(),
                headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
            )
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return json.load(answer)

        who = {"username": "admin", "password": password}
        token = ask("/auth/token", who)["access_token"]
        api = "/model-envelope/api/v1"
        session = ask(f"{api}/session", token=token)
        assert (session["user"], session["may"]) == ("admin", {"change": True, "deploy": True})
        # By the last run alone: what the demo saved in its own process is no task's.
        found = ask(f"{api}/models", token=token)
        assert found["total"] == 22
        by_hand = [one for one in found["items"] if one["source"] is None]
        assert len(by_hand) == 4
        assert not ask("/api/v2/dags/continuous_deployment", token=token)["is_paused"]
        assert not ask("/api/v2/dags/model_deploy", token=token)["is_paused"]


@contextmanager
def looking(demo_home: Path) -> Iterator[str]:
    """The address at which `make look` has Airflow answer."""
    with subprocess.Popen(
        [sys.executable, "-m", "demo.look", str(demo_home), str(free_port())],
        env={**as_a_newcomer(), "PYTHONPATH": str(DAGS), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        said = ""
        for line in process.stdout:
            said += line
            if found := re.search(r"(http://\S+)/plugin/models", line):
                yield found[1]
                break
        else:
            pytest.fail(said)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, said


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
