"""A service process: starting, answering, saying no, ending."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from model_envelope.serving.plan import ServicePlan
from tests.integration.serving.support import Service

Plans = Callable[..., ServicePlan]
Serve = Callable[..., Service]

FRAME = pd.DataFrame({"a": [1.0, 2.0, 0.1], "b": [1, 2, 3]})


def linear() -> Callable[[pd.DataFrame], pd.Series]:
    def model(frame: pd.DataFrame) -> pd.Series:
        return frame["a"] * 2 + frame["b"]

    return model


def test_it_answers(make_plan: Plans, serve: Serve) -> None:
    def twice(frame: pd.DataFrame) -> pd.Series:
        return frame["b"] * 2

    service = serve(make_plan(linear(), FRAME, query_functions={"twice": twice}))
    assert service.report == b"ready\n"
    answer = service.predict([{"a": 0.1, "b": 3}, {"a": 2, "b": 1}])
    assert answer.status == 200
    assert answer.json() == [{"prediction": 3.2}, {"prediction": 5.0}]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-envelope-id"] == service.plan.envelope_id
    assert answer.headers["x-release"] == service.plan.release
    assert service.predict([{"a": 0, "b": 3}], "/twice").json() == [{"b": 6}]
    assert service.get("/livez").status == 200
    assert service.get("/readyz").status == 200
    assert service.get("/ping").status == 200


def test_it_ends_when_asked(make_plan: Plans, serve: Serve) -> None:
    service = serve(make_plan(linear(), FRAME))
    service.terminate()
    assert service.wait() == 0


def test_a_changed_artifact_is_not_loaded(make_plan: Plans, serve: Serve, tmp_path: Path) -> None:
    plan = make_plan(linear(), FRAME)
    (file,) = {function.function.file for function in plan.functions}
    path = Path(plan.directory) / file
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    service = serve(plan)
    assert b'"error": "ArtifactCorrupted"' in service.report
    assert service.wait() == 1


def test_it_listens_where_it_is_told(make_plan: Plans, tmp_path: Path) -> None:
    plan = make_plan(linear(), FRAME)
    file, path = tmp_path / "plan.json", tmp_path / "service.sock"
    file.write_text(json.dumps(plan.to_json()))
    command = [sys.executable, "-m", "model_envelope.serving", str(file), f"--uds={path}"]
    for number in (signal.SIGKILL, signal.SIGTERM):  # what a killed one left is no obstacle
        reading, writing = os.pipe()
        process = subprocess.Popen([*command, f"--ready-fd={writing}"], pass_fds=[writing])
        os.close(writing)
        assert os.read(reading, 100) == b"ready\n"
        os.close(reading)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK")
        process.send_signal(number)
        assert process.wait(60) == (-9 if number == signal.SIGKILL else 0)
