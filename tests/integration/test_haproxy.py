"""HAProxy before services, for real; plain HTTP servers stand for releases."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import model_envelope as me
from model_envelope import config
from model_envelope.deployment.proxy.haproxy import Haproxy
from model_envelope.deployment.proxy.rendering import Backend
from model_envelope.errors import InvalidInput, TargetFailed
from model_envelope.isolation import fetch_all, service_plan
from tests.conftest import free_port
from tests.integration.serving.support import TOKEN, Service

RELEASE = "0123456789abcdef0123"


class Replica:
    """Answers any request with its name and the path it saw; `/slow` when it is `released`."""

    def __init__(self, name: str) -> None:
        asked = self.asked = threading.Event()
        released = self.released = threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None: ...

            def do_GET(self) -> None:
                told = {
                    "name": name,
                    "path": self.path,
                    "prefix": self.headers.get_all("X-Forwarded-Prefix"),
                }
                if self.path.startswith("/slow"):
                    asked.set()
                    released.wait(60)
                content = json.dumps(told).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def replica() -> Iterator[Callable[[str], Replica]]:
    made: list[Replica] = []

    def make(name: str) -> Replica:
        made.append(Replica(name))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(autouse=True)
def program() -> str:
    found = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        message = "HAProxy is not installed: apt-get install haproxy"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return str(found)


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    number = free_port()
    monkeypatch.setenv(config.PROXY_URL, f"http://127.0.0.1:{number}/")
    return number


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    # Longer than the address of a socket can be.
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    yield folder
    if (folder / "pid").exists():
        kill(folder, signal.SIGTERM)


def kill(folder: Path, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(int((folder / "pid").read_text()), number)


def backend(service: str, *replicas: Replica, fence: int = 1) -> Backend:
    servers = tuple((f"r-{n}", one.address) for n, one in enumerate(replicas))
    return Backend(service=service, release=RELEASE, fence=fence, servers=servers)


def get(port: int, path: str, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        content = response.read()
        return response.status, json.loads(content) if content else response.headers["location"]
    finally:
        connection.close()


def test_each_service_is_below_its_name(
    folder: Path, port: int, replica: Callable[[str], Replica]
) -> None:
    a, b = replica("a"), replica("b")
    Haproxy(folder).apply([backend("first", a), backend("first-2", b)])
    assert get(port, "/first/predict?x=1")[1] == {
        "name": "a",
        "path": "/predict?x=1",
        "prefix": ["/first"],
    }
    forged = {"X-Forwarded-Prefix": "//evil.example"}
    assert get(port, "/first-2/first/x", **forged)[1] == {
        "name": "b",
        "path": "/first/x",
        "prefix": ["/first-2"],
    }
    assert get(port, "/first/")[1]["path"] == "/"
    assert get(port, "/first") == (308, "/first/")
    for path in ("/", "/third/x", "//first/x", "/First/x", "/first%2fx", "/first;x/predict"):
        status, body = get(port, path)
        assert (path, status, body["error"]["code"]) == (path, 404, "not_found")


@pytest.mark.parametrize(
    "path",
    ["/-/state", "/%2d/state", "/%2D/split", "//-/state", "/x/../-/drain", "/-", "%2f-/state"],
)
def test_nobody_outside_reaches_what_is_the_platforms(
    folder: Path, port: int, replica: Callable[[str], Replica], path: str
) -> None:
    Haproxy(folder).apply([backend("first", replica("a"))])
    assert get(port, f"/first{path}")[0] == 404


def test_when_a_change_is_done_new_requests_go_there_and_old_ones_are_finished(
    folder: Path, port: int, replica: Callable[[str], Replica]
) -> None:
    old, new = replica("old"), replica("new")
    proxy = Haproxy(folder)
    proxy.apply([backend("s", old)])
    answers: list[Any] = []
    slow = threading.Thread(target=lambda: answers.append(get(port, "/s/slow")))
    slow.start()
    assert old.asked.wait(30)
    proxy.apply([backend("s", new, fence=2)])
    assert {get(port, "/s/x")[1]["name"] for _ in range(30)} == {"new"}
    proxy.settle(0.5)
    assert answers == []
    old.released.set()
    proxy.settle(60)
    slow.join()
    assert answers[0][1]["name"] == "old"


def test_no_request_fails_over_twenty_changes(
    folder: Path, port: int, replica: Callable[[str], Replica]
) -> None:
    replicas = [replica("a"), replica("b")]
    proxy = Haproxy(folder)
    proxy.apply([backend("s", replicas[0])])
    failures: list[object] = []
    done, answered = threading.Event(), [0, 0, 0, 0]

    def keep(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while not done.is_set():
            try:
                connection.request("GET", "/s/x")
                response = connection.getresponse()
                response.read()
                if response.status != 200:
                    failures.append(response.status)
                answered[number] += 1
            except (OSError, http.client.HTTPException) as error:
                failures.append(error)
                connection.close()
            if number % 2:
                connection.close()
        connection.close()

    clients = [threading.Thread(target=keep, args=(number,)) for number in range(4)]
    for client in clients:
        client.start()
    for change in range(1, 21):
        proxy.apply([backend("s", replicas[change % 2], fence=change)])
    done.set()
    for client in clients:
        client.join()
    assert failures == []
    assert min(answered) > 20


def test_a_replica_that_is_gone_costs_no_request(
    folder: Path, port: int, replica: Callable[[str], Replica]
) -> None:
    gone = replica("gone")
    gone.close()
    Haproxy(folder).apply([backend("s", gone, replica("there"))])
    assert [get(port, "/s/x")[0] for _ in range(20)] == [200] * 20
    Haproxy(folder).apply([backend("s", gone)])
    status, body = get(port, "/s/x")
    assert (status, body["error"]["code"]) == (503, "unavailable")


def test_a_killed_proxy_is_started_again(
    folder: Path, port: int, replica: Callable[[str], Replica]
) -> None:
    backends = [backend("s", replica("a"))]
    Haproxy(folder).apply(backends)
    kill(folder, signal.SIGKILL)
    Haproxy(folder).apply(backends)
    assert get(port, "/s/x")[0] == 200


def test_the_same_again_reloads_nothing(
    folder: Path, port: int, replica: Callable[[str], Replica]
) -> None:
    backends = [backend("s", replica("a")), backend("t", replica("b"))]
    Haproxy(folder).apply(backends)
    written = (folder / "haproxy.cfg").stat().st_mtime_ns
    Haproxy(folder).apply(reversed(backends))
    assert (folder / "haproxy.cfg").stat().st_mtime_ns == written


def test_names_in_a_docker_network_are_resolved_by_its_own_server(
    folder: Path, port: int, replica: Callable[[str], Replica]
) -> None:
    unknown = Backend(service="t", release=RELEASE, fence=1, servers=(("t-0", "me-x-0:8080"),))
    Haproxy(folder).apply([backend("s", replica("a")), unknown], resolve=True)
    assert get(port, "/s/x")[0] == 200
    assert get(port, "/t/x")[0] == 503


def test_a_proxy_that_is_not_installed_is_told_before_any_work(
    folder: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Haproxy(folder).check()
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(TargetFailed, match="apt-get install haproxy"):
        Haproxy(folder).check()


def test_a_port_that_somebody_else_has_is_named(folder: Path, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)), pytest.raises(TargetFailed, match=str(port)):
        Haproxy(folder).apply([])


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_proxy_that_somebody_else_runs(
    kind: str, port: int, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, file, number, one = tmp_path, tmp_path / "cfg", free_port(), Replica("theirs")
    master = "unix@master,mode,600" if kind == "unix" else f"127.0.0.1:{number}"
    admin = f"unix:{tmp_path}/master" if kind == "unix" else f"127.0.0.1:{number}"
    monkeypatch.setenv(config.PROXY_ADMIN, admin)
    with pytest.raises(InvalidInput, match=config.PROXY_CONFIG):
        Haproxy(folder)
    monkeypatch.setenv(config.PROXY_CONFIG, str(file))
    for call in (Haproxy(folder).check, lambda: Haproxy(folder).apply([])):
        with pytest.raises(TargetFailed, match="does not answer"):
            call()
    with subprocess.Popen([program, "-W", "-S", master, "-f", str(file)], cwd=tmp_path) as process:
        try:
            end = time.monotonic() + 20
            while True:
                try:
                    Haproxy(folder).apply([backend("s", one)])
                    break
                except TargetFailed:
                    assert time.monotonic() < end
            assert get(port, "/s/x")[1]["name"] == "theirs"
        finally:
            one.close()
            process.terminate()


def test_the_page_and_the_interface_of_a_service_work_below_its_name(
    folder: Path, port: int, tmp_path: Path
) -> None:
    def model(frame: pd.DataFrame) -> pd.Series:
        return frame["a"] * 2

    envelope = me.save_model(
        model, tags={"canonical_name": "twice"}, api_input=pd.DataFrame({"a": [1.0, 2.0]})
    )
    plan = service_plan(
        envelope.record,
        service="first",
        release="first0",
        directory=fetch_all(me.Client().artifacts, envelope.record),
        scratch=tmp_path / "scratch",
        control_token=TOKEN,
    )
    service = Service(plan, tmp_path)
    try:
        there = (("r-0", f"127.0.0.1:{service.port}"),)
        Haproxy(folder).apply([Backend(service="first", release=RELEASE, fence=1, servers=there)])
        (server,) = get(port, "/first/openapi.json")[1]["servers"]
        assert server == {"url": "/first"}
        seen = browse(f"http://127.0.0.1:{port}/first")
        assert 'class="pill good">ready<' in seen  # the page's script asked for it
        assert f"curl http://127.0.0.1:{port}/first/predict" in seen
    finally:
        service.close()


def browse(url: str) -> str:
    """The page at a URL as it is after its script ran."""
    program = shutil.which("chromium")
    if program is None:
        message = "Chromium is not installed: apt-get install chromium"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    options += ["--virtual-time-budget=10000"]
    done = subprocess.run(
        [str(program), *options, "--dump-dom", url], capture_output=True, text=True, check=True
    )
    return done.stdout
