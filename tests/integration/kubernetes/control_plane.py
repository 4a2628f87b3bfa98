"""Kubernetes' own API server, controllers and scheduler, started from their binaries."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from tests.conftest import free_port
from tests.integration.docker.engine import until

BINARIES = os.environ.get("MODEL_ENVELOPE_TEST_KUBERNETES", "")
"""A folder with kube-apiserver, kube-controller-manager, kube-scheduler, and etcd unless
that is on the PATH. Read now: tests are run without such variables."""

_TOKENS = "admin-token,admin,1,system:masters\ndeployer-token,deployer,2\n"


@dataclass(frozen=True)
class ControlPlane:
    """A running one. `folder` holds its logs."""

    address: str
    certificate: Path
    folder: Path

    def kubeconfig(self, user: str, namespace: str) -> Path:
        """A file with the access of `admin`, or of `deployer`, who may nothing at first."""
        path = self.folder / f"{user}-{namespace}.kubeconfig"
        cluster = {"server": self.address, "certificate-authority": str(self.certificate)}
        context = {"cluster": "it", "user": user, "namespace": namespace}
        body = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "clusters": [{"name": "it", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": f"{user}-token"}}],
            "contexts": [{"name": "it", "context": context}],
        }
        path.write_text(json.dumps(body))
        return path

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        content: str = "application/json",
    ) -> Any:
        """Ask the API as its administrator; None for what is not there."""
        headers = {"Authorization": "Bearer admin-token", "Content-Type": content}
        with urllib3.PoolManager(ca_certs=str(self.certificate), cert_reqs="REQUIRED") as pool:
            response = pool.request(
                method,
                self.address + path,
                headers=headers,
                body=None if body is None else json.dumps(body),
            )
            found = json.loads(response.data)
        if response.status == 404:
            return None
        assert response.status < 300, f"{method} {path}: {found}"
        return found

    def apply(self, manifest: dict[str, Any], path: str) -> Any:
        """Apply a manifest as another user of the cluster would."""
        where = f"{path}/{manifest['metadata']['name']}?fieldManager=test&force=true"
        return self.ask("PATCH", where, manifest, "application/apply-patch+yaml")


@contextmanager
def control_plane() -> Iterator[ControlPlane]:
    """One that is ready, in a folder that goes with it."""
    binaries = Path(BINARIES)
    etcd = binaries / "etcd" if (binaries / "etcd").exists() else Path(shutil.which("etcd") or "")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kubernetes-")))
        store = _store(stack, etcd, folder)
        plane = _api_server(stack, binaries, folder, store)
        shared = [
            f"--kubeconfig={plane.kubeconfig('admin', 'default')}",
            "--leader-elect=false",
            *_without_http(binaries / "kube-apiserver"),
        ]
        _run(
            stack,
            folder,
            binaries / "kube-controller-manager",
            *shared,
            f"--service-account-private-key-file={folder}/account.key",
            f"--root-ca-file={plane.certificate}",
            "--horizontal-pod-autoscaler-sync-period=1s",
            f"--secure-port={free_port()}",
        )
        _run(
            stack,
            folder,
            binaries / "kube-scheduler",
            *shared,
            f"--secure-port={free_port()}",
        )
        yield plane


def _store(stack: ExitStack, etcd: Path, folder: Path) -> str:
    address, peer = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    _run(
        stack,
        folder,
        etcd,
        f"--data-dir={folder}/etcd",
        f"--listen-client-urls={address}",
        f"--advertise-client-urls={address}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
    )
    return address


def _api_server(stack: ExitStack, binaries: Path, folder: Path, store: str) -> ControlPlane:
    port = free_port()
    key = folder / "account.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    (folder / "tokens.csv").write_text(_TOKENS)
    _run(
        stack,
        folder,
        binaries / "kube-apiserver",
        f"--etcd-servers={store}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--cert-dir={folder}/certificates",
        f"--token-auth-file={folder}/tokens.csv",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.250.0.0/16",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--allow-privileged=false",
    )
    plane = ControlPlane(
        address=f"https://127.0.0.1:{port}",
        certificate=folder / "certificates/apiserver.crt",
        folder=folder,
    )
    until(lambda: plane.certificate.exists() and _is_ready(plane), seconds=120)
    return plane


def _without_http(program: Path) -> list[str]:
    """What keeps old ones from a fixed port; new ones have none, and do not know the flag."""
    said = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True)
    minor = int(said.stdout.split(".")[1])
    return ["--port=0"] if minor < 23 else []


def _is_ready(plane: ControlPlane) -> bool:
    try:
        return plane.ask("GET", "/api/v1/namespaces/default") is not None
    except (AssertionError, ValueError, urllib3.exceptions.HTTPError):
        time.sleep(0.5)
        return False


def _run(stack: ExitStack, folder: Path, program: Path, *arguments: str) -> None:
    log = stack.enter_context((folder / f"{program.name}.log").open("wb"))
    process = subprocess.Popen([str(program), *arguments], stdout=log, stderr=log, cwd=folder)
    stack.callback(process.wait)
    stack.callback(process.terminate)
