"""How the API of a cluster is spoken to, by a server that tells what it was asked."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from model_envelope import config
from model_envelope.deployment.cluster.api import Conflict, open_cluster
from model_envelope.errors import TargetFailed
from tests.conftest import free_port

SCALER = {"kind": "HorizontalPodAutoscaler", "metadata": {"name": "ltv"}, "spec": {}}


class ApiServer(ThreadingHTTPServer):
    """Answers with what it was told to, by method and path; 404 to everything else."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[tuple[str, dict[str, str], Any]] = []


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        sent = json.loads(self.rfile.read(length)) if length else None
        self.server.asked.append((f"{self.command} {self.path}", dict(self.headers), sent))
        key = f"{self.command} {self.path.partition('?')[0]}"
        status, body = self.server.answers.get(key, (404, {"message": f"no {key}"}))
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def write_kubeconfig(path: Path, port: int, **context: str) -> None:
    body = {
        "current-context": "one",
        "clusters": [{"name": "it", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "me", "user": {"token": "the-token"}}],
        "contexts": [
            {"name": "one", "context": {"cluster": "it", "user": "me", **context}},
            {"name": "two", "context": {"cluster": "it", "user": "me", "namespace": "second"}},
        ],
    }
    path.write_text(json.dumps(body))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    with ApiServer() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        write_kubeconfig(tmp_path / "kubeconfig", server.server_port)
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("served", "version"), [(["v2", "v1", "v2beta2"], "v2"), (["v1", "v2beta2"], "v2beta2")]
)
def test_the_version_is_one_that_the_server_has(
    server: ApiServer, served: list[str], version: str
) -> None:
    path = f"/apis/autoscaling/{version}/namespaces/default/horizontalpodautoscalers/ltv"
    versions = [{"version": name} for name in served]
    server.answers = {
        "GET /apis/autoscaling": (200, {"versions": versions}),
        f"PATCH {path}": (200, {}),
    }
    open_cluster().apply(SCALER)
    asked, headers, sent = server.asked[-1]
    assert asked == f"PATCH {path}?fieldManager=model-envelope&force=true"
    assert headers["Content-Type"] == "application/apply-patch+yaml"
    assert headers["authorization"] == "Bearer the-token"
    assert sent == {**SCALER, "apiVersion": f"autoscaling/{version}"}


def test_a_cluster_that_is_too_old_is_named(server: ApiServer) -> None:
    server.answers = {"GET /apis/autoscaling": (200, {"versions": [{"version": "v1"}]})}
    with pytest.raises(TargetFailed, match=r"1\.20 or newer"):
        open_cluster().apply(SCALER)


def test_what_is_not_there_is_none_and_may_be_deleted(server: ApiServer) -> None:
    assert open_cluster().get("Service", "ltv") is None
    open_cluster().delete("Service", "ltv")
    assert server.asked[-1][2] == {"propagationPolicy": "Background"}
    with pytest.raises(TargetFailed, match="no GET"):
        open_cluster().list("Service", {})


@pytest.mark.parametrize(
    ("status", "kind", "told", "step"),
    [
        (409, Conflict, "the object has been modified", ""),
        (422, TargetFailed, "spec.ports: Required value", ""),
        (401, TargetFailed, "Unauthorized", "the credentials of KUBECONFIG"),
        (403, TargetFailed, "services is forbidden: User 'me' cannot patch", "has the role"),
        (403, TargetFailed, "services is forbidden: exceeded quota: small", "a larger quota"),
        (400, TargetFailed, "admission webhook 'x' denied the request: no", "keeps the policy"),
        (500, TargetFailed, "failed calling webhook 'x': refused", "webhook of that name runs"),
    ],
)
def test_refusals_say_what_the_server_said_and_what_to_do(
    server: ApiServer, status: int, kind: type[Exception], told: str, step: str
) -> None:
    path = "/api/v1/namespaces/default/services/ltv"
    server.answers = {f"PATCH {path}": (status, {"message": told})}
    with pytest.raises(kind) as refused:
        open_cluster().apply({"kind": "Service", "metadata": {"name": "ltv"}})
    for part in (path, str(status), told, step):
        assert part in str(refused.value)


def test_context_and_namespace_can_be_chosen(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_cluster().namespace == "default"
    monkeypatch.setenv(config.KUBERNETES_CONTEXT, "two")
    assert open_cluster().namespace == "second"
    monkeypatch.setenv(config.KUBERNETES_NAMESPACE, "third")
    assert open_cluster().namespace == "third"
    monkeypatch.setenv(config.KUBERNETES_CONTEXT, "nine")
    with pytest.raises(TargetFailed, match=r"nine.*KUBECONFIG"):
        open_cluster()
    del server


def test_a_kubeconfig_that_changes_is_read_again(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_cluster()
    assert open_cluster() is first
    path = Path(os.environ["KUBECONFIG"])
    write_kubeconfig(path, server.server_port, namespace="elsewhere")
    os.utime(path, ns=(1, 1))
    assert open_cluster().namespace == "elsewhere"
    monkeypatch.setenv("KUBECONFIG", str(path.with_name("none")))
    with pytest.raises(TargetFailed, match="no access to a Kubernetes cluster"):
        open_cluster()


def test_a_server_that_is_away_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    write_kubeconfig(tmp_path / "kubeconfig", port)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    with pytest.raises(TargetFailed, match=f"127.0.0.1:{port} does not answer"):
        open_cluster().get("Service", "ltv")
