"""A real cluster: a master and two workers, each a process of its own, environments unpacked."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from model_envelope.batch.launch import environment, find_spark
from model_envelope.batch.run import SparkOptions
from model_envelope.client.client import Client
from model_envelope.errors import PredictionFailed

pytestmark = [pytest.mark.spark, pytest.mark.slow]


class Cluster:
    """Spark's standalone cluster on the loopback interface, on ports that it finds free."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._home = find_spark()
        self._stack = ExitStack()
        self.workers: list[int] = []

    def __enter__(self) -> Cluster:
        with self._stack:
            log = self._start("master", "Master", "--port", "0")
            self.master = self._find(log, r"Starting Spark master at (spark://\S+)")
            for i in range(2):
                where = str(self._folder / f"worker{i}")
                options = ("--cores", "1", "--memory", "1g", "--work-dir", where, "--port", "0")
                log = self._start(f"worker{i}", "Worker", *options, self.master)
                self._find(log, "Successfully registered with master")
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, name: str, role: str, *options: str) -> Path:
        log = self._folder / f"{name}.log"
        command = [
            str(self._home / "bin" / "spark-class"),
            f"org.apache.spark.deploy.{role.lower()}.{role}",
            *("--host", "127.0.0.1", "--webui-port", "0"),
            *options,
        ]
        variables = environment(self._home) | {"SPARK_LOCAL_IP": "127.0.0.1"}
        self._stack.enter_context(_running(command, variables, log))
        return log

    def _find(self, log: Path, pattern: str) -> str:
        for _ in range(1_200):
            found = re.search(pattern, log.read_text())
            if found:
                return found[found.lastindex or 0]
            time.sleep(0.1)
        raise RuntimeError(f"{pattern} is not in:\n{log.read_text()}")


@contextmanager
def _running(command: list[str], variables: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("w") as file:
        process = subprocess.Popen(
            command, env=variables, cwd=log.parent, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def telling(weights: Any) -> Callable[[pd.DataFrame], Any]:
    """A model that says where its interpreter and its weights are."""

    def predict(frame: pd.DataFrame) -> pd.DataFrame:
        import os
        import re
        import sys
        from pathlib import Path

        if (frame["x"] < 0).any():
            raise ValueError("negative")
        told = pd.DataFrame({"prediction": frame["x"].to_numpy() * weights[0]})
        told["prefix"] = sys.prefix
        told["pid"] = os.getpid()
        maps = Path("/proc/self/maps").read_text()
        told["file"] = (re.findall(r"(\S+-model\.bin)$", maps, re.MULTILINE) or [""])[0]
        return told

    return predict


def test_the_same_call_runs_on_a_cluster(cluster: Cluster, tmp_path: Path) -> None:
    """The environment travels as an archive, the model as a file, once to each executor."""
    client = Client()
    sample = pd.DataFrame({"x": [0.5, 1.5]})
    tags = {"canonical_name": "test"}
    envelope = client.save_model(telling(np.full(100_000, 2.0)), tags=tags, api_input=sample)
    (tmp_path / "in").mkdir()
    for i in range(8):
        ids = pa.array(range(i * 50_000, (i + 1) * 50_000))
        part = pa.table({"id": ids, "x": np.full(50_000, 1.0)})
        pq.write_table(part, tmp_path / "in" / f"{i}.parquet", row_group_size=10_000)
    spark = SparkOptions(
        master=cluster.master,
        conf={
            "spark.executor.memory": "512m",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
        },
    )
    options: dict[str, Any] = {
        "input_table": tmp_path / "in",
        "output_table": tmp_path / "out",
        "keep_columns": ["id"],
        "spark": spark,
    }
    for path in ("direct", "general"):
        done = client.batch_predict(envelope, path=path, **options)
        found = ds.dataset(tmp_path / "out", partitioning="hive").to_table().to_pandas()
        assert (done.path, done.rows) == (path, 400_000)
        assert sorted(found["id"]) == list(range(400_000))
        assert found["prediction"].eq(2.0).all()
        assert done.loads == done.workers == found["pid"].nunique()
        # Both executors took part, each with its own copy of environment and model.
        assert found["prefix"].nunique() == found["file"].nunique() == 2
        for prefix, file in found[["prefix", "file"]].drop_duplicates().itertuples(index=False):
            assert prefix.endswith("/environment")
            assert "/worker" in prefix
            assert "/worker" in file

    part = pa.table({"id": [-1], "x": [-1.0]})
    pq.write_table(part, tmp_path / "in" / "bad.parquet")
    with pytest.raises(PredictionFailed, match=r"ValueError: negative.*id=-1, x=-1.0"):
        client.batch_predict(envelope, **options)
    after = ds.dataset(tmp_path / "out", partitioning="hive").to_table().to_pandas()
    assert after.equals(found)
