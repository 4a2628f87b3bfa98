"""Which run of a DAG saved, predicted or deployed something: the key by which it is found."""

from __future__ import annotations

from collections.abc import Mapping

MAX_KEY = 512


def run_of(airflow: Mapping[str, str]) -> str | None:
    """The key of the run that a task belongs to; None where no task of Airflow did it.

    Args:
        airflow: the task, as `Provenance.airflow` has it.
    """
    dag_id, run_id = airflow.get("dag_id"), airflow.get("run_id")
    return key(dag_id, run_id) if dag_id and run_id else None


def key(dag_id: str, run_id: str) -> str:
    """A run of a DAG as one text; unlike a run's, a DAG's id has no slash."""
    return f"{dag_id}/{run_id}"[:MAX_KEY]
