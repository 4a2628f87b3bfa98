"""Writing and reading 100,000 metric points, on SQLite and PostgreSQL, against MLflow.

    python -m benchmarks.metrics [--postgres] [--points 100000] [--mlflow]

100 models with 1000 steps each.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import model_envelope as me
from benchmarks import peer, postgres, report
from model_envelope.store.opening import upgrade
from model_envelope.store.rows import MetricPoint

MODELS = 100

MLFLOW = """
import json, time, mlflow, logging
from mlflow.entities import Metric
logging.disable(logging.WARNING)
mlflow.set_tracking_uri("sqlite:///{folder}/mlflow.sqlite")
client = mlflow.MlflowClient()
runs = [client.create_run("0").info.run_id for _ in range({models})]
now = int(time.time() * 1000)
start = time.perf_counter()
for run in runs:
    for at in range(0, {steps}, 1000):
        steps = range(at, min(at + 1000, {steps}))
        client.log_batch(run, metrics=[Metric("loss", 1.0 / (s + 1), now, s) for s in steps])
written = time.perf_counter() - start
start = time.perf_counter()
count = sum(len(client.get_metric_history(run, "loss")) for run in runs)
print(json.dumps([written, time.perf_counter() - start, count]))
"""


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--postgres", action="store_true", help="measure PostgreSQL too")
    options.add_argument("--points", type=int, default=100_000)
    options.add_argument("--mlflow", action="store_true", help="measure MLflow on SQLite too")
    given = options.parse_args()
    steps = given.points // MODELS
    rows, ratios = [], {}
    with tempfile.TemporaryDirectory() as name:
        rows.append(_ours(f"sqlite:///{name}/store.sqlite", Path(name), steps))
        if given.postgres:
            with postgres.server() as url:
                upgrade(url)
                rows.append(_ours(url, Path(name) / "postgres", steps))
        if given.mlflow:
            fields = {"folder": name, "models": MODELS, "steps": steps}
            out = peer.run(MLFLOW.format(**fields), cwd=Path(name)).splitlines()[-1]
            written, read, count = json.loads(out)
            rows.append(
                {"store": "mlflow, sqlite", "write s": written, "read s": read, "points": count}
            )
            ratios = {
                "times_faster_written": written / rows[0]["write s"],
                "times_faster_read": read / rows[0]["read s"],
            }
    report.show("metrics", rows, **ratios)


def _ours(url: str, folder: Path, steps: int) -> dict[str, object]:
    client = me.Client(url, str(folder / "artifacts"))
    tags = {"canonical_name": f"metrics-{datetime.now(UTC).timestamp()}"}
    models = [client.save_model(len, tags=tags, api_input=None) for _ in range(MODELS)]
    now = datetime.now(UTC)
    points = {
        model.id: [
            MetricPoint(name="loss", step=s, at=now, value=1 / (s + 1)) for s in range(steps)
        ]
        for model in models
    }
    (written,) = report.seconds(lambda: client.store.log_many(points), 1)
    read = report.median(report.seconds(lambda: client.metrics_frame(tags, "loss"), 3))
    count = len(client.metrics_frame(tags, "loss"))
    return {"store": url.partition(":")[0], "write s": written, "read s": read, "points": count}


if __name__ == "__main__":
    main()
