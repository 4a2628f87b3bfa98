"""Saving a small model: this library, and MLflow with and without requirement inference.

    python -m benchmarks.save [--times 10]

One trained scikit-learn model, its training frame as sample; both write to local files
and SQLite. The first save of a process is apart: it imports what saving needs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks import peer, report

MODEL = """
import json, logging, sys, time, warnings
import numpy as np, pandas as pd
from sklearn.linear_model import LinearRegression
warnings.simplefilter("ignore"); logging.disable(logging.WARNING)
rng = np.random.default_rng(0)
frame = pd.DataFrame(rng.normal(size=(1000, 10)), columns=[f"x{i}" for i in range(10)])
model = LinearRegression().fit(frame, frame["x0"] * 2)
def timed(call, times):
    found = []
    for _ in range(times):
        start = time.perf_counter(); call(); found.append(time.perf_counter() - start)
    return found
"""

OURS = """
import model_envelope as me
client = me.Client("sqlite:///{folder}/ours.sqlite", "{folder}/ours")
save = lambda: client.save_model(model, tags={{"canonical_name": "m"}}, api_input=frame)
print(json.dumps(timed(save, {times} + 1)))
"""

MLFLOW = """
import mlflow
mlflow.set_tracking_uri("sqlite:///{folder}/mlflow.sqlite")
mlflow.set_experiment("e")
class Wrapped(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model.predict(model_input)
def save(**given):
    with mlflow.start_run():
        sample = frame.head()
        mlflow.pyfunc.log_model(name="m", python_model=Wrapped(), input_example=sample, **given)
save(pip_requirements=["scikit-learn"])
print(json.dumps([timed(lambda: save(pip_requirements=["scikit-learn", "pandas"]), {times}),
                  timed(save, {slow_times})]))
"""


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=10)
    options.add_argument("--slow-times", type=int, default=3)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        fields = {"folder": name, "times": given.times, "slow_times": given.slow_times}
        first, *warm = json.loads(
            peer.run(MODEL + OURS.format(**fields), python=Path(sys.executable))
        )
        told, inferred = json.loads(
            peer.run(MODEL + MLFLOW.format(**fields), cwd=Path(name)).splitlines()[-1]
        )
    ways = {
        "model-envelope, first in a process": [first],
        "model-envelope": warm,
        "mlflow, requirements given": told,
        "mlflow, default": inferred,
    }
    rows = [
        {"way": way, "median s": report.median(found), "max s": max(found), "saves": len(found)}
        for way, found in ways.items()
    ]
    ours = report.median(warm)
    report.show(
        "save",
        rows,
        times_faster_than_mlflow_default=report.median(inferred) / ours,
        times_faster_than_mlflow_given=report.median(told) / ours,
    )


if __name__ == "__main__":
    main()
