"""Online inference beside MLflow's and BentoML's servers, and beside a hello world.

    python -m benchmarks.serving [--seconds 5] [--only ours,mlflow,…]

The same regression over a DataFrame of ten columns behind every server, one worker each;
requests in each server's own JSON, made by wrk (apt-get install wrk) on this machine. A
request counts when it is answered by 200. CPU is of the server's processes together.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression

import model_envelope as me
from benchmarks import loading, peer, report
from benchmarks.loading import Server
from model_envelope.isolation import fetch_all, service_plan

COLUMNS = [f"f{i}" for i in range(10)]
CASES = ((1, 16), (1, 64), (100, 16))
"""Rows of a body, and connections."""
TURNS = 9

_BENTOML = "1.4.30"

_HELLO = """
import sys, uvicorn
async def app(scope, receive, send):
    await receive()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})
options = dict(log_level="warning", access_log=False, lifespan="off", interface="asgi3")
uvicorn.run(app, port=int(sys.argv[1]), server_header=False, date_header=False, **options)
"""

_MLFLOW = """
import sys, numpy as np, pandas as pd, mlflow
from sklearn.linear_model import LinearRegression
from mlflow.models import infer_signature
frame = pd.read_json(sys.argv[1], orient="split")
model = LinearRegression().fit(frame, frame.sum(axis=1))
mlflow.sklearn.save_model(
    model, sys.argv[2], signature=infer_signature(frame, model.predict(frame)),
    pip_requirements=["scikit-learn"],
)
"""

_BENTO = """
import bentoml, numpy as np, pandas as pd
from sklearn.linear_model import LinearRegression

@bentoml.service(workers=1, traffic={{"timeout": 60}}, logging={{"access": {{"enabled": False}}}})
class Regression:
    def __init__(self):
        frame = pd.read_json({sample!r}, orient="split")
        self.model = LinearRegression().fit(frame, frame.sum(axis=1))

    @bentoml.api
    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        return self.model.predict(rows)
"""


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=5)
    options.add_argument("--only", default="ours,mlflow,bentoml")
    arguments = options.parse_args()
    loading.wrk()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "sample.json"
        sample().to_json(file, orient="split", double_precision=15)
        rows = []
        for server in servers(folder, file, arguments.only.split(",")):
            rows += measure(server, arguments.seconds)
        report.show("serving a DataFrame model", rows, **ratios(rows))
        rows, found = beside_hello(folder)
        report.show("serving an array model", rows, **found)


def measure(server: Server, seconds: float) -> list[dict[str, Any]]:
    """All cases on one server."""
    with loading.started(server) as running:
        running.load(1, 16, 1)  # what happens at first only is no part of it
        found = [running.load(*case, seconds) for case in CASES]
        return [
            row
            | {"first answer s": running.seconds_to_first_answer, "MB": loading.megabytes(running)}
            for row in found
        ]


def ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Ours over the others; best of what a peer offers."""
    found = {}
    ours = {(r["rows"], r["connections"]): r for r in rows if r["server"] == "ours"}
    for other in rows:
        mine = ours.get((other["rows"], other["connections"]))
        if mine is None or other is mine:
            continue
        name = f"{other['server']}_{other['rows']}x{other['connections']}"
        found[f"{name}_requests"] = mine["requests/s"] / other["requests/s"]
        found[f"{name}_p99"] = other["p99 ms"] / mine["p99 ms"]
        found[f"{name}_cpu"] = other["CPU ms/request"] / mine["CPU ms/request"]
        found[f"{other['server']}_start"] = other["first answer s"] / mine["first answer s"]
    return found


def beside_hello(folder: Path) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """An array model and a hello world on one uvicorn, by turns: medians, and ours over it.

    Each ratio is of two turns that follow each other, so that what else the machine does
    meets both.
    """
    regression = fitted()
    coefficients = np.asarray(regression.coef_)

    def model(block: Any) -> Any:
        return block @ coefficients

    (folder / "hello.py").write_text(_HELLO)
    hello = Server(
        name="hello world",
        command=[sys.executable, str(folder / "hello.py"), "{port}"],
        path="/predict",
        body=array_records,
    )
    ours = envelope_server(folder, "array", model, sample().to_numpy(), array_records)
    with ExitStack() as stack:
        both = [stack.enter_context(loading.started(server)) for server in (hello, ours)]
        rows, found = [], {}
        for connections in (16, 64):
            for running in both:
                running.load(1, connections, 1)
            turns = [[running.load(1, connections, 1) for running in both] for _ in range(TURNS)]
            rows += [middle(turn) for turn in zip(*turns, strict=True)]
            for key in ("requests/s", "CPU ms/request"):
                ratio = report.median([ours[key] / hello[key] for hello, ours in turns])
                found[f"{key.split('/')[0]}_over_hello_{connections}"] = ratio
    return rows, found


def middle(turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of each number of some loads of one server."""
    return {
        key: report.median([turn[key] for turn in turns]) if isinstance(value, float) else value
        for key, value in turns[0].items()
    }


def servers(folder: Path, file: Path, only: list[str]) -> Iterator[Server]:
    """The servers, each made when it is its turn."""
    if "ours" in only:
        regression = fitted()

        def model(frame: pd.DataFrame) -> Any:
            return regression.predict(frame)

        yield envelope_server(folder, "frame", model, sample(), records)
    if "mlflow" in only:
        yield mlflow_server(folder, file)
    if "bentoml" in only:
        yield bentoml_server(folder, file)


def envelope_server(folder: Path, name: str, model: Any, data: Any, body: Any) -> Server:
    """A service of an envelope, by this interpreter."""
    client = me.Client(f"sqlite:///{folder}/store.sqlite", str(folder / "artifacts"))
    envelope = client.save_model(model, tags={"canonical_name": name}, api_input=data)
    plan = service_plan(
        envelope.record,
        service=name,
        release="benchmark",
        directory=fetch_all(client.artifacts, envelope.record),
        scratch=folder / "scratch",
        control_token="unused",  # noqa: S106
    )
    (folder / f"{name}.json").write_text(json.dumps(plan.to_json()))
    command = [sys.executable, "-m", "model_envelope.serving", str(folder / f"{name}.json")]
    return Server(name="ours", command=[*command, "--port", "{port}"], path="/predict", body=body)


def mlflow_server(folder: Path, file: Path) -> Server:
    """`mlflow models serve` of the same model, its environment ready."""
    python = peer.mlflow_python()
    saved = folder / "mlflow-model"
    subprocess.run(
        [python, "-c", _MLFLOW, file, saved], check=True, cwd=folder, capture_output=True
    )
    command = [str(python), "-m", "mlflow", "models", "serve", "-m", str(saved)]
    return Server(
        name="mlflow",
        command=[*command, "--env-manager", "local", "--workers", "1", "--port", "{port}"],
        path="/invocations",
        body=lambda rows: {"dataframe_split": split(rows)},
        environment={"PATH": f"{python.parent}:{os.environ['PATH']}"},
    )


def bentoml_server(folder: Path, file: Path) -> Server:
    """A BentoML service of the same model, with one worker."""
    python = bentoml_python()
    (folder / "bento.py").write_text(_BENTO.format(sample=str(file)))
    command = [str(python), "-m", "bentoml", "serve", "bento:Regression"]
    return Server(
        name="bentoml",
        command=[*command, "--working-dir", str(folder), "--port", "{port}"],
        path="/predict",
        body=lambda rows: {"rows": records(rows)},
        environment={"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(folder / "bentoml")},
    )


def bentoml_python() -> Path:
    """An interpreter with BentoML, made once in the user's cache."""
    folder = Path(os.environ.get("BENTOML_ENV") or "~/.cache/model-envelope/peers/bentoml")
    python = folder.expanduser() / "bin" / "python"
    if not python.exists():
        uv = [sys.executable, "-m", "uv"]
        packages = [f"bentoml=={_BENTOML}", "scikit-learn", "pandas"]
        subprocess.run(
            [*uv, "venv", "-q", "--python", sys.executable, folder.expanduser()], check=True
        )
        subprocess.run([*uv, "pip", "install", "-q", "-p", python, *packages], check=True)
    return python


def sample() -> pd.DataFrame:
    """A hundred rows of ten columns."""
    block = np.random.default_rng(0).normal(size=(100, len(COLUMNS)))
    return pd.DataFrame(block, columns=COLUMNS)


def records(rows: int) -> list[dict[str, float]]:
    """Rows as dicts."""
    return [dict(zip(COLUMNS, row, strict=True)) for row in sample().to_numpy()[:rows].tolist()]


def split(rows: int) -> dict[str, Any]:
    """Rows as MLflow likes them best."""
    return {"columns": COLUMNS, "data": sample().to_numpy()[:rows].tolist()}


def array_records(rows: int) -> list[dict[str, float]]:
    """Rows of an array, whose columns have no names of their own."""
    block = sample().to_numpy()[:rows]
    return [{f"x{i}": value for i, value in enumerate(row)} for row in block.tolist()]


def fitted() -> LinearRegression:
    """The model that all serve."""
    return LinearRegression().fit(sample(), sample().sum(axis=1))


if __name__ == "__main__":
    main()
