"""Online inference beside MLflow's and BentoML's servers, and beside a hello world.

    python -m benchmarks.serving [--seconds 2] [--turns 7] [--only mlflow,bentoml]

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
from functools import partial
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
    options.add_argument("--seconds", type=int, default=2, help="of each load")
    options.add_argument("--turns", type=int, default=7)
    options.add_argument("--only", default="mlflow,bentoml", help="peers to measure")
    arguments = options.parse_args()
    loading.wrk()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "sample.json"
        sample().to_json(file, orient="split", double_precision=15)
        measure = partial(by_turns, turns=arguments.turns, seconds=arguments.seconds)
        rows, found = measure(frame_servers(folder, file, arguments.only.split(",")), CASES)
        report.show("serving a DataFrame model", rows, **found)
        rows, found = measure(array_servers(folder), ((1, 16), (1, 64)))
        report.show("serving an array model", rows, **found)


def by_turns(
    servers: Sequence[Server], cases: Sequence[tuple[int, int]], *, turns: int, seconds: int
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Medians of each server, and by how much the first one is better than each other.

    All servers are up, and each ratio is of loads that follow each other, so that what
    else the machine does meets all of them.
    """
    rows: list[dict[str, Any]] = []
    ratios: dict[str, float] = {}
    with ExitStack() as stack:
        running = [stack.enter_context(loading.started(server)) for server in servers]
        for case in cases:
            for one in running:
                one.load(*case, 1)  # what happens at first only is no part of it
            taken = [[one.load(*case, seconds) for one in running] for _ in range(turns)]
            for one, loads in zip(running, zip(*taken, strict=True), strict=True):
                rows.append(middle(loads) | once(one))
                if one is not running[0]:
                    ours = [load[0] for load in taken]
                    name = f"{one.server.name.replace(' ', '_')}_{case[0]}x{case[1]}"
                    ratios |= {f"{name}_{key}": ratio for key, ratio in compare(ours, loads)}
    for row in rows[1 : len(servers)]:
        ratios[f"{row['server'].replace(' ', '_')}_start"] = (
            row["first answer s"] / rows[0]["first answer s"]
        )
    return rows, ratios


def compare(
    ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]
) -> Iterator[tuple[str, float]]:
    """How many times better ours is, by what."""
    pairs = list(zip(ours, theirs, strict=True))
    yield "requests", report.median([a["requests/s"] / b["requests/s"] for a, b in pairs])
    yield "p99", report.median([b["p99 ms"] / a["p99 ms"] for a, b in pairs])
    yield "cpu", report.median([b["CPU ms/request"] / a["CPU ms/request"] for a, b in pairs])


def middle(loads: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of each number of some loads of one server; errors together."""
    found = {
        key: report.median([load[key] for load in loads]) if isinstance(value, float) else value
        for key, value in loads[0].items()
    }
    return found | {"errors": sum(load["errors"] for load in loads)}


def once(running: loading.Running) -> dict[str, float]:
    """What is measured once for a server."""
    return {
        "first answer s": running.seconds_to_first_answer,
        "MB": loading.megabytes(running),
    }


def array_servers(folder: Path) -> list[Server]:
    """An array model, and a hello world on the same uvicorn."""
    coefficients = np.asarray(fitted().coef_)

    def model(block: Any) -> Any:
        return block @ coefficients

    (folder / "hello.py").write_text(_HELLO)
    hello = Server(
        name="hello world",
        command=[sys.executable, str(folder / "hello.py"), "{port}"],
        path="/predict",
        body=array_records,
    )
    return [
        envelope_server(folder, "array", model, sample().to_numpy(), array_records),
        hello,
    ]


def frame_servers(folder: Path, file: Path, peers: Sequence[str]) -> list[Server]:
    """The same model of a frame, ours first."""
    regression = fitted()

    def model(frame: pd.DataFrame) -> Any:
        return regression.predict(frame)

    found = [envelope_server(folder, "frame", model, sample(), records)]
    makers = {"mlflow": mlflow_server, "bentoml": bentoml_server}
    return found + [makers[name](folder, file) for name in peers if name]


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
