"""What stands for kube-proxy and an ingress controller: HAProxy, from the EndpointSlices."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from model_envelope.deployment.proxy.haproxy import Haproxy
from model_envelope.deployment.proxy.rendering import Backend
from model_envelope.deployment.targets.protocol import Route, Target
from tests.integration.docker.engine import until
from tests.integration.kubernetes.control_plane import ControlPlane

_RELEASE = "io.model-envelope/release"


class Edge:
    """Sends requests for `/<service>/` to the pods that the cluster says, while its block runs."""

    def __init__(self, plane: ControlPlane, namespace: str, proxy: Haproxy) -> None:
        self._plane = plane
        self._namespace = namespace
        self._proxy = proxy
        self._seen: list[Backend] | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow)

    def __enter__(self) -> Edge:
        self._thread.start()
        self.catch_up()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def catch_up(self) -> None:
        """Wait until requests go where the cluster says now."""
        until(lambda: self._seen == self._wanted())

    def _follow(self) -> None:
        while not self._over.wait(0.05):
            wanted = self._wanted()
            if wanted != self._seen:
                self._proxy.apply(wanted)
                self._seen = wanted

    def _wanted(self) -> list[Backend]:
        core = f"/api/v1/namespaces/{self._namespace}"
        services = self._plane.ask("GET", f"{core}/services")["items"]
        slices = self._plane.ask(
            "GET", f"/apis/discovery.k8s.io/v1beta1/namespaces/{self._namespace}/endpointslices"
        )["items"]
        return [
            Backend(
                service=service["metadata"]["name"],
                release=service["spec"]["selector"][_RELEASE],
                fence=0,
                servers=tuple(sorted(_servers(service["metadata"]["name"], slices))),
            )
            for service in services
            if service["spec"].get("selector", {}).get(_RELEASE, "none") != "none"
        ]


class Settled:
    """A target after whose changes requests go where they should.

    A cluster's proxies learn of a change a moment later than the cluster, which is not what
    the contract is about.
    """

    def __init__(self, target: Target, edge: Edge) -> None:
        self._target = target
        self._edge = edge

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    def route(self, routes: Sequence[Route]) -> None:
        try:
            self._target.route(routes)
        finally:
            self._edge.catch_up()

    def stop(self, release: str, *, drain: timedelta) -> None:
        self._target.stop(release, drain=drain)
        self._edge.catch_up()


def _servers(service: str, slices: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        (endpoint["targetRef"]["name"], f"{endpoint['addresses'][0]}:{found['ports'][0]['port']}")
        for found in slices
        if found["metadata"]["labels"]["kubernetes.io/service-name"] == service
        for endpoint in found["endpoints"] or ()
        if endpoint["conditions"]["ready"]
    ]
