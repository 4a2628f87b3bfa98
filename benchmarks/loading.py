"""Servers under load: started, asked by wrk, measured with all their processes, ended."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_PATIENCE = 180.0
_TICKS = os.sysconf("SC_CLK_TCK")

_WRK = """
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = [==[{body}]==]
function done(summary, latency)
    local e = summary.errors
    io.write(string.format(
        '\\n{{"requests": %d, "us": %d, "p50": %f, "p99": %f, "errors": %d}}\\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True, kw_only=True)
class Server:
    """How to start a server on `{port}`, and how it is asked.

    `body` makes a request for some rows.
    """

    name: str
    command: list[str]
    path: str
    body: Callable[[int], Any]
    environment: Mapping[str, str] = field(default_factory=dict)


class Running:
    """A server that answers."""

    def __init__(self, server: Server, port: int, process: subprocess.Popen[bytes]) -> None:
        self.server = server
        self.port = port
        self.process = process
        self.seconds_to_first_answer = 0.0

    def wait(self, begun: float) -> None:
        """Wait for the first right answer."""
        body = json.dumps(self.server.body(1))
        while not self._answers(body):
            if self.process.poll() is not None or time.monotonic() - begun > _PATIENCE:
                raise RuntimeError(f"{self.server.name} does not answer")
            time.sleep(0.02)
        self.seconds_to_first_answer = time.monotonic() - begun

    def _answers(self, body: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = {"content-type": "application/json"}
            connection.request("POST", self.server.path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        except OSError:
            return False
        finally:
            connection.close()
        if answer.status not in (200, 404, 503):
            raise RuntimeError(f"{self.server.name}: {answer.status} {text!r}")
        return answer.status == 200

    def load(self, rows: int, connections: int, seconds: int) -> dict[str, Any]:
        """Requests a second, latencies in ms, and CPU ms of a request."""
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(_WRK.format(body=json.dumps(self.server.body(rows))))
            script.flush()
            before = cpu_seconds(self.process.pid)
            done = subprocess.run(
                [
                    wrk(),
                    "-t1",
                    f"-c{connections}",
                    f"-d{seconds}s",
                    "--timeout=30s",
                    f"-s{script.name}",
                    f"http://127.0.0.1:{self.port}{self.server.path}",
                ],
                check=True,
                capture_output=True,
                text=True,
            )
            used = cpu_seconds(self.process.pid) - before
        found = json.loads(done.stdout.strip().splitlines()[-1])
        answered = found["requests"] - found["errors"]
        return {
            "server": self.server.name,
            "rows": rows,
            "connections": connections,
            "requests/s": answered / found["us"] * 1e6,
            "p50 ms": found["p50"] / 1000,
            "p99 ms": found["p99"] / 1000,
            "CPU ms/request": used / max(answered, 1) * 1000,
            "errors": found["errors"],
        }


@contextmanager
def started(server: Server) -> Iterator[Running]:
    """A server, from its start to its end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [part.replace("{port}", str(port)) for part in server.command]
    begun = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **server.environment},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            running = Running(server, port, process)
            running.wait(begun)
            yield running
        except Exception:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace")[-3000:])
            raise
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def cpu_seconds(pid: int) -> float:
    """CPU of a process and all below it."""
    ticks = 0
    for found in family(pid):
        fields = Path(f"/proc/{found}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def megabytes(running: Running) -> float:
    """Memory of a server's processes together, shared pages divided."""
    total = 0
    for pid in family(running.process.pid):
        lines = (Path("/proc") / str(pid) / "smaps_rollup").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1000


def family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for task in (Path("/proc") / str(pid) / "task").iterdir():
        for child in (task / "children").read_text().split():
            found += family(int(child))
    return found


def wrk() -> str:
    """The load generator."""
    found = shutil.which("wrk")
    if found is None:
        sys.exit("wrk is not installed: apt-get install wrk")
    return found
