"""Batch prediction by Spark: both our paths, MLflow's `spark_udf`, and Spark's own SQL.

    python -m benchmarks.spark_batch [--rows 2000000] [--warm 3] [--times 3] [--heavy]

Parquet in, Parquet out, `local[2]`; ten doubles and an id. Sessions are warm: each way runs
a few times before it is measured, since at first Java's compilers cost more than the rows.
The cheap model is a linear one, which Spark can also say in SQL; the heavy one is gradient
boosting. Ours runs in its own locked environment; MLflow's in that of its session (env
local). CPU seconds are of the whole process tree and are steadier than wall seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import model_envelope as me
from benchmarks import peer, report
from benchmarks.spark_repeat import tree_cpu
from model_envelope.batch.launch import SparkApplication, spark_submit
from model_envelope.batch.run import SparkOptions

NAMES = [f"x{i}" for i in range(10)]
WEIGHTS = [i / 10 for i in range(10)]
CORES = 2
MASTER = f"local[{CORES}]"
CONF = {"spark.driver.memory": "4g"}

PEER = """
import json, os, shutil, sys, time
sys.path.insert(0, {benchmarks!r})
os.environ["PYSPARK_PYTHON"] = sys.executable
import numpy as np, pandas as pd, mlflow, cloudpickle
from pathlib import Path
from mlflow.models import infer_signature
from pyspark.sql import SparkSession, functions as F
_TICKS = os.sysconf("SC_CLK_TCK")
{tree_cpu}
names, weights = {names!r}, np.array({weights!r})
fitted = cloudpickle.loads(Path({model!r}).read_bytes())
class Model(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return fitted(model_input)
sample = pd.DataFrame(np.zeros((2, 10)), columns=names)
mlflow.pyfunc.save_model({folder!r}, python_model=Model(), pip_requirements=["numpy"],
                         signature=infer_signature(sample, np.zeros(2)))
builder = SparkSession.builder.master({master!r}).config("spark.ui.enabled", "false")
for key, value in {conf!r}.items():
    builder = builder.config(key, value)
spark = builder.getOrCreate()
udf = mlflow.pyfunc.spark_udf(spark, {folder!r}, env_manager="local", result_type="double")
ways = {{
    "udf": lambda: udf(F.struct(*names)),
    "native": lambda: sum((F.col(n) * float(w) for n, w in zip(names, weights)), F.lit(0.0)),
}}
def write(way):
    table = spark.read.parquet({table!r})
    table = table.select("id", ways[way]().alias("prediction")).withColumn("e", F.lit("x"))
    table.write.mode("overwrite").parquet({output!r})
found = {{}}
for way in {chosen!r}:
    for _ in range({warm}):
        write(way)
    found[way] = []
    for _ in range({times}):
        cpu, wall = tree_cpu(), time.perf_counter()
        write(way)
        found[way].append([tree_cpu() - cpu, time.perf_counter() - wall])
print(json.dumps(found))
"""


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=2_000_000)
    options.add_argument("--times", type=int, default=3)
    options.add_argument("--warm", type=int, default=3, help="runs of each way before those")
    options.add_argument("--heavy", action="store_true", help="gradient boosting")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frame = make_table(folder / "in", given.rows)
        model = heavy(frame) if given.heavy else cheap()
        os.environ["BENCHMARK_WARM"] = str(given.warm)
        os.environ["BENCHMARK_TIMES"] = str(given.times)
        client = me.Client(f"sqlite:///{name}/store.sqlite", f"{name}/artifacts")
        envelope = client.save_model(model, tags={"canonical_name": "b"}, api_input=frame)
        found = {
            "model-envelope, direct": ours(client, envelope, folder, "direct"),
            "model-envelope, general": ours(client, envelope, folder, "general"),
            **theirs(model, folder, given, ["udf"] if given.heavy else ["udf", "native"]),
            "the model alone": alone(model, folder, given.times),
        }
    show(found, given.rows, "heavy" if given.heavy else "cheap")


def cheap() -> Callable[[pd.DataFrame], Any]:
    """A linear model."""
    weights = np.array(WEIGHTS)
    return lambda frame: frame.to_numpy() @ weights


def heavy(frame: pd.DataFrame) -> Callable[[pd.DataFrame], Any]:
    """A gradient boosting model of 300 trees."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    fitted = HistGradientBoostingRegressor(max_iter=300, early_stopping=False)
    fitted.fit(frame, frame["x0"] * frame["x1"] + frame["x2"])
    return fitted.predict  # type: ignore[no-any-return]


def make_table(folder: Path, rows: int) -> pd.DataFrame:
    """Write the input as eight files; gives the sample to save with."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(8):
        n = rows // 8
        block = {"id": np.arange(i * n, (i + 1) * n)} | {x: rng.normal(size=n) for x in NAMES}
        pq.write_table(pa.table(block), folder / f"part-{i}.parquet")
    return pd.DataFrame(rng.normal(size=(5_000, 10)), columns=NAMES)


def ours(client: me.Client, envelope: me.Envelope, folder: Path, path: Any) -> list[list[float]]:
    """CPU and wall seconds of each warm repeat of one batch prediction."""
    found = folder / f"{path}.json"
    os.environ["BENCHMARK_REPORT"] = str(found)

    def submit(application: SparkApplication) -> None:
        program = Path(__file__).with_name("spark_repeat.py")
        spark_submit(replace(application, program=program))

    client.batch_predict(
        envelope,
        input_table=folder / "in",
        output_table=folder / f"out-{path}",
        keep_columns=["id"],
        path=path,
        spark=SparkOptions(master=MASTER, conf=CONF, submit=submit),
    )
    return json.loads(found.read_text())  # type: ignore[no-any-return]


def theirs(
    model: Callable[..., Any], folder: Path, given: argparse.Namespace, chosen: list[str]
) -> dict[str, list[list[float]]]:
    """The same for MLflow's `spark_udf` and for Spark's own SQL, in one session."""
    import inspect

    import cloudpickle

    (folder / "model.pkl").write_bytes(cloudpickle.dumps(model))
    code = PEER.format(
        benchmarks=str(Path(__file__).parent.parent),
        tree_cpu=inspect.getsource(tree_cpu),
        names=NAMES,
        weights=WEIGHTS,
        model=str(folder / "model.pkl"),
        folder=str(folder / "mlflow"),
        master=MASTER,
        conf=CONF,
        table=str(folder / "in"),
        output=str(folder / "out-peer"),
        chosen=chosen,
        warm=given.warm,
        times=given.times,
    )
    found = json.loads(peer.run(code, new_session=True).splitlines()[-1])
    titles = {"udf": "mlflow spark_udf, env local", "native": "Spark SQL expression, no Python"}
    return {titles[way]: costs for way, costs in found.items()}


def alone(model: Callable[..., Any], folder: Path, times: int) -> list[list[float]]:
    """The model's own compute on the frames, already in memory."""
    frame = pq.read_table(folder / "in", columns=NAMES).to_pandas()
    found = []
    for _ in range(times):
        cpu, wall = time.process_time(), time.perf_counter()
        model(frame)
        found.append([time.process_time() - cpu, time.perf_counter() - wall])
    return found


def show(found: dict[str, list[list[float]]], rows: int, model: str) -> None:
    """Print medians and the ratios to MLflow."""
    cpu = {way: report.median([cost[0] for cost in costs]) for way, costs in found.items()}
    wall = {way: report.median([cost[1] for cost in costs]) for way, costs in found.items()}
    table = [
        {
            "way": way,
            "CPU s": cpu[way],
            "wall s": wall[way],
            "rows per CPU s": round(rows / cpu[way]),
        }
        for way in found
    ]
    udf = cpu["mlflow spark_udf, env local"]
    report.show(
        f"spark batch, {model} model, {rows:,} rows",
        table,
        direct_rows_per_cpu_second_over_mlflow=udf / cpu["model-envelope, direct"],
        general_rows_per_cpu_second_over_mlflow=udf / cpu["model-envelope, general"],
        direct_wall_over_compute_on_two_cores=wall["model-envelope, direct"]
        / (cpu["the model alone"] / CORES),
        general_wall_over_compute_on_two_cores=wall["model-envelope, general"]
        / (cpu["the model alone"] / CORES),
    )


if __name__ == "__main__":
    main()
