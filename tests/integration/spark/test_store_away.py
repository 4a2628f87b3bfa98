"""A store that goes away while Spark works: what was done stays, and is recorded when it can be."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from model_envelope.batch import run
from model_envelope.batch.launch import SparkApplication
from model_envelope.client.client import Client
from model_envelope.client.envelope import Envelope
from model_envelope.errors import PredictionFailed, StoreUnavailable
from tests.integration.spark.conftest import WarmSpark

pytestmark = pytest.mark.spark


def doubling() -> Callable[[pd.DataFrame], Any]:
    def predict(frame: pd.DataFrame) -> Any:
        if frame["x"].eq(13).any():
            raise ValueError("unlucky")
        return frame["x"].to_numpy() * 2

    return predict


@pytest.fixture
def client(postgres_store_url: str, tmp_path: Path) -> Iterator[Client]:
    """A client of an empty store in PostgreSQL."""
    client = Client(postgres_store_url, str(tmp_path / "artifacts"))
    yield client
    client.store.close()


@pytest.fixture
def envelope(client: Client) -> Envelope:
    """A model that doubles `x`, but for 13."""
    sample = pd.DataFrame({"x": [0.5, 1.5]})
    return client.save_model(doubling(), tags={"canonical_name": "test"}, api_input=sample)


Predict = Callable[..., Any]


@pytest.fixture
def predict(client: Client, envelope: Envelope, warm_spark: WarmSpark, tmp_path: Path) -> Predict:
    """Runs the model over some rows; `then` happens when Spark has ended, before the record."""

    def predict(then: Callable[[], None], *, first: float = 0.0) -> Any:
        rows = pa.table({"x": [first, 1.0, 2.0]})
        (tmp_path / "in").mkdir(exist_ok=True)
        pq.write_table(rows, tmp_path / "in" / "part.parquet")

        def submit(application: SparkApplication) -> None:
            warm_spark.submit(application)
            then()

        return client.batch_predict(
            envelope,
            input_table=tmp_path / "in",
            output_table=tmp_path / "out",
            logical_date="2024-01-02",
            run_key="away",
            spark=run.SparkOptions(master="local[2]", environment="current", submit=submit),
        )

    return predict


def predictions(tmp_path: Path) -> list[float]:
    table = ds.dataset(tmp_path / "out", partitioning="hive").to_table()
    return sorted(table.column("prediction").to_pylist())


def test_a_store_that_is_back_soon_gets_the_record(
    client: Client, predict: Predict, postgres_server: Any, tmp_path: Path
) -> None:
    def restart() -> None:
        time.sleep(1.0)
        postgres_server.start()

    restarting = threading.Thread(target=restart)

    def stop() -> None:
        postgres_server.stop()
        restarting.start()

    try:
        predict(stop)
    finally:
        restarting.join()
    (record,) = client.store.batch_predictions(run_key="away")
    assert record.state == "done"
    assert predictions(tmp_path) == [0.0, 2.0, 4.0]


def test_a_table_whose_record_is_missing_is_said_to_be_complete(
    client: Client,
    predict: Predict,
    postgres_server: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "_PATIENCE", (0.1,))
    try:
        with pytest.raises(StoreUnavailable, match="cannot be reached") as caught:
            predict(postgres_server.stop)
    finally:
        postgres_server.start()
    (note,) = caught.value.__notes__
    assert f"{tmp_path / 'out'} is complete" in note
    assert "run_key='away'" in note
    assert predictions(tmp_path) == [0.0, 2.0, 4.0]
    (record,) = client.store.batch_predictions(run_key="away")
    assert record.state == "running"

    predict(lambda: None)
    (record,) = client.store.batch_predictions(run_key="away")
    assert record.state == "done"
    assert predictions(tmp_path) == [0.0, 2.0, 4.0]


def test_a_failure_is_told_although_it_cannot_be_recorded(
    predict: Predict, postgres_server: Any, tmp_path: Path
) -> None:
    try:
        with pytest.raises(PredictionFailed, match="unlucky"):
            predict(postgres_server.stop, first=13.0)
    finally:
        postgres_server.start()
    assert not (tmp_path / "out").exists()
