"""Airflow in one process: its database in a folder, and runs of this folder's DAGs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from pathlib import Path

DAGS = Path(__file__).parents[1]


class RunFailed(Exception):
    """A DAG run did not succeed."""


def settle(home: Path) -> None:
    """Point Airflow, Spark and Model Envelope to folders in `home`, for this process.

    Must come before the first import of Airflow, which reads its configuration then.
    """
    os.environ.update(
        AIRFLOW_HOME=str(home / "airflow"),
        AIRFLOW__CORE__DAGS_FOLDER=str(DAGS),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
        AIRFLOW_VAR_CLIENT_LTV_TABLES=str(home / "tables"),
        AIRFLOW_CONN_SPARK_DEFAULT='{"conn_type": "spark", "host": "local[2]"}',
        MODEL_ENVELOPE_HOME=str(home / "envelopes"),
        MODEL_ENVELOPE_CACHE=str(home / "cache"),
        # Programs of this environment, such as spark-submit, without activating it.
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    )
    for name in ("MODEL_ENVELOPE_STORE", "MODEL_ENVELOPE_ARTIFACTS"):
        os.environ.pop(name, None)


def migrate() -> None:
    """Create Airflow's database, or bring it up to date."""
    subprocess.run([Path(sys.executable).with_name("airflow"), "db", "migrate"], check=True)


def run_dag(name: str, as_of: date) -> None:
    """Run the DAG of that name, in the file of that name, as `airflow dags test` does.

    Raises:
        RunFailed: it cannot be imported, or did not end in success.
    """
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(DAGS / f"{name}.py")
    if name not in bag.dags:
        raise RunFailed(f"{name} cannot be imported. {'; '.join(bag.import_errors.values())}")
    dag = bag.dags[name]
    run = dag.test(logical_date=datetime.combine(as_of, time(), UTC))
    # It ran in this process: what is done here afterwards is no task's work.
    for variable in [name for name in os.environ if name.startswith("AIRFLOW_CTX_")]:
        del os.environ[variable]
    if run.state != "success":
        failed = sorted({task.task_id for task in run.get_task_instances(state="failed")})
        raise RunFailed(f"{name} ended as {run.state}: {', '.join(failed) or 'no task failed'}")


@contextmanager
def output_to(log: Path) -> Iterator[None]:
    """Send what this process and its children print to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    try:
        with log.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, original in zip((1, 2), kept, strict=True):
            os.dup2(original, descriptor)
            os.close(original)
