"""What does not fit is refused with the difference, and the output is as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from model_envelope import isolation
from model_envelope.batch.launch import SparkApplication
from model_envelope.batch.run import BatchPrediction, SparkOptions
from model_envelope.client.client import Client
from model_envelope.client.envelope import Envelope
from model_envelope.errors import (
    ArtifactCorrupted,
    BatchPredictionFailed,
    EnvelopeError,
    InvalidInput,
    PredictionFailed,
    SchemaError,
)
from model_envelope.runtime import bundle

pytestmark = pytest.mark.spark

Run = Callable[..., BatchPrediction]


def scoring() -> Callable[[pd.DataFrame], Any]:
    def predict(frame: pd.DataFrame) -> Any:
        return 100 / frame["x"].to_numpy(dtype="int64") + frame["n"].to_numpy()

    return predict


def refusing() -> Callable[[pd.DataFrame], Any]:
    def predict(frame: pd.DataFrame) -> Any:
        if (frame["x"] == 777).any():
            raise ZeroDivisionError(f"no score for {777}")
        return frame["x"].to_numpy() + frame["n"].to_numpy()

    return predict


def centring() -> Callable[[pd.DataFrame], Any]:
    def predict(frame: pd.DataFrame) -> Any:
        return frame["x"].to_numpy() - frame["x"].mean()

    return predict


SAMPLE = pd.DataFrame({"x": [1.0, 2.0], "n": [1, 2], "note": ["a", None]})


@pytest.fixture
def envelope(client: Client) -> Envelope:
    """A model of two numbers and a text that may be missing."""
    return client.save_model(refusing(), tags={"canonical_name": "test"}, api_input=SAMPLE)


def table(rows: int = 2_000, **columns: Any) -> pa.Table:
    plain = {
        "id": pa.array(range(rows)),
        "x": pa.array(np.arange(rows, dtype="float64") + 1_000),
        "n": pa.array(range(rows), pa.int64()),
        "note": pa.nulls(rows, pa.string()),
    }
    return pa.table({k: v for k, v in {**plain, **columns}.items() if v is not None})


def write(folder: Path, rows: pa.Table) -> Path:
    folder.mkdir(exist_ok=True)
    pq.write_table(rows, folder / "part.parquet", row_group_size=500)
    return folder


def never(application: SparkApplication) -> NoReturn:
    raise AssertionError("Spark was started")


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"x": None}, "column 'x' is missing: double is expected"),
        ({"n": pa.array(["1"] * 2_000)}, "column 'n' is string, but int64 is expected"),
        ({"x": pa.array([1.0, None] * 1_000)}, "column 'x' has 1000 nulls in 2000 rows"),
        ({"t": pa.array([0] * 2_000, pa.timestamp("ns"))}, "coerce_timestamps='us'"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_before_spark(
    client: Client, envelope: Envelope, tmp_path: Path, columns: dict[str, Any], problem: str
) -> None:
    source = write(tmp_path / "in", table(**columns))
    with pytest.raises(SchemaError, match=problem):
        client.batch_predict(
            envelope,
            input_table=source,
            output_table=tmp_path / "out",
            spark=SparkOptions(environment="current", submit=never),
        )
    assert not (tmp_path / "out").exists()
    assert client.store.batch_predictions() == ()


def test_text_columns_are_compared_before_spark(
    client: Client, envelope: Envelope, tmp_path: Path
) -> None:
    pyarrow.csv.write_csv(table(n=None, N=pa.array(range(2_000))), tmp_path / "in.csv")
    with pytest.raises(
        SchemaError, match="columns id, x, note, N, does not fit:\n  - column 'n' is"
    ):
        client.batch_predict(
            envelope,
            input_table=tmp_path / "in.csv",
            output_table=tmp_path / "out",
            spark=SparkOptions(environment="current", submit=never),
        )


def test_other_reasons_not_to_start(client: Client, envelope: Envelope, tmp_path: Path) -> None:
    source = write(tmp_path / "in", table())
    dependent = client.save_model(
        centring(),
        tags={"canonical_name": "dependent"},
        api_input=SAMPLE,
    )
    undescribed = client.save_model(refusing(), tags={"canonical_name": "u"}, api_input=None)
    cases: list[tuple[Envelope, dict[str, Any], type[EnvelopeError], str]] = [
        (envelope, {"max_age": timedelta(0)}, BatchPredictionFailed, "max_age is 0:00:00"),
        (envelope, {"query_function": "explain"}, InvalidInput, "no query function 'explain'"),
        (dependent, {}, InvalidInput, "allow_row_dependent=True"),
        (undescribed, {}, InvalidInput, "without api_input"),
        (envelope, {"input_table": tmp_path / "nowhere"}, InvalidInput, "is not there"),
        (
            envelope,
            {"spark": SparkOptions(conf={"spark.sql.runSQLOnFiles": "true"}, submit=never)},
            InvalidInput,
            "must be 'false'",
        ),
    ]
    for chosen, options, kind, message in cases:
        defaults: dict[str, Any] = {
            "input_table": source,
            "output_table": tmp_path / "out",
            "spark": SparkOptions(environment="current", submit=never),
        }
        with pytest.raises(kind, match=message):
            client.batch_predict(chosen, **(defaults | options))


def test_what_spark_finds_is_refused_before_a_row_is_read(
    envelope: Envelope, run: Run, tmp_path: Path
) -> None:
    source = write(tmp_path / "in", table())
    query = "SELECT id, CAST(x AS STRING) AS x, note FROM input"
    with pytest.raises(SchemaError) as caught:
        run(
            envelope,
            input_table={"input": source},
            sql=query,
            keep_columns=["id", "place"],
            extra_columns="refuse",
            output_table=tmp_path / "out",
        )
    assert caught.value.args[0].splitlines()[1:] == [
        "  - column 'x' is string, but double is expected",
        "  - column 'n' is missing: int64 is expected",
        "  - column 'place' of keep_columns is there 0 times",
    ]
    with pytest.raises(SchemaError, match="column 'id' is neither needed nor kept"):
        run(envelope, input_table=source, extra_columns="refuse", output_table=tmp_path / "out")
    with pytest.raises(InvalidInput, match="path='direct' is not possible: the input is a query"):
        run(
            envelope,
            input_table={"input": source},
            sql="SELECT * FROM input",
            path="direct",
            output_table=tmp_path / "out",
        )
    with pytest.raises(InvalidInput, match="Add it to keep_columns"):
        run(
            envelope,
            input_table=source,
            partition_columns=["region"],
            output_table=tmp_path / "out",
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("path", ["direct", "general"])
def test_rows_that_the_model_cannot_take_leave_the_table_as_it_was(
    client: Client, envelope: Envelope, run: Run, tmp_path: Path, path: str
) -> None:
    options: dict[str, Any] = {
        "output_table": tmp_path / "out",
        "keep_columns": ["id"],
        "path": path,
    }
    run(envelope, input_table=write(tmp_path / "in", table()), **options)
    before = sorted((tmp_path / "out").rglob("*"))

    missing = np.arange(2_000, dtype="float64")
    missing[[3, 1_999]] = np.nan
    source = write(tmp_path / "in", table(x=pa.array(missing)))
    with pytest.raises(SchemaError, match=r"column 'x' has [12] missing values in [12]000"):
        run(envelope, input_table=source, run_key="nan", **options)

    unlucky = np.arange(2_000, dtype="float64")
    source = write(tmp_path / "in", table(x=pa.array(unlucky)))
    with pytest.raises(PredictionFailed) as caught:
        run(envelope, input_table=source, run_key="raises", **options)
    assert "ZeroDivisionError: no score for 777" in str(caught.value)
    assert "The first such row has id=777, x=777.0, n=777, note=None." in str(caught.value)
    assert 'raise ZeroDivisionError(f"no score for {777}")' in caught.value.__notes__[0]
    assert len(caught.value.__notes__[0].splitlines()) < 10

    assert sorted((tmp_path / "out").rglob("*")) == before
    assert [entry.name for entry in (tmp_path / ".out.model-envelope").iterdir()] == ["lock"]
    (failed,) = client.store.batch_predictions(run_key="raises")
    assert failed.state == "failed"
    assert "no score for 777" in str(failed.error)


def test_a_changed_model_is_not_unpickled_anywhere(
    client: Client, envelope: Envelope, run: Run, tmp_path: Path
) -> None:
    source = write(tmp_path / "in", table())
    model = Path(client.artifacts.address) / envelope.id / "model.bin"
    canary = tmp_path / "canary"

    class Canary:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.write_text, (canary, "unpickled"))

    import pickle

    model.chmod(0o644)
    bundle.write(model, pickle.dumps({"predict": Canary()}), [])
    with pytest.raises(ArtifactCorrupted):
        run(envelope, input_table=source, output_table=tmp_path / "out")
    assert not canary.exists()


def test_the_executor_checks_for_itself(
    client: Client, envelope: Envelope, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is changed after the last check on this side."""
    source = write(tmp_path / "in", table())
    fetch: Callable[..., Path] = isolation.fetch

    def fetch_and_change(*args: Any) -> Path:
        folder = fetch(*args)
        model = folder / "model.bin"
        model.chmod(0o644)
        content = bytearray(model.read_bytes())
        content[-1] ^= 1
        model.write_bytes(content)
        return folder

    monkeypatch.setattr(isolation, "fetch", fetch_and_change)
    with pytest.raises(ArtifactCorrupted, match="It was not loaded"):
        run(envelope, input_table=source, output_table=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_ledger_tells_the_run(
    client: Client, envelope: Envelope, run: Run, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=2_000)
    given = table(x=pa.array(x), note=pa.array(["a", "b", None, "a"] * 500))
    done = run(
        envelope,
        input_table=write(tmp_path / "in", given),
        output_table=tmp_path / "out",
        run_key="dag/task/2024-01-02",
    )
    (record,) = client.store.batch_predictions(run_key="dag/task/2024-01-02")
    assert (record.state, record.envelope_id) == ("done", envelope.id)
    assert record.request["inputs"] == {"in": str(tmp_path / "in")}
    assert record.result is not None
    assert json.loads(json.dumps(record.result)) == record.result
    assert record.result["rows"] == done.rows == 2_000

    found = done.input_statistics["x"]
    assert (found["count"], found["missing"]) == (2_000, 0)
    for name, expected in (
        ("min", x.min()),
        ("max", x.max()),
        ("mean", x.mean()),
        ("std", x.std(ddof=1)),
    ):
        assert found[name] == pytest.approx(expected)
    assert found["quantiles"] == pytest.approx(np.quantile(x, np.linspace(0, 1, 21)), abs=0.2)
    assert done.input_statistics["note"]["missing"] == 500
    assert [word for word, _ in done.input_statistics["note"]["top"]] == ["a", "b"]
    y = x + np.arange(2_000)
    assert done.output_statistics["prediction"]["mean"] == pytest.approx(y.mean())
    assert done.output_statistics["prediction"]["std"] == pytest.approx(y.std(ddof=1))
    assert {"prepare", "predict", "publish", "model", "total"} <= set(done.seconds)


def test_a_retry_takes_the_envelope_of_the_first_try(
    client: Client, run: Run, tmp_path: Path
) -> None:
    source = write(tmp_path / "in", table(2))
    tags = {"canonical_name": "test"}
    first = client.save_model(refusing(), tags=tags, api_input=SAMPLE)
    query = "canonical_name == 'test'"
    options = {"input_table": source, "output_table": tmp_path / "out"}
    assert run(query, run_key="a", **options).envelope_id == first.id
    second = client.save_model(scoring(), tags=tags, api_input=SAMPLE)
    assert run(query, run_key="a", **options).envelope_id == first.id
    assert run(query, run_key="b", **options).envelope_id == second.id
