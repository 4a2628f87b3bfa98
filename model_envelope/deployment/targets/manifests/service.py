"""The objects of one service: its Service, which never changes its name, and its entrance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from model_envelope.deployment.targets.manifests import naming
from model_envelope.deployment.targets.manifests.release import PORT, Manifest
from model_envelope.deployment.targets.protocol import Route, Split


@dataclass(frozen=True, kw_only=True, slots=True)
class Traffic:
    """Who has a service's traffic, as its Service object says.

    Attributes:
        release: that has it, or `naming.NOBODY`.
        fence: the highest that ever had it.
        candidates_fence: the highest that ever started a release for it.
        split: how that release shares it.
    """

    release: str = naming.NOBODY
    fence: int = 0
    candidates_fence: int = 0
    split: Split | None = None

    @classmethod
    def of(cls, service: Mapping[str, Any]) -> Traffic:
        """What a Service object says."""
        annotations = service["metadata"].get("annotations") or {}
        selector = service["spec"].get("selector") or {}
        split = annotations.get(naming.SPLIT)
        return cls(
            release=selector.get(naming.RELEASE, naming.NOBODY),
            fence=int(annotations.get(naming.FENCE, 0)),
            candidates_fence=int(annotations.get(naming.CANDIDATES_FENCE, 0)),
            split=Split(**json.loads(split)) if split else None,
        )

    def is_of(self, route: Route) -> bool:
        """Whether this is as the route says."""
        return (self.release, self.fence) == (route.release, route.fence)


def service(name: str, owner: str, traffic: Traffic) -> Manifest:
    """Sends the requests of a service to the pods of one release, or of none."""
    fences = {naming.FENCE: traffic.fence, naming.CANDIDATES_FENCE: traffic.candidates_fence}
    annotations = {key: str(fence) for key, fence in fences.items()}
    if traffic.split is not None:
        annotations[naming.SPLIT] = json.dumps(asdict(traffic.split), sort_keys=True)
    return {
        **_object("v1", "Service", name, owner, annotations),
        "spec": {
            "type": "ClusterIP",
            "selector": {naming.OWNER: owner, naming.RELEASE: traffic.release},
            "ports": [{"name": "http", "port": 80, "targetPort": PORT, "protocol": "TCP"}],
        },
    }


def ingress(name: str, owner: str, release: str, entrance: Mapping[str, Any]) -> Manifest:
    """Leads from a host to the Service.

    Args:
        name: of the service.
        owner: the store's identity.
        release: whose options these are.
        entrance: `host`, and if need be `tls_secret`, `ingress_class`, `ingress_annotations`.
    """
    annotations = {**entrance.get("ingress_annotations", {}), naming.RELEASE: release}
    backend = {"service": {"name": name, "port": {"number": 80}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    spec: Manifest = {"rules": [{"host": entrance["host"], "http": {"paths": [path]}}]}
    if "ingress_class" in entrance:
        spec["ingressClassName"] = entrance["ingress_class"]
    if "tls_secret" in entrance:
        spec["tls"] = [{"hosts": [entrance["host"]], "secretName": entrance["tls_secret"]}]
    return {**_object("networking.k8s.io/v1", "Ingress", name, owner, annotations), "spec": spec}


def network_policy(name: str, owner: str) -> Manifest:
    """Nothing but HTTP comes in to a service's pods."""
    port = {"protocol": "TCP", "port": PORT}
    return {
        **_object("networking.k8s.io/v1", "NetworkPolicy", name, owner, {}),
        "spec": {
            "podSelector": {"matchLabels": {naming.OWNER: owner, naming.SERVICE: name}},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [port]}],
        },
    }


def _object(
    version: str, kind: str, name: str, owner: str, annotations: Mapping[str, str]
) -> Manifest:
    labels = {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/managed-by": "model-envelope",
        naming.OWNER: owner,
        naming.SERVICE: name,
    }
    metadata: Manifest = {"name": name, "labels": labels}
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": version, "kind": kind, "metadata": metadata}
