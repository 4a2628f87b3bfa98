"""A cluster for tests, one for all of a process, and a namespace of its own for each."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from model_envelope import config
from model_envelope.deployment.proxy.haproxy import Haproxy
from model_envelope.deployment.targets.protocol import Platform, Target
from tests.conftest import free_port
from tests.integration.docker.engine import run_registry
from tests.integration.kubernetes.control_plane import BINARIES, ControlPlane, control_plane
from tests.integration.kubernetes.edge import Edge, Settled
from tests.integration.kubernetes.node import Node
from tests.integration.targets.site import Site

WANTED = pytest.mark.skipif(
    not BINARIES, reason="MODEL_ENVELOPE_TEST_KUBERNETES names no folder of binaries"
)


@pytest.fixture(scope="session")
def cluster(engine: Any) -> Iterator[ControlPlane]:
    """A control plane with one node."""
    with control_plane() as plane, Node(plane, engine):
        yield plane


@pytest.fixture(scope="session")
def cluster_registry(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of a registry that engine and node reach; its images go with it."""
    with run_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address
        for image in engine.images.list(name=f"{address}/models"):
            engine.images.remove(image.id, force=True)


@dataclass
class KubernetesSite(Site):
    """The target `kubernetes`, in a namespace of its own."""

    plane: ControlPlane | None = None
    namespace: str = ""
    edge: Edge | None = None

    def again(self) -> Target:
        assert self.edge is not None
        return Settled(super().again(), self.edge)

    def ask_api(self, kind: str, name: str = "", *, group: str = "/api/v1") -> Any:
        """What the cluster has, as its administrator sees it."""
        assert self.plane is not None
        path = f"{group}/namespaces/{self.namespace}/{kind}"
        found = self.plane.ask("GET", f"{path}/{name}" if name else path)
        return found if name else found["items"]

    def change(self, path: str, body: Any) -> None:
        """A change by somebody else."""
        assert self.plane is not None
        self.plane.ask("PATCH", path, body, "application/merge-patch+json")


@contextmanager
def kubernetes_site(
    plane: ControlPlane,
    platform: Platform,
    folder: Path,
    patch: pytest.MonkeyPatch,
    *,
    user: str = "deployer",
) -> Iterator[KubernetesSite]:
    """A namespace in which the user may do what the how-to says, and an edge before it."""
    namespace = f"models-{secrets.token_hex(4)}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    plane.ask("POST", "/api/v1/namespaces", body)
    _grant(plane, namespace)
    folder.mkdir()
    url = f"http://127.0.0.1:{free_port()}"
    patch.setenv(config.PROXY_URL, url)
    patch.setenv("KUBECONFIG", str(plane.kubeconfig(user, namespace)))
    patch.setenv(config.KUBERNETES_PODS, "direct")
    with Edge(plane, namespace, Haproxy(folder)) as edge:
        site = KubernetesSite(
            "kubernetes",
            platform,
            "doubles",
            {"url": url + "/{service}"},
            plane=plane,
            namespace=namespace,
            edge=edge,
        )
        yield site
        site.close()
    os.kill(int((folder / "pid").read_text()), signal.SIGTERM)


def _grant(plane: ControlPlane, namespace: str) -> None:
    """The role of the how-to, word for word."""
    import yaml

    text = (Path(__file__).parents[3] / "docs/how-to/kubernetes-services.md").read_text()
    (role,) = (
        body
        for block in text.split("```yaml\n")[1:]
        for body in yaml.safe_load_all(block.partition("```")[0])
        if body["kind"] == "Role"
    )
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    plane.ask("POST", f"{path}/roles", role)
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "deployer"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": role["metadata"]["name"],
        },
        "subjects": [{"kind": "User", "name": "deployer", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    plane.ask("POST", f"{path}/rolebindings", binding)
