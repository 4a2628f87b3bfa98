"""The API of a cluster: objects as plain mappings, written by server-side apply only.

Access, credentials and TLS are the official client's. Its models are left out: they lose
what they do not know, and know one version of each kind.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from model_envelope import config
from model_envelope.deployment.cluster.access import Access, find_access, kubeconfig
from model_envelope.deployment.cluster.refusals import next_step
from model_envelope.errors import TargetFailed
from model_envelope.optional import require

MANAGER = "model-envelope"
"""Who owns the fields that are applied."""

Manifest = dict[str, Any]

_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Kind:
    """Where objects of a kind are, in the versions that will do, best first."""

    group: str
    plural: str
    versions: tuple[str, ...] = ("v1",)


_KINDS = {
    "Deployment": _Kind("apps", "deployments"),
    "Service": _Kind("", "services"),
    "Secret": _Kind("", "secrets"),
    "Pod": _Kind("", "pods"),
    "EndpointSlice": _Kind("discovery.k8s.io", "endpointslices", ("v1", "v1beta1")),
    "HorizontalPodAutoscaler": _Kind("autoscaling", "horizontalpodautoscalers", ("v2", "v2beta2")),
    "PodDisruptionBudget": _Kind("policy", "poddisruptionbudgets", ("v1", "v1beta1")),
    "Ingress": _Kind("networking.k8s.io", "ingresses"),
    "NetworkPolicy": _Kind("networking.k8s.io", "networkpolicies"),
}


class Conflict(TargetFailed):
    """Somebody else has changed an object since it was read, or made it first."""


class Cluster:
    """One namespace of a cluster, as somebody may see and change it."""

    def __init__(self, access: Access) -> None:
        client = require("kubernetes.client", "kubernetes")
        self.access = access
        self._client = client.ApiClient(access.client)
        self._version = cache(self._served)

    @property
    def namespace(self) -> str:
        """Where all objects are."""
        return self.access.namespace

    def get(self, kind: str, name: str) -> Manifest | None:
        """An object, if there is one of this name."""
        found = self._ask("GET", self._path(kind, name), missing=True)
        return None if found is None else dict(found)

    def list(self, kind: str, labels: Mapping[str, str]) -> list[Manifest]:
        """All objects that have some labels, by name."""
        chosen = ",".join(f"{key}={value}" for key, value in labels.items())
        found = self._ask("GET", self._path(kind), {"labelSelector": chosen})
        return sorted(found["items"], key=lambda item: str(item["metadata"]["name"]))

    def create(self, manifest: Manifest) -> Manifest:
        """Make an object that is not there yet.

        Raises:
            Conflict: it is.
        """
        body = self._served_as(manifest)
        path = self._path(manifest["kind"])
        return dict(self._ask("POST", path, {"fieldManager": MANAGER}, body))

    def apply(self, manifest: Manifest) -> Manifest:
        """Have an object be as it says; fields that it leaves out stay others'.

        Raises:
            Conflict: it has a resourceVersion, which is no longer the object's.
        """
        body = self._served_as(manifest)
        path = self._path(manifest["kind"], manifest["metadata"]["name"])
        return dict(
            self._ask(
                "PATCH",
                path,
                {"fieldManager": MANAGER, "force": "true"},
                body,
                content="application/apply-patch+yaml",
            )
        )

    def scale(self, deployment: str, replicas: int) -> None:
        """Have so many replicas, until somebody says otherwise."""
        self._ask(
            "PATCH",
            self._path("Deployment", deployment) + "/scale",
            {"fieldManager": f"{MANAGER}-scale"},
            {"spec": {"replicas": replicas}},
            content="application/merge-patch+json",
        )

    def delete(
        self,
        kind: str,
        name: str,
        *,
        foreground: bool = False,
        seconds: int | None = None,
        version: str | None = None,
    ) -> None:
        """Have an object go; one that is not there will do.

        Args:
            kind: of it.
            name: of it.
            foreground: it stays until all that it owns has gone.
            seconds: that a pod has to end.
            version: its resourceVersion, if only as it was read.

        Raises:
            Conflict: it was changed since.
        """
        options: dict[str, Any] = {
            "propagationPolicy": "Foreground" if foreground else "Background"
        }
        if seconds is not None:
            options["gracePeriodSeconds"] = seconds
        if version is not None:
            options["preconditions"] = {"resourceVersion": version}
        self._ask("DELETE", self._path(kind, name), body=options, missing=True)

    def logs(self, pod: str, lines: int, *, previous: bool = False) -> str:
        """The last lines that the container of a pod wrote, or the one before it."""
        query = {"tailLines": str(lines), "previous": str(previous).lower()}
        content = self._send("GET", self._path("Pod", pod) + "/log", query)
        return content.decode(errors="replace")

    def forward(self, pod: str, port: int, seconds: float) -> Any:
        """A WebSocket to a port of a pod, through the API server.

        Args:
            pod: its name.
            port: of it.
            seconds: to wait for anything.
        """
        stream = require("kubernetes.stream.ws_client", "kubernetes")
        errors = require("websocket", "kubernetes")
        url = self.access.client.host + self._path("Pod", pod) + f"/portforward?ports={port}"
        headers = {**self._credentials(), "sec-websocket-protocol": "v4.channel.k8s.io"}
        try:
            opened = stream.create_websocket(
                self.access.client, "ws" + url.removeprefix("http"), headers
            )
        except (errors.WebSocketException, OSError) as error:
            raise TargetFailed(
                f"The Kubernetes API forwards nothing to port {port} of pod {pod}: {error}"
            ) from error
        opened.settimeout(seconds)
        return opened

    def _served_as(self, manifest: Manifest) -> Manifest:
        kind = _KINDS[manifest["kind"]]
        prefix = f"{kind.group}/" if kind.group else ""
        return {**manifest, "apiVersion": prefix + self._version(manifest["kind"])}

    def _served(self, name: str) -> str:
        """The version of a kind that this server has."""
        kind = _KINDS[name]
        if len(kind.versions) == 1:
            return kind.versions[0]
        group = self._ask("GET", f"/apis/{kind.group}", missing=True) or {"versions": []}
        served = {found["version"] for found in group["versions"]}
        for version in kind.versions:
            if version in served:
                return version
        raise TargetFailed(
            f"This cluster serves no {name} in {kind.group}/{' or '.join(kind.versions)}: it has "
            f"to be Kubernetes 1.20 or newer."
        )

    def _path(self, kind: str, name: str = "") -> str:
        found = _KINDS[kind]
        root = f"/apis/{found.group}" if found.group else "/api"
        where = f"{root}/{self._version(kind)}/namespaces/{quote(self.namespace, safe='')}"
        return f"{where}/{found.plural}" + (f"/{quote(name, safe='')}" if name else "")

    def _credentials(self) -> dict[str, str]:
        settings = self.access.client.auth_settings().values()
        return {str(setting["key"]): str(setting["value"]) for setting in settings}

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        *,
        content: str = "application/json",
        missing: bool = False,
    ) -> Any:
        try:
            return json.loads(self._send(method, path, query, body, content))
        except _Missing:
            if missing:
                return None
            raise

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content: str = "application/json",
    ) -> bytes:
        urllib3 = require("urllib3", "kubernetes")
        settings = self.access.client
        headers = {"Accept": "application/json, */*", "Content-Type": content}
        headers |= self._credentials()
        try:
            response = self._client.rest_client.pool_manager.request(
                method,
                settings.host + path + (f"?{urlencode(query)}" if query else ""),
                headers=headers,
                body=None if body is None else json.dumps(body),
                timeout=_SECONDS,
                retries=urllib3.Retry(1, redirect=False),
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TargetFailed(
                f"The Kubernetes API at {settings.host} does not answer: {error}. See that it "
                "does (`kubectl version`), and that KUBECONFIG names the right one."
            ) from error
        if response.status >= 400:
            raise _refusal(method, path, response)
        return bytes(response.data)


class _Missing(TargetFailed):
    """There is no such object."""


def open_cluster() -> Cluster:
    """The cluster that the settings name; see `find_access`.

    Kept for later calls of this process: credentials may take a program to get, and
    connections a while to make.

    Raises:
        MissingDependency: the kubernetes package is not installed.
        TargetFailed: there is no access.
    """
    chosen = config.kubernetes_context(), config.kubernetes_namespace()
    return _opened(os.getpid(), _files(), *chosen)


@lru_cache(maxsize=8)
def _opened(_process: int, _files: object, _context: str | None, _namespace: str | None) -> Cluster:
    return Cluster(find_access())


def _files() -> tuple[tuple[str, int], ...]:
    paths = [Path(file) for file in kubeconfig().split(os.pathsep)]
    return tuple((str(path), path.stat().st_mtime_ns if path.exists() else 0) for path in paths)


def _refusal(method: str, path: str, response: Any) -> TargetFailed:
    try:
        told = str(json.loads(response.data)["message"])
    except (ValueError, KeyError, TypeError):
        told = bytes(response.data[:500]).decode(errors="replace")
    text = f"{method} {path}: the Kubernetes API says {response.status}: {told}"
    if response.status == 404:
        return _Missing(text)
    if response.status == 409:
        return Conflict(text)
    steps = {
        401: "see that the credentials of KUBECONFIG are still good",
        403: "see that this user may: docs/how-to/kubernetes-services.md has the role",
    }
    step = next_step(told) or steps.get(response.status, "")
    return TargetFailed(f"{text.rstrip('.')}; {step}." if step else text)
