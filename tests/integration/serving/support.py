"""A service as a process, and how tests talk to it."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_envelope.serving.plan import ServicePlan

PATIENCE = 60.0
TOKEN = "a-control-token"  # noqa: S105


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Service:
    """A service process on a listening socket that outlives it."""

    def __init__(
        self,
        plan: ServicePlan,
        folder: Path,
        *arguments: str,
        listener: socket.socket | None = None,
    ) -> None:
        self.plan = plan
        self.listener = listener or socket.create_server(("127.0.0.1", 0))
        address = self.listener.getsockname()
        self.port = 0 if isinstance(address, str) else int(address[1])
        self.log = folder / f"{plan.release}.log"
        self.process, self.report = self._start(folder, *arguments)

    def _start(self, folder: Path, *arguments: str) -> tuple[subprocess.Popen[bytes], bytes]:
        file = folder / f"{self.plan.release}.json"
        file.write_text(json.dumps(self.plan.to_json()))
        reading, writing = os.pipe()
        fd = self.listener.fileno()
        command = [sys.executable, "-m", "model_envelope.serving", str(file), f"--fd={fd}"]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*command, f"--ready-fd={writing}", *arguments],
                pass_fds=(fd, writing),
                stderr=log,
                cwd=folder,
            )
        os.close(writing)
        try:
            ready, _, _ = select.select([reading], [], [], PATIENCE)
            assert ready, self.log.read_text()
            return process, os.read(reading, 65_536)
        finally:
            os.close(reading)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        **timeouts: float,
    ) -> Answer:
        """One request on a connection of its own; a body that is no bytes is sent as JSON."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=timeouts.get("timeout", PATIENCE)
        )
        try:
            if body is not None and not isinstance(body, bytes):
                body = json.dumps(body).encode()
            given = {"content-type": "application/json"} if body is not None else {}
            connection.request(method, path, body, {**given, **(headers or {})})
            return read_answer(connection)
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, headers=headers)

    def predict(self, rows: Any, path: str = "/predict", **headers: str) -> Answer:
        return self.request("POST", path, rows, headers)

    def control(self, method: str, path: str, body: Any = None, token: str = TOKEN) -> Answer:
        return self.request(method, f"/-/{path}", body, {"authorization": f"Bearer {token}"})

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.control("GET", "state").json()
        return found

    def metric(self, name: str) -> float:
        """The value of one line of /metrics, e.g. `model_envelope_queued_rows`."""
        for line in self.get("/metrics").body.decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        return 0.0

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.listener.close()


def read_answer(connection: http.client.HTTPConnection) -> Answer:
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that must become so."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.01)


@contextmanager
def keep_alive(service: Service) -> Iterator[http.client.HTTPConnection]:
    """A connection for several requests."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
    try:
        yield connection
    finally:
        connection.close()
