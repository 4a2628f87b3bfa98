"""Spark as users start it: environments, processes that die, catalogs that are shared."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from model_envelope.batch.launch import SparkApplication, spark_submit
from model_envelope.batch.request import DataPath
from model_envelope.batch.run import SparkOptions
from model_envelope.client.client import Client
from model_envelope.environment.interpreters import find_interpreter
from model_envelope.errors import BatchPredictionFailed, EnvironmentNotBuildable

pytestmark = [pytest.mark.spark, pytest.mark.slow]

TAGS = {"canonical_name": "test"}
SAMPLE = pd.DataFrame({"x": [0.5, 1.5]})
REPOSITORY = Path(__file__).parents[3]


def telling(weights: Any) -> Callable[[pd.DataFrame], Any]:
    """A model that says where it runs, and how its weights are there."""

    def predict(frame: pd.DataFrame) -> pd.DataFrame:
        import os
        import sys
        from importlib.util import find_spec
        from pathlib import Path

        told = pd.DataFrame({"prediction": frame["x"].to_numpy() * weights[0]})
        told["python"] = sys.version.split()[0]
        told["prefix"] = sys.prefix
        told["mapped"] = "/model.bin" in Path("/proc/self/maps").read_text()
        told["copied"] = bool(weights.flags.owndata)
        told["threads"] = os.environ.get("OMP_NUM_THREADS", "")
        told["store"] = os.environ.get("MODEL_ENVELOPE_STORE", "")
        told["ours"] = find_spec("sqlalchemy") is not None
        return told

    return predict


def write(folder: Path, rows: int, *, files: int = 1) -> Path:
    folder.mkdir(exist_ok=True)
    for i in range(files):
        part = pa.table({"id": pa.array(range(i * rows, (i + 1) * rows)), "x": [1.0] * rows})
        pq.write_table(part, folder / f"{i}.parquet", row_group_size=1_000)
    return folder


def read(folder: Path) -> pd.DataFrame:
    frame: pd.DataFrame = ds.dataset(folder, partitioning="hive").to_table().to_pandas()
    return frame


def test_a_model_runs_in_its_own_environment_and_is_loaded_once_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_ENVELOPE_STORE", f"sqlite:///{tmp_path}/store.sqlite")
    client = Client()
    model = telling(np.full(1_000_000, 2.0))
    envelope = client.save_model(model, tags=TAGS, api_input=SAMPLE)
    done = client.batch_predict(
        envelope,
        input_table=write(tmp_path / "in", 60_000, files=5),
        output_table=tmp_path / "out",
        keep_columns=["id"],
        spark=SparkOptions(master="local[2]"),
    )
    found = read(tmp_path / "out")
    assert sorted(found["id"]) == list(range(300_000))
    assert found["prediction"].eq(2.0).all()
    assert (done.path, done.rows, done.tasks > done.workers) == ("direct", 300_000, True)
    assert 1 <= done.loads == done.workers <= 2
    (prefix,) = found["prefix"].unique()
    assert Path(prefix).parent == client.cache / "environments"
    assert set(found["mapped"]) == {True}
    assert set(found["copied"]) == {False}
    assert set(found["threads"]) == {"1"}
    assert set(found["store"]) == {""}
    assert set(found["ours"]) == {False}


def plain() -> Callable[[list[dict[str, Any]]], Any]:
    """A model that needs nothing but Python."""

    def predict(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        from importlib.util import find_spec

        there = any(find_spec(name) for name in ("pandas", "numpy"))
        return [{"double": row["x"] * 2, "there": there} for row in rows]

    return predict


@pytest.mark.parametrize("path", ["direct", "general"])
def test_a_model_without_pandas_needs_none(tmp_path: Path, path: DataPath) -> None:
    client = Client()
    envelope = client.save_model(plain(), tags=TAGS, api_input=[{"x": 0.5}, {"x": 1.5}])
    done = client.batch_predict(
        envelope,
        input_table=write(tmp_path / "in", 10),
        output_table=tmp_path / "out",
        path=path,
        spark=SparkOptions(master="local[2]"),
    )
    found = read(tmp_path / "out")
    assert (done.path, len(found)) == (path, 10)
    assert set(found["double"]) == {2.0}
    assert set(found["there"]) == {False}


HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.mark.parametrize("other", sorted({"3.11", "3.12", "3.13"} - {HERE}))
def test_a_model_of_another_python(tmp_path: Path, home: Path, other: str) -> None:
    """Saved by another Python, predicted from here."""
    python = tmp_path / "other" / "bin" / "python"
    try:
        interpreter = find_interpreter(other, folder=tmp_path)
    except EnvironmentNotBuildable as error:
        pytest.fail(str(error)) if os.environ.get("CI") else pytest.skip(str(error))
    subprocess.run(["uv", "venv", "-q", "-p", interpreter, str(tmp_path / "other")], check=True)
    subprocess.run(["uv", "pip", "install", "-q", "-p", python, "-e", str(REPOSITORY)], check=True)
    program = (
        "import sys, pandas, model_envelope as me\n"
        "def predict(frame):\n"
        "    return pandas.DataFrame({'python': [sys.version.split()[0]] * len(frame)})\n"
        "sample = pandas.DataFrame({'x': [0.5, 1.5]})\n"
        "me.save_model(predict, tags={'canonical_name': 'other'}, api_input=sample)\n"
    )
    subprocess.run([python, "-c", program], check=True, env=dict(os.environ), cwd=tmp_path)
    done = Client().batch_predict(
        "canonical_name == 'other'",
        input_table=write(tmp_path / "in", 10),
        output_table=tmp_path / "out",
        spark=SparkOptions(master="local[2]"),
    )
    assert done.python.startswith(f"{other}.")
    assert set(read(tmp_path / "out")["python"]) == {done.python}


def waiting(folder: str) -> Callable[[pd.DataFrame], Any]:
    """A model that says that it runs, and goes on when it is told to."""

    def predict(frame: pd.DataFrame) -> Any:
        import time
        from pathlib import Path

        place = Path(folder)
        if len(frame) > 2:
            (place / "running").touch()
            while not (place / "go").exists():
                time.sleep(0.05)
        return frame["x"].to_numpy() * 2

    return predict


class KillableSpark:
    """spark-submit whose processes can be killed."""

    def __init__(self) -> None:
        self.application: SparkApplication | None = None

    def submit(self, application: SparkApplication) -> None:
        self.application = application
        spark_submit(application)

    def processes(self, name: str) -> list[int]:
        """Processes of this application with a text in their command line."""
        assert self.application is not None
        job = self.application.arguments[0].encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if job in command and name.encode() in command:
                found.append(int(folder.name))
        return found


@pytest.mark.parametrize("victim", ["org.apache.spark.deploy.SparkSubmit", "batch_predict.py\0"])
def test_a_driver_killed_while_it_works_changes_nothing(
    tmp_path: Path, victim: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client = Client()
    sign = tmp_path / "signs"
    sign.mkdir()
    envelope = client.save_model(waiting(str(sign)), tags=TAGS, api_input=SAMPLE)
    spark = KillableSpark()
    options: dict[str, Any] = {
        "input_table": write(tmp_path / "in", 100),
        "output_table": tmp_path / "out",
        "keep_columns": ["id"],
        "run_key": "killed",
        "spark": SparkOptions(master="local[2]", environment="current", submit=spark.submit),
    }
    failures: list[BaseException] = []

    def predict() -> None:
        try:
            client.batch_predict(envelope, **options)
        except BatchPredictionFailed as error:
            failures.append(error)

    thread = threading.Thread(target=predict)
    thread.start()
    while not (sign / "running").exists() or "0 of 1 tasks done" not in caplog.text:
        assert thread.is_alive(), failures
        time.sleep(0.05)
    pids = spark.processes(victim)
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    thread.join()
    (sign / "go").touch()
    assert len(failures) == 1
    assert not (tmp_path / "out").exists()
    (record,) = client.store.batch_predictions(run_key="killed")
    assert record.state == "failed"

    client.batch_predict(envelope, **options)
    assert sorted(read(tmp_path / "out")["id"]) == list(range(100))
    assert [entry.name for entry in (tmp_path / ".out.model-envelope").iterdir()] == ["lock"]
    (record,) = client.store.batch_predictions(run_key="killed")
    assert record.state == "done"


def dying(folder: str) -> Callable[[pd.DataFrame], Any]:
    """A model whose process is killed the first time."""

    def predict(frame: pd.DataFrame) -> Any:
        import os
        import signal
        from pathlib import Path

        sign = Path(folder) / "died"
        if len(frame) > 2 and not sign.exists():
            sign.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return frame["x"].to_numpy() * 2

    return predict


@pytest.mark.parametrize("path", ["direct", "general"])
def test_a_killed_worker_is_replaced_without_doubling_rows(tmp_path: Path, path: DataPath) -> None:
    client = Client()
    envelope = client.save_model(dying(str(tmp_path)), tags=TAGS, api_input=SAMPLE)
    done = client.batch_predict(
        envelope,
        input_table=write(tmp_path / "in", 5_000, files=4),
        output_table=tmp_path / "out",
        keep_columns=["id"],
        path=path,
        batch_rows=1_000,
        spark=SparkOptions(master="local[2,4]", environment="current"),
    )
    assert (tmp_path / "died").exists()
    assert done.rows == 20_000
    assert sorted(read(tmp_path / "out")["id"]) == list(range(20_000))
    assert done.input_statistics["x"]["count"] == 20_000


def test_runs_take_turns_with_the_embedded_catalog(tmp_path: Path) -> None:
    client = Client()
    sign = tmp_path / "signs"
    sign.mkdir()
    (sign / "go").touch()
    envelope = client.save_model(waiting(str(sign)), tags=TAGS, api_input=SAMPLE)
    failures: list[BaseException] = []

    def predict(day: int) -> None:
        try:
            client.batch_predict(
                envelope,
                input_table=tmp_path / "in",
                output_table="predictions",
                keep_columns=["id"],
                logical_date=f"2024-01-0{day}",
                spark=SparkOptions(master="local[1]", environment="current"),
            )
        except BaseException as error:
            failures.append(error)

    write(tmp_path / "in", 10)
    threads = [threading.Thread(target=predict, args=(day,)) for day in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    found = read(tmp_path / "home" / "spark" / "warehouse" / "predictions")
    assert sorted(found["logical_date"]) == ["2024-01-01"] * 10 + ["2024-01-02"] * 10
