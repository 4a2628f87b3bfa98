"""From a saved model to its URL: how long continuous deployment takes.

    python -m benchmarks.save_to_live [--times 5] [--airflow]

A rule wants the newest model of a process target whose environment is built already. A clock
starts when `save_model` has come back, and stops when the URL answers by the new release.
Without Airflow, `reconcile` runs once a second, as a timer would have it; with it, a whole
Airflow with `dags/continuous_deployment.py` does it by itself.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from benchmarks import report
from model_envelope.client.client import Client
from model_envelope.deployment.probing import ask
from model_envelope.deployment.rule import Rule
from model_envelope.deployment.targets.opening import open_target
from model_envelope.errors import TargetFailed

if TYPE_CHECKING:
    from model_envelope.client.envelope import Envelope

SERVICE = "ltv"
RULE = {"name": "newest", "service": SERVICE, "when": "canonical_name == 'ltv'"}
PATIENCE = 600.0


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=5)
    options.add_argument("--airflow", action="store_true", help="as Airflow does it, too")
    given = options.parse_args()
    rows = [_measure("reconcile every second", _reconciling, given.times)]
    if given.airflow:
        rows.append(_measure("Airflow: watcher, plan, deploy", _airflow, given.times))
    report.show("save to live", rows, worst_seconds=max(float(row["worst s"]) for row in rows))


def _measure(
    name: str, doing: Callable[[Client, Path], object], times: int
) -> dict[str, str | float]:
    with tempfile.TemporaryDirectory(prefix="save-to-live-") as folder, _client(folder) as client:
        rule = Rule.read(RULE)
        client.store.put_rule(rule.name, rule.service, rule.spec())
        with doing(client, Path(folder)):  # type: ignore[attr-defined]
            _until_live(client, _save(client, 0))
            found = []
            for number in range(1, times + 1):
                envelope, saved = _save(client, number), time.monotonic()
                _until_live(client, envelope)
                found.append(time.monotonic() - saved)
    return {"by": name, "median s": report.median(found), "worst s": max(found)}


@contextmanager
def _client(folder: str) -> Iterator[Client]:
    os.environ["MODEL_ENVELOPE_HOME"] = folder
    client = Client()
    try:
        yield client
    finally:
        target = open_target("process", client.platform)
        target.route([])
        for running in target.running():
            target.stop(running.release, drain=timedelta(0))
        client.store.close()


def _save(client: Client, number: int) -> Envelope:
    def model(frame: pd.DataFrame) -> pd.Series:
        return frame["a"] * number

    sample = pd.DataFrame({"a": [1.0, 2.0, 3.0]})
    return client.save_model(model, tags={"canonical_name": "ltv"}, api_input=sample)


def _until_live(client: Client, envelope: Envelope) -> None:
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        records = client.services()
        if records and records[0].live_envelope == envelope.id and records[0].url:
            try:
                answer = ask(records[0].url, "GET", "/readyz")
            except TargetFailed:
                continue
            if answer.headers.get("x-envelope-id") == envelope.id:
                return
        time.sleep(0.05)
    raise SystemExit(f"{envelope.id} was not live within {PATIENCE:.0f} s.")


@contextmanager
def _reconciling(client: Client, _folder: Path) -> Iterator[None]:
    done = threading.Event()

    def always() -> None:
        while not done.wait(1):
            client.reconcile()

    thread = threading.Thread(target=always)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def _airflow(client: Client, folder: Path) -> Iterator[None]:
    from tests.e2e.conftest import StandaloneAirflow

    dags = folder / "shipped"
    dags.mkdir()
    source = Path(__file__).parents[1] / "dags" / "continuous_deployment.py"
    (dags / source.name).write_text(source.read_text())
    environment = {
        "MODEL_ENVELOPE_HOME": str(folder),
        "MODEL_ENVELOPE_CACHE": str(client.cache),
        "MODEL_ENVELOPE_POLL_SECONDS": "1",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    }
    airflow = StandaloneAirflow(folder / "airflow", dags, environment)
    try:
        airflow.until("healthy Airflow", airflow.ready)
        yield
    finally:
        airflow.stop()


if __name__ == "__main__":
    main()
