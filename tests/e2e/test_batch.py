"""The batch operator in DAG runs of a real Airflow, with a real Spark."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from airflow.models.asset import AssetEvent
from airflow.sdk import DAG, DagRunState, TaskInstanceState
from airflow.utils.session import create_session

if TYPE_CHECKING:
    from model_envelope.client.client import Client

pytestmark = [pytest.mark.slow, pytest.mark.spark]

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def multiplication(trace: Path, factor: int) -> Any:
    """A model that leaves a trace of who loads it. Its class is saved by value."""

    class Multiplication:
        def __init__(self) -> None:
            self.trace, self.factor = trace, factor

        def __setstate__(self, state: dict[str, Any]) -> None:
            import sys
            import uuid

            self.__dict__.update(state)
            who = f"{sys.prefix}\n{' '.join(sys.orig_argv)}"
            (self.trace / uuid.uuid4().hex).write_text(who)

        def predict(self, frame: Any) -> Any:
            return frame["x"].rename("product") * self.factor

    return Multiplication()


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    folder = tmp_path / "trace"
    folder.mkdir()
    return folder


@pytest.fixture
def conf(tmp_path: Path) -> dict[str, str]:
    """The run's conf: a folder with a table of customers, and the model's name."""
    (tmp_path / "customers").mkdir()
    frame = pd.DataFrame({"id": range(100), "x": range(100)})
    frame.to_parquet(tmp_path / "customers" / "part.parquet", index=False)
    return {"folder": str(tmp_path), "name": "product"}


def save(models: Client, trace: Path, factor: int = 2) -> str:
    sample = pd.DataFrame({"x": [1, 2, 3]})
    envelope = models.save_model(
        multiplication(trace, factor), tags={"canonical_name": "product"}, api_input=sample
    )
    for file in trace.iterdir():  # saving tries what it saves
        file.unlink()
    return envelope.id


def predictions(conf: dict[str, str]) -> pd.DataFrame:
    return pd.read_parquet(Path(conf["folder"], "predictions"))


def by_day(conf: dict[str, str]) -> dict[str, tuple[int, int]]:
    """Number of rows and sum of predictions of each logical date."""
    found = predictions(conf)
    days = found.groupby(found["logical_date"].astype(str))["product"]
    return {day: (len(values), int(values.sum())) for day, values in days}


def test_runs_predict_each_their_day_and_tell_what_they_did(
    models: Client, dags: dict[str, DAG], conf: dict[str, str], trace: Path
) -> None:
    model = save(models, trace)

    for day in (1, 2):
        run = dags["predict"].test(logical_date=DAY.replace(day=day), run_conf=conf)
        assert run.state == DagRunState.SUCCESS

    assert by_day(conf) == {"2026-03-01": (100, 2 * 4950), "2026-03-02": (100, 2 * 4950)}
    assert set(predictions(conf)["envelope_id"]) == {model}
    task = run.get_task_instance("predict")
    assert task.xcom_pull("predict") == model
    key = f"predict/predict/{run.run_id}"
    assert task.xcom_pull("predict", key="run_key") == key
    link = f"plugin/models/m/{model}"
    assert task.xcom_pull("predict", key="_link_EnvelopeLink") == link
    (recorded,) = models.store.batch_predictions(run_key=key)
    assert (recorded.state, recorded.envelope_id) == ("done", model)
    assert models.store.predictions_of_run("predict", run.run_id) == (recorded,)
    with create_session() as session:
        event = session.query(AssetEvent).filter_by(source_run_id=run.run_id).one()
        assert event.asset.name == f"{conf['folder']}/predictions"
        assert event.extra == {"envelope_id": model, "run_key": key, "rows": 100}

    save(models, trace, factor=3)
    dags["predict"].test(logical_date=DAY, run_conf=conf)
    assert by_day(conf) == {"2026-03-01": (100, 3 * 4950), "2026-03-02": (100, 2 * 4950)}


def test_a_mapped_task_without_a_logical_date_takes_the_time_it_was_due(
    models: Client, dags: dict[str, DAG], conf: dict[str, str], trace: Path
) -> None:
    save(models, trace)
    due = DAY.replace(hour=6)
    run = dags["predict_mapped"].test(logical_date=None, run_after=due, run_conf=conf)
    assert run.state == DagRunState.SUCCESS
    assert by_day(conf) == {"2026-03-01T06:00:00Z": (100, 2 * 4950)}
    (recorded,) = models.store.batch_predictions()
    assert recorded.run_key == f"predict_mapped/predict/{run.run_id}[0]"
    assert recorded.airflow == {
        "dag_id": "predict_mapped",
        "run_id": run.run_id,
        "task_id": "predict",
        "map_index": "0",
        "try_number": "1",
    }


def test_without_a_match_the_task_is_skipped(
    models: Client, dags: dict[str, DAG], conf: dict[str, str]
) -> None:
    run = dags["predict"].test(run_conf=conf)
    assert run.get_task_instance("predict").state == TaskInstanceState.SKIPPED
    assert not Path(conf["folder"], "predictions").exists()


def test_a_model_that_is_too_old_fails_the_task(
    models: Client, dags: dict[str, DAG], conf: dict[str, str], trace: Path
) -> None:
    save(models, trace)
    run = dags["predict_with_a_fresh_model"].test(run_conf=conf)
    assert run.get_task_instance("predict").state == TaskInstanceState.FAILED
    assert not Path(conf["folder"], "predictions").exists()


# The Spark provider leaves its pipe to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_only_the_models_own_python_loads_it(
    models: Client,
    dags: dict[str, DAG],
    conf: dict[str, str],
    trace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    description = json.dumps({"conn_type": "spark", "host": "local[2]"})
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_OF_TESTS", description)
    save(models, trace)

    run = dags["predict_isolated"].test(run_conf=conf)

    assert run.state == DagRunState.SUCCESS
    assert predictions(conf)["product"].sum() == 2 * 4950
    loaded = [file.read_text().splitlines() for file in trace.iterdir()]
    assert loaded
    assert all(prefix != sys.prefix for prefix, _ in loaded)
    assert all("pyspark" in command for _, command in loaded)
