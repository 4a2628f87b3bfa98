"""The releases that are in a cluster, found by their labels."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from model_envelope import config
from model_envelope.deployment.cluster import diagnosis
from model_envelope.deployment.cluster.api import Cluster, Manifest
from model_envelope.deployment.cluster.forwarding import pod_address
from model_envelope.deployment.targets.manifests import naming
from model_envelope.deployment.targets.manifests.release import PORT, VARIABLE
from model_envelope.deployment.targets.protocol import Running
from model_envelope.errors import InvalidInput, TargetFailed


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployed:
    """What there is of one release; its Secret is the first object in and the last one out."""

    release: str
    direct: bool
    deployment: Manifest | None = None
    secret: Manifest | None = None
    pods: tuple[Manifest, ...] = ()

    @property
    def name(self) -> str:
        """Of all its objects."""
        return str(self._metadata["name"])

    @property
    def service(self) -> str:
        """The service that it is of."""
        return str(self._metadata["labels"][naming.SERVICE])

    @property
    def fence(self) -> int:
        """Of who started it."""
        return int(self._metadata["annotations"][naming.FENCE])

    @property
    def token(self) -> str:
        """What requests to its control routes must show.

        Raises:
            TargetFailed: its Secret is gone.
        """
        if self.secret is None:
            raise TargetFailed(
                f"The Secret {self.name} is gone, and with it the way to control release "
                f"{self.release}: deploy it again."
            )
        return str(json.loads(secret_data(self.secret)[VARIABLE])["control_token"])

    @property
    def stays(self) -> bool:
        """Whether it has a Deployment that was not told to go."""
        return self.deployment is not None and not diagnosis.is_going(self.deployment)

    @property
    def wanted(self) -> int:
        """How many ready pods are enough."""
        if self.deployment is None:
            return 1
        annotations = self.deployment["metadata"].get("annotations") or {}
        return int(annotations.get(naming.MINIMUM, self.deployment["spec"]["replicas"]))

    @property
    def ready(self) -> int:
        """How many pods are ready."""
        return sum(map(diagnosis.is_ready, self.pods))

    def reached(self) -> dict[str, str]:
        """The names of pods that run, and where they are reached from here."""
        return {
            pod["metadata"]["name"]: self._address(pod)
            for pod in self.pods
            if pod["status"].get("podIP")
            and pod["status"].get("phase") == "Running"
            and not diagnosis.is_going(pod)
        }

    def inner_addresses(self) -> tuple[str, ...]:
        """Where other pods reach its ready pods.

        Raises:
            TargetFailed: none is ready.
        """
        found = tuple(_url(pod) for pod in self.pods if diagnosis.is_ready(pod))
        if not found:
            raise TargetFailed(f"Release {self.release} has no ready pod. {self.detail}".rstrip())
        return found

    @property
    def detail(self) -> str:
        """What keeps it from being ready, in words."""
        if self.deployment is None:
            return f"Its Deployment {self.name} is gone."
        return "; ".join(diagnosis.troubles(self.deployment, self.pods))

    def running(self) -> Running:
        """As targets tell it."""
        ready = self.deployment is not None and self.ready >= max(self.wanted, 1)
        return Running(
            release=self.release,
            service=self.service,
            fence=self.fence,
            ready=ready,
            addresses=tuple(self.reached().values()),
            restarts=sum(map(diagnosis.restarts, self.pods)),
            detail="" if ready else self.detail,
        )

    @property
    def _metadata(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = (self.deployment or self.secret or {})["metadata"]
        return found

    def _address(self, pod: Manifest) -> str:
        return _url(pod) if self.direct else pod_address(pod["metadata"]["name"], PORT)


@dataclass(slots=True)
class _Found:
    deployment: Manifest | None = None
    secret: Manifest | None = None
    pods: list[Manifest] = field(default_factory=list)


def find_releases(cluster: Cluster, owner: str, **chosen: str) -> list[Deployed]:
    """All releases of a store that there is anything of, by service and id.

    Args:
        cluster: where.
        owner: the store's identity.
        chosen: `release` or `service`, if only that one's.
    """
    labels = {naming.OWNER: owner, "app.kubernetes.io/managed-by": "model-envelope"}
    labels |= {naming.PREFIX + name: value for name, value in chosen.items()}
    found: dict[str, _Found] = {}
    for secret in cluster.list("Secret", labels):
        found.setdefault(_release(secret), _Found()).secret = secret
    for deployment in cluster.list("Deployment", labels):
        found.setdefault(_release(deployment), _Found()).deployment = deployment
    for pod in cluster.list("Pod", labels):
        if _release(pod) in found:
            found[_release(pod)].pods.append(pod)
    direct = _is_direct(cluster)
    releases = [
        Deployed(
            release=name,
            direct=direct,
            deployment=parts.deployment,
            secret=parts.secret,
            pods=tuple(parts.pods),
        )
        for name, parts in found.items()
    ]
    return sorted(releases, key=lambda r: (r.service, r.release))


def secret_data(secret: Mapping[str, Any]) -> dict[str, str]:
    """What a Secret holds."""
    data = secret.get("data") or {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def _release(found: Manifest) -> str:
    return str(found["metadata"]["labels"][naming.RELEASE])


def _url(pod: Manifest) -> str:
    ip = str(pod["status"]["podIP"])
    return f"http://[{ip}]:{PORT}" if ":" in ip else f"http://{ip}:{PORT}"


def _is_direct(cluster: Cluster) -> bool:
    chosen = config.kubernetes_pods() or ("direct" if cluster.access.inside else "forward")
    if chosen not in ("direct", "forward"):
        raise InvalidInput(f"{config.KUBERNETES_PODS} is direct or forward, not {chosen!r:.80}.")
    return chosen == "direct"
