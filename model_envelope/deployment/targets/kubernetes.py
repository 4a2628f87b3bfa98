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
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from model_envelope.deployment.cluster import diagnosis
from model_envelope.deployment.cluster.api import Cluster, open_cluster
from model_envelope.deployment.cluster.releases import Deployed, find_releases, secret_data
from model_envelope.deployment.cluster.traffic import ServiceTraffic
from model_envelope.deployment.controlling import add_counts, control, split_order
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
        secret = cluster.get("Secret", naming.release_name(release.service, release.id))
        rendered = Rendered(
            release=release,
            owner=self._owner,
            image=image,
            secret=secret_data(secret)
            if secret
            else secret_variables(release, secrets.token_urlsafe()),
        )
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
        releases = {found.release: found for found in find_releases(cluster, self._owner)}
        before = traffic.all()
        failed: list[DeploymentError] = []
        for route in routes:
            try:
                release = releases.get(route.release)
                if release is None or release.deployment is None:
                    raise TargetFailed(
                        f"Release {route.release} of service {route.service} does not run here: "
                        "its traffic stays where it is."
                    )
                traffic.give(route, release)
                if not traffic.wait(route.service, release):
                    raise TargetFailed(
                        f"Release {route.release} of service {route.service} gets the traffic "
                        f"when it is ready. {self._find(cluster, route.release).detail}".rstrip()
                    )
            except DeploymentError as error:
                failed.append(error)
        for service in before.keys() - {route.service for route in routes}:
            traffic.withdraw(service)
            traffic.wait(service, None)
        if failed:
            for other in failed[1:]:
                failed[0].add_note(str(other))
            raise failed[0]

    def split(self, route: Route, split: Split | None) -> None:
        """See `Target`."""
        cluster = open_cluster()
        self._traffic(cluster).check_live(route)
        live = self._find(cluster, route.release)
        if split is None:
            self._control(live, "DELETE", "/-/split")
            return
        candidate = self._find(cluster, split.candidate)
        order = split_order(split, address=candidate.inner_address(), token=candidate.token)
        self._control(live, "PUT", "/-/split", order)

    def split_counts(self, route: Route) -> SplitCounts:
        """See `Target`."""
        live = self._find(open_cluster(), route.release)
        return add_counts(self._control(live, "GET", "/-/state"))

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

    def stop(self, release: str, *, drain: timedelta) -> None:
        """See `Target`. A service of which nothing is left is removed, too."""
        cluster, traffic = open_cluster(), self._traffic(open_cluster())
        for found in find_releases(cluster, self._owner, release):
            traffic.withdraw(found.service, release)
            for kind in ("HorizontalPodAutoscaler", "PodDisruptionBudget"):
                cluster.delete(kind, found.name)
            cluster.delete("Deployment", found.name, foreground=True)
            self._see_it_go(cluster, found, drain)
            # What is there is found by its Secret: it goes when nothing else is left.
            cluster.delete("Secret", found.name)
            left = find_releases(cluster, self._owner)
            if all(other.service != found.service for other in left):
                traffic.remove(found.service)

    def running(self) -> tuple[Running, ...]:
        """See `Target`. Who asks all the time waits a little between two answers."""
        time.sleep(max(0.0, self._listed_at + _PAUSE - time.monotonic()))
        found = find_releases(open_cluster(), self._owner)
        self._listed_at = time.monotonic()
        return tuple(release.running() for release in found)

    def logs(self, release: str, lines: int = 200) -> str:
        """See `Target`. Of a container that was started again, also what it wrote before."""
        cluster = open_cluster()
        texts = {}
        for pod in self._find(cluster, release).pods:
            name, text = pod["metadata"]["name"], ""
            for previous in (True, False)[not diagnosis.restarts(pod) :]:
                try:
                    text += cluster.logs(name, lines, previous=previous)
                except TargetFailed as error:
                    # Its container was never started, or is gone already.
                    text += "" if previous else f"{error}\n"
            texts[name] = "".join(text.splitlines(keepends=True)[-lines:])
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

    def _find(self, cluster: Cluster, release: str) -> Deployed:
        found = find_releases(cluster, self._owner, release)
        if not found:
            raise TargetFailed(
                f"There is no release {release} here, or no longer: logs go with their release."
            )
        return found[0]

    def _scale_at_least(self, cluster: Cluster, rendered: Rendered) -> None:
        """As many pods as are wanted, or as the load of what it will replace asked for."""
        service = self._traffic(cluster).all()[rendered.release.service]
        beside = cluster.get(
            "Deployment", naming.release_name(rendered.release.service, service.release)
        )
        wanted = rendered.replicas.clamp(beside["spec"]["replicas"] if beside else 0)
        deployment = cluster.get("Deployment", rendered.name)
        if deployment is not None and deployment["spec"]["replicas"] < wanted:
            cluster.scale(rendered.name, wanted)

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

    def _control(self, release: Deployed, method: str, path: str, body: Any = None) -> list[Any]:
        """Send a request to all replicas at the same time."""
        token, reached = release.token, release.reached()
        if not reached:
            raise TargetFailed(f"No pod of release {release.release} runs. {release.detail}")

        def ask(replica: tuple[str, str]) -> Any:
            name, address = replica
            return control(address, token, method, path, body, name=name)

        with ThreadPoolExecutor(len(reached)) as pool:
            return list(pool.map(ask, reached.items()))

    @staticmethod
    def _wait(look: Callable[[], T], fits: Callable[[T], bool], seconds: float) -> T:
        end = time.monotonic() + seconds
        while not fits(seen := look()) and time.monotonic() < end:
            time.sleep(_PAUSE)
        return seen


if TYPE_CHECKING:

    def _conforms(platform: Platform) -> Target:
        return KubernetesTarget(platform)
