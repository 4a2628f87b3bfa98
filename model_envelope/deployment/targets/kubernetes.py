"""The target `kubernetes`: a Deployment for each release, a Service for each service.

Everything is in the cluster: who has which traffic is what the Services' selectors say, and
which releases there are is found by labels. So nothing is lost with this process, and several
may be at work at once.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from model_envelope.deployment.cluster import diagnosis, splitting
from model_envelope.deployment.cluster.api import Cluster, Manifest, open_cluster
from model_envelope.deployment.cluster.releases import Deployed, find_releases, secret_data
from model_envelope.deployment.cluster.traffic import ServiceTraffic
from model_envelope.deployment.images.building import ImageBuilder, check_registry, push
from model_envelope.deployment.targets import kubernetes_options
from model_envelope.deployment.targets.kubernetes_options import Replicas
from model_envelope.deployment.targets.manifests import naming
from model_envelope.deployment.targets.manifests.checking import check
from model_envelope.deployment.targets.manifests.release import (
    Rendered,
    grace,
    secret_variables,
)
from model_envelope.deployment.targets.manifests.service import Traffic
from model_envelope.deployment.targets.protocol import (
    Platform,
    Release,
    Route,
    Running,
    Split,
    SplitCounts,
    Target,
)
from model_envelope.errors import DeploymentError, TargetFailed
from model_envelope.names import check_id, check_service

T = TypeVar("T")

_SCALE_SECONDS = 300.0
_STOP_SECONDS = 60.0
_PAUSE = 0.25


class KubernetesTarget:
    """Runs services as pods of a cluster; see the module."""

    kind = "kubernetes"

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._images = ImageBuilder(
            store=platform.store, artifacts=platform.artifacts, cache=platform.cache
        )
        self._listed_at = -math.inf

    def check_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """See `Target` and `kubernetes_options.DEFAULTS`."""
        return kubernetes_options.check_options(options)

    def url(self, service: str, options: Mapping[str, Any]) -> str:
        """See `Target`: what `url` or `host` say, else the Service's name in the cluster."""
        given = self.check_options(options)
        name = check_service(service)
        if given["url"]:
            return str(given["url"]).replace("{service}", name).rstrip("/")
        if given["host"]:
            return f"{'https' if given['tls_secret'] else 'http'}://{given['host']}"
        return f"http://{name}.{open_cluster().namespace}.svc"

    def prepare(self, release: Release) -> None:
        """Build the image and push it."""
        self._image(release, self.check_options(release.options))

    def start(self, release: Release) -> Running:
        """See `Target`."""
        check_id(release.id)
        options = self.check_options(release.options)
        image = self._image(release, options)
        cluster = open_cluster()
        found = cluster.get("Secret", naming.release_name(release.service, release.id))
        told = secret_data(found) if found else secret_variables(release, secrets.token_urlsafe())
        rendered = Rendered(release=release, owner=self._owner, image=image, secret=told)
        manifests = check(rendered.manifests())
        self._traffic(cluster).claim(check_service(release.service), release.fence)
        for manifest in manifests:
            cluster.apply(manifest)
        self._scale_at_least(cluster, rendered)
        return self._find(cluster, release.id).running()

    def route(self, routes: Sequence[Route]) -> None:
        """See `Target`. One service's failure does not keep the others from theirs."""
        cluster = open_cluster()
        traffic = self._traffic(cluster)
        before = traffic.all()
        releases = {found.release: found for found in find_releases(cluster, self._owner)}
        failed: list[DeploymentError] = []
        for route in routes:
            try:
                # What is live already is not waited for: it gets what comes as it is ready.
                if not before.get(route.service, Traffic()).is_of(route):
                    self._give(cluster, route, releases.get(route.release))
            except DeploymentError as error:
                failed.append(error)
        named = {route.service for route in routes}
        for service, given in before.items():
            if service not in named and given.release != naming.NOBODY:
                traffic.withdraw(service)
                traffic.wait(service, None)
        if failed:
            for other in failed[1:]:
                failed[0].add_note(str(other))
            raise failed[0]

    def split(self, route: Route, split: Split | None) -> None:
        """See `Target`."""
        cluster = open_cluster()
        traffic = self._traffic(cluster)
        live = self._find(cluster, route.release)
        if split is None:
            traffic.share(route, None)
            splitting.end(live)
            return
        candidate = self._find(cluster, split.candidate)
        candidate.inner_addresses()  # Nothing is noted of one that nobody reaches.
        traffic.share(route, split)
        splitting.divide(split, live, candidate)

    def split_counts(self, route: Route) -> SplitCounts:
        """See `Target`. Pods that were added, or started again, are told of the split."""
        cluster = open_cluster()
        live = self._find(cluster, route.release)
        counts, unaware = splitting.count(live)
        split = self._traffic(cluster).read(route.service).split
        if split is not None and unaware:
            splitting.divide(split, live, self._find(cluster, split.candidate), unaware)
        return counts

    def scale(self, route: Route, replicas: int) -> None:
        """See `Target`.

        Raises:
            TargetFailed: the cluster itself scales it, or has no room.
        """
        wanted = Replicas.read(self.check_options({"replicas": replicas})["replicas"]).min
        cluster = open_cluster()
        self._traffic(cluster).check_live(route)
        live = self._find(cluster, route.release)
        if cluster.get("HorizontalPodAutoscaler", live.name) is not None:
            raise TargetFailed(
                f"A HorizontalPodAutoscaler scales {route.service}: deploy it with the option "
                f"replicas={replicas} to have that many."
            )
        cluster.scale(live.name, wanted)
        found = self._wait(
            lambda: self._find(cluster, route.release),
            lambda found: found.ready == wanted,
            _SCALE_SECONDS,
        )
        if found.ready < wanted:
            raise TargetFailed(
                f"Release {route.release} did not get {wanted} ready replicas within "
                f"{_SCALE_SECONDS:.0f} s. {found.detail}".rstrip()
            )
        self.split_counts(route)

    def stop(self, release: str, *, drain: timedelta) -> None:
        """See `Target`. A service of which nothing is left is removed, too."""
        cluster, traffic = open_cluster(), self._traffic(open_cluster())
        for found in find_releases(cluster, self._owner, release=release):
            traffic.withdraw(found.service, release)
            self._end_split(cluster, found)
            for kind in ("HorizontalPodAutoscaler", "PodDisruptionBudget"):
                cluster.delete(kind, found.name)
            cluster.delete("Deployment", found.name, foreground=True)
            self._see_it_go(cluster, found, drain)
            left = find_releases(cluster, self._owner, service=found.service)
            if all(other.release == release for other in left):
                traffic.remove(found.service)
            # What is there is found by its Secret: it goes when nothing else is left.
            cluster.delete("Secret", found.name)

    def running(self) -> tuple[Running, ...]:
        """See `Target`. Who asks all the time waits a little between two answers."""
        time.sleep(max(0.0, self._listed_at + _PAUSE - time.monotonic()))
        found = find_releases(open_cluster(), self._owner)
        self._listed_at = time.monotonic()
        return tuple(release.running() for release in found)

    def logs(self, release: str, lines: int = 200) -> str:
        """See `Target`. Of a container that was started again, also what it wrote before."""
        cluster = open_cluster()
        pods = self._find(cluster, release).pods
        texts = {pod["metadata"]["name"]: _log(cluster, pod, lines) for pod in pods}
        if len(texts) == 1:
            return next(iter(texts.values()))
        return "".join(f"--- {name}\n{text}" for name, text in texts.items())

    @property
    def _owner(self) -> str:
        return self._platform.store.identity

    def _traffic(self, cluster: Cluster) -> ServiceTraffic:
        return ServiceTraffic(cluster, self._owner)

    def _image(self, release: Release, options: Mapping[str, Any]) -> str:
        """The image's name for nodes; built and pushed unless the options name one."""
        if options["image"]:
            return str(options["image"]).replace("{envelope}", release.record.id)
        check_registry()
        return push(self._images.build(release.record))

    def _give(self, cluster: Cluster, route: Route, release: Deployed | None) -> None:
        traffic = self._traffic(cluster)
        if release is None or not release.stays:
            traffic.check_fence(route)
            raise TargetFailed(
                f"Release {route.release} of service {route.service} does not run here: its "
                "traffic stays where it is."
            )
        traffic.give(route, release)
        if not traffic.wait(route.service, release):
            raise TargetFailed(
                f"Release {route.release} of service {route.service} gets the traffic when it is "
                f"ready. {self._find(cluster, route.release).detail}".rstrip()
            )

    def _find(self, cluster: Cluster, release: str) -> Deployed:
        found = find_releases(cluster, self._owner, release=release)
        if not found:
            raise TargetFailed(
                f"There is no release {release} here, or no longer: logs go with their release."
            )
        return found[0]

    def _scale_at_least(self, cluster: Cluster, rendered: Rendered) -> None:
        """As many pods as are wanted, or as the load of what it will replace asked for."""
        service = rendered.release.service
        live = self._traffic(cluster).read(service).release
        beside = cluster.get("Deployment", naming.release_name(service, live))
        wanted = rendered.replicas.clamp(beside["spec"]["replicas"] if beside else 0)
        deployment = cluster.get("Deployment", rendered.name)
        if deployment is not None and deployment["spec"]["replicas"] < wanted:
            cluster.scale(rendered.name, wanted)

    def _end_split(self, cluster: Cluster, candidate: Deployed) -> None:
        """Have a service's live release answer alone, where a candidate of it goes."""
        traffic = self._traffic(cluster)
        found = traffic.read(candidate.service)
        if found.split is None or found.split.candidate != candidate.release:
            return
        # Whoever began the split is gone; a pod that does not answer has forgotten it.
        with suppress(DeploymentError):
            route = Route(service=candidate.service, release=found.release, fence=found.fence)
            traffic.share(route, None)
            splitting.end(self._find(cluster, found.release))

    def _see_it_go(self, cluster: Cluster, found: Deployed, drain: timedelta) -> None:
        """Wait for the pods of a release to end; let them take no longer than is allowed."""
        allowed = grace(drain.total_seconds())
        end = time.monotonic() + allowed + _STOP_SECONDS
        hurried = set()
        while cluster.get("Deployment", found.name) is not None:
            for pod in cluster.list("Pod", {naming.RELEASE: found.release}):
                name = pod["metadata"]["name"]
                given = pod["metadata"].get("deletionGracePeriodSeconds", 0)
                if diagnosis.is_going(pod) and given > allowed and name not in hurried:
                    cluster.delete("Pod", name, seconds=allowed)
                    hurried.add(name)
            if time.monotonic() > end:
                raise TargetFailed(
                    f"Deployment {found.name} was told to go, and is still there: see `kubectl "
                    f"describe deployment,pod -l {naming.RELEASE}={found.release}`."
                )
            time.sleep(_PAUSE)

    @staticmethod
    def _wait(look: Callable[[], T], fits: Callable[[T], bool], seconds: float) -> T:
        end = time.monotonic() + seconds
        while not fits(seen := look()) and time.monotonic() < end:
            time.sleep(_PAUSE)
        return seen


def _log(cluster: Cluster, pod: Manifest, lines: int) -> str:
    name, before = pod["metadata"]["name"], ""
    if diagnosis.restarts(pod):
        with suppress(TargetFailed):  # It may be gone already.
            before = cluster.logs(name, lines, previous=True)
    try:
        now = cluster.logs(name, lines)
    except TargetFailed as error:
        now = f"{error}\n"  # Its container was never started.
    return "".join((before + now).splitlines(keepends=True)[-lines:])


if TYPE_CHECKING:

    def _conforms(platform: Platform) -> Target:
        return KubernetesTarget(platform)
