"""Who has which service's traffic: in the Services themselves, changed as they were read."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from model_envelope.deployment.cluster.api import Cluster, Conflict, Manifest
from model_envelope.deployment.cluster.releases import Deployed
from model_envelope.deployment.targets.manifests import naming
from model_envelope.deployment.targets.manifests import service as manifests
from model_envelope.deployment.targets.manifests.service import Traffic
from model_envelope.deployment.targets.protocol import Route, Split
from model_envelope.errors import FenceLost, TargetFailed

_TRIES = 20
_SECONDS = 15.0
_PAUSE = 0.1


@dataclass(frozen=True, slots=True)
class ServiceTraffic:
    """The Services of one store in a cluster, each with its Ingress and NetworkPolicy."""

    cluster: Cluster
    owner: str

    def all(self) -> dict[str, Traffic]:
        """Every service that there is."""
        return {
            found["metadata"]["name"]: Traffic.of(found)
            for found in self.cluster.list("Service", self._labels())
        }

    def read(self, service: str) -> Traffic:
        """Who has a service's traffic."""
        found = self._get(service)
        return Traffic() if found is None else Traffic.of(found)

    def claim(self, service: str, fence: int) -> None:
        """Note that a release of this fence is started; makes the Service if need be.

        Raises:
            FenceLost: one of a higher fence was.
            TargetFailed: something else has its name.
        """

        def claimed(traffic: Traffic) -> Traffic:
            _check(service, fence, max(traffic.fence, traffic.candidates_fence))
            return replace(traffic, candidates_fence=fence)

        self._change(service, claimed)
        if self._owned("NetworkPolicy", service) is None:
            self.cluster.apply(manifests.network_policy(service, self.owner))

    def give(self, route: Route, release: Deployed) -> None:
        """Give a service's traffic to a release.

        The Ingress comes first: a crash in between leaves something to be done again.

        Raises:
            FenceLost: one of a higher fence had it.
        """

        def given(traffic: Traffic) -> Traffic:
            _check(route.service, route.fence, traffic.fence)
            fence = max(route.fence, traffic.candidates_fence)
            return Traffic(release=route.release, fence=route.fence, candidates_fence=fence)

        self.check_fence(route)
        self._open(route, release)
        self._change(route.service, given)

    def withdraw(self, service: str, release: str | None = None) -> None:
        """Take its traffic from a service, if that release has it, or whoever has."""

        def withdrawn(traffic: Traffic) -> Traffic:
            if release not in (None, traffic.release):
                return traffic
            return replace(traffic, release=naming.NOBODY, split=None)

        if self._get(service) is not None:
            self._change(service, withdrawn)

    def check_fence(self, route: Route) -> None:
        """See that nobody of a higher fence had a service's traffic.

        Raises:
            FenceLost: somebody had.
        """
        _check(route.service, route.fence, self.read(route.service).fence)

    def check_live(self, route: Route) -> None:
        """See that a release has its service's traffic.

        Raises:
            FenceLost: a later one has it.
            TargetFailed: it has not.
        """
        _check_live(route, self.read(route.service))

    def share(self, route: Route, split: Split | None) -> None:
        """Note how a live release shares its traffic, for pods that come later.

        Raises:
            FenceLost, TargetFailed: see `check_live`.
        """

        def shared(traffic: Traffic) -> Traffic:
            _check_live(route, traffic)
            return replace(traffic, split=split)

        self._change(route.service, shared)

    def remove(self, service: str) -> None:
        """Remove a service that nobody has, or is about to have, the traffic of."""
        found = self._get(service)
        if found is None or Traffic.of(found).release != naming.NOBODY:
            return
        try:
            self.cluster.delete("Service", service, version=found["metadata"]["resourceVersion"])
        except Conflict:
            return
        for kind in ("Ingress", "NetworkPolicy"):
            self.cluster.delete(kind, service)

    def wait(self, service: str, release: Deployed | None) -> bool:
        """Wait a while until the pods of a release, and no others, get its requests.

        Returns:
            Whether they do. Without a release: whether no pod does.
        """
        end = time.monotonic() + _SECONDS
        while True:
            names = self._endpoints(service)
            strangers = [n for n in names if release is None or not n.startswith(release.name)]
            if not strangers and bool(names) == (release is not None):
                return True
            if time.monotonic() > end:
                return False
            time.sleep(_PAUSE)

    def _open(self, route: Route, release: Deployed) -> None:
        """Have the Ingress that the release asks for, or none."""
        found = self._owned("Ingress", route.service)
        annotations = (release.deployment or {})["metadata"]["annotations"]
        entrance = json.loads(annotations[naming.ENTRANCE])
        if not entrance:
            if found is not None:
                self.cluster.delete("Ingress", route.service)
        elif found is None or found["metadata"]["annotations"][naming.RELEASE] != route.release:
            self.cluster.apply(
                manifests.ingress(route.service, self.owner, route.release, entrance)
            )

    def _endpoints(self, service: str) -> list[str]:
        """The names of the pods that are told to get a service's requests."""
        slices = self.cluster.list("EndpointSlice", {"kubernetes.io/service-name": service})
        return [
            endpoint.get("targetRef", {}).get("name", "")
            for found in slices
            for endpoint in found.get("endpoints") or ()
            if (endpoint.get("conditions") or {}).get("ready") is not False
        ]

    def _change(self, service: str, change: Callable[[Traffic], Traffic]) -> None:
        """Read, change and write, again where somebody else was faster."""
        for _ in range(_TRIES):
            found = self._get(service)
            before = Traffic() if found is None else Traffic.of(found)
            after = change(before)
            if found is not None and after == before:
                return
            manifest = manifests.service(service, self.owner, after)
            try:
                if found is None:
                    self.cluster.create(manifest)
                else:
                    manifest["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
                    self.cluster.apply(manifest)
            except Conflict:
                time.sleep(_PAUSE)
            else:
                return
        raise TargetFailed(
            f"Service {service} could not be changed in {_TRIES} tries: somebody else changes it "
            "all the time."
        )

    def _get(self, service: str) -> Manifest | None:
        return self._owned("Service", service)

    def _owned(self, kind: str, name: str) -> Manifest | None:
        found = self.cluster.get(kind, name)
        if found is None:
            return None
        labels = found["metadata"].get("labels") or {}
        if labels.get(naming.OWNER) != self.owner:
            raise TargetFailed(
                f"There is a {kind} {name} in namespace {self.cluster.namespace} that is not this "
                "store's: give the service another name, or use another namespace."
            )
        return found

    def _labels(self) -> dict[str, str]:
        return {naming.OWNER: self.owner, "app.kubernetes.io/managed-by": "model-envelope"}


def _check_live(route: Route, traffic: Traffic) -> None:
    _check(route.service, route.fence, traffic.fence)
    if not traffic.is_of(route):
        raise TargetFailed(f"Release {route.release} does not have {route.service}'s traffic.")


def _check(service: str, fence: int, newest: int) -> None:
    if fence < newest:
        raise FenceLost(
            f"Service {service} was taken over: fence {newest} was here, {fence} is late."
        )
