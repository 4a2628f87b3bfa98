"""HTTP to a pod through an API server: real HTTP in real WebSockets, without a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from model_envelope.deployment.cluster.forwarding import pod_address
from model_envelope.deployment.probing import Unanswered, ask
from tests.conftest import free_port
from tests.integration.kubernetes.frames import PROTOCOL, carry

FORWARD = "/api/v1/namespaces/models/pods/ltv-1/portforward?ports="


class _Pod(BaseHTTPRequestHandler):
    """Gives back what it gets, with what it saw."""

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/dies":
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Seen", self.headers.get("Authorization", ""))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def pod() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Pod) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """An API server that forwards to ports of this machine, for who shows the token."""
    asked: list[str] = []

    def check(connection: ServerConnection, request: Request) -> Response | None:
        asked.append(request.path)
        if not request.path.startswith(FORWARD):
            return connection.respond(404, "no such pod")
        shown = request.headers["authorization"] == "Bearer the-token"
        return None if shown else connection.respond(401, "who are you?")

    def forward(connection: ServerConnection) -> None:
        path = connection.request.path if connection.request else ""
        carry(connection, "127.0.0.1", int(path.removeprefix(FORWARD)))

    port = free_port()
    with serve(
        forward,
        "127.0.0.1",
        port,
        subprotocols=[PROTOCOL],  # type: ignore[list-item]
        process_request=check,
        max_size=None,
    ) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        kubeconfig = {
            "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "me", "user": {"token": "the-token"}}],
            "contexts": [
                {"name": "it", "context": {"cluster": "it", "user": "me", "namespace": "models"}}
            ],
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        yield asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("size", [0, 3, 5_000_000])
def test_a_pod_sees_what_was_sent_and_answers(api: list[str], pod: int, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"\0" * (size % 256)
    headers = {"Authorization": "Bearer of-the-pod"}
    for _ in range(2):
        answer = ask(pod_address("ltv-1", pod), "POST", "/x", body, headers=headers)
        assert (answer.status, answer.body) == (200, body)
        assert answer.headers["seen"] == "Bearer of-the-pod"
    assert api == [f"{FORWARD}{pod}"] * 2


@pytest.mark.usefixtures("api")
def test_a_pod_that_hangs_up_has_not_answered(pod: int) -> None:
    with pytest.raises(Unanswered, match="not answered"):
        ask(pod_address("ltv-1", pod), "POST", "/dies", b"x")


@pytest.mark.usefixtures("api")
def test_a_pod_that_is_not_there_is_named() -> None:
    with pytest.raises(Unanswered, match=r"pod ltv-2.*404"):
        ask(pod_address("ltv-2", 8080), "GET", "/readyz")
