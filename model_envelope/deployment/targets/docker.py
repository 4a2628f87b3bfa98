"""The target `docker`: hardened containers behind one HAProxy.

The engine keeps the containers running, also over its own restarts; their labels say whose
they are, so that nothing is lost with this process. Which release has which service's
traffic is in `state/docker/routes.json`, from which the proxy's configuration is made.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_envelope import config
from model_envelope.deployment.engine import connected
from model_envelope.deployment.images import pruning, template
from model_envelope.deployment.images.building import ImageBuilder
from model_envelope.deployment.prediction_logs import log_folder
from model_envelope.deployment.proxy.haproxy import Haproxy
from model_envelope.deployment.proxy.rendering import Backend
from model_envelope.deployment.targets import docker_options, process_options, shared_traffic
from model_envelope.deployment.targets.containers import (
    LOG,
    RELEASE,
    Containers,
    Launch,
    Replica,
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
from model_envelope.deployment.targets.replicas import Load, Replicas, Scalable, ask_load
from model_envelope.deployment.targets.routing_table import RoutingTable
from model_envelope.errors import DeploymentError, TargetFailed
from model_envelope.names import check_id, check_service

_SCALE_SECONDS = 300.0
_SCALE_DRAIN = timedelta(seconds=30)


class DockerTarget:
    """Runs services as containers; see the module."""

    kind = "docker"

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._folder = platform.state / "docker"
        self._images = ImageBuilder(
            store=platform.store, artifacts=platform.artifacts, cache=platform.cache
        )

    def check_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """See `Target` and `docker_options.DEFAULTS`."""
        return docker_options.check_options(options)

    def url(self, service: str, options: Mapping[str, Any]) -> str:
        """See `Target`: below the proxy's address."""
        self.check_options(options)
        return f"{config.proxy_url()}/{check_service(service)}"

    def prepare(self, release: Release) -> None:
        """Build the image."""
        self._proxy().check()
        self._images.build(release.record)

    def start(self, release: Release) -> Running:
        """See `Target`."""
        check_id(release.id)
        options = self.check_options(release.options)
        image = self._images.build(release.record)
        with self._locked() as table, self._containers() as containers:
            present = containers.all()
            newest = max(
                (r.launch.fence for r in present if r.launch.service == release.service), default=0
            )
            table.check_fence(release.service, release.fence, at_least=newest)
            own = [r for r in present if r.launch.release == release.id]
            log = self._log_folder(release)
            launch = own[0].launch if own else _launch(release, options, image.id, log)
            # As many as what it will replace has, which its load asked for.
            beside = table.routes.get(release.service)
            others = sum(r.launch.release == beside.release for r in present if beside)
            for number in range(Replicas.read(options["replicas"]).clamp(others)):
                if not any(r.number == number and r.is_running for r in own):
                    containers.start(launch, number)
            own = [r for r in containers.all() if r.launch.release == release.id]
        return _running(own)

    def route(self, routes: Sequence[Route]) -> None:
        """See `Target`. One service's failure does not keep the others from theirs."""
        failed: list[DeploymentError] = []
        with self._locked() as table, self._containers() as containers:
            replicas = containers.all()
            there = {r.launch.release for r in replicas if r.is_running}
            wanted: dict[str, Route] = {}
            for route in routes:
                try:
                    table.check_fence(check_service(route.service), route.fence)
                    if route.release not in there:
                        raise TargetFailed(
                            f"Release {route.release} of service {route.service} does not run "
                            "here: its traffic stays where it is."
                        )
                    wanted[route.service] = route
                except DeploymentError as error:
                    failed.append(error)
                    if route.service in table.routes:
                        wanted[route.service] = table.routes[route.service]
            table.replace(wanted.values())
            self._render(table, replicas)
        if failed:
            for other in failed[1:]:
                failed[0].add_note(str(other))
            raise failed[0]

    def split(self, route: Route, split: Split | None) -> None:
        """See `Target`."""
        with self._locked() as table, self._containers() as containers:
            table.check_live(route)
            replicas = containers.all()
            if split is None:
                table.splits.pop(route.service, None)
            else:
                shared_traffic.candidates(split, replicas)
                table.splits[route.service] = split
            table.save()
        live = _of(replicas, route.release)
        if split is None:
            shared_traffic.end(live)
        else:
            shared_traffic.divide(split, live, replicas)

    def split_counts(self, route: Route) -> SplitCounts:
        """See `Target`. A replica that was started again is told of the split again."""
        with self._locked() as table, self._containers() as containers:
            split, replicas = table.splits.get(route.service), containers.all()
        counts, unaware = shared_traffic.count(_of(replicas, route.release))
        if split is not None:
            shared_traffic.remind(split, unaware, replicas)
        return counts

    def load(self, route: Route) -> Load:
        """See `Scalable`."""
        with self._containers() as containers:
            live = _of(containers.all(), route.release)
        return ask_load((f"http://{r.address}", r.launch.token) for r in live)

    def scale(self, route: Route, replicas: int) -> None:
        """See `Target`. What is too much ends when it has answered what it had."""
        wanted = self.check_options({"replicas": replicas})["replicas"]
        with self._locked() as table, self._containers() as containers:
            table.check_live(route)
            live = _of(containers.all(), route.release)
            for number in range(wanted):
                if not any(r.number == number and r.is_running for r in live):
                    containers.start(live[0].launch, number)
        self._wait_ready(route.release, wanted)
        with self._locked() as table, self._containers() as containers:
            table.check_live(route)
            present = containers.all()
            live = _of(present, route.release)
            extra = [r for r in live if r.number >= wanted]
            if route.service in table.splits:
                shared_traffic.remind(table.splits[route.service], live, present)
            self._render(table, [r for r in present if r not in extra])
        self._remove(extra, _SCALE_DRAIN)

    def stop(self, release: str, *, drain: timedelta) -> None:
        """See `Target`."""
        with self._locked() as table, self._containers() as containers:
            present = containers.all()
            if table.remove(release):
                self._render(table, present)
            divided = table.end_split(release)
            if divided is not None:
                table.save()
        if divided is not None:
            # Whoever began the split is gone; a replica that does not answer has forgotten it.
            with suppress(TargetFailed):
                shared_traffic.end(_of(present, divided.release))
        self._remove([r for r in present if r.launch.release == release], drain)

    def running(self) -> tuple[Running, ...]:
        """See `Target`."""
        with self._containers() as containers:
            present = containers.all()
        groups = groupby(present, key=lambda r: r.launch.release)
        return tuple(_running(list(replicas)) for _, replicas in groups)

    def logs(self, release: str, lines: int = 200) -> str:
        """See `Target`."""
        with self._containers() as containers:
            own = [r for r in containers.all() if r.launch.release == release]
            if not own:
                raise TargetFailed(
                    f"There is no release {release} here, or no longer: logs go with their release."
                )
            texts = {r.name: containers.logs(r, lines) for r in own}
        if len(texts) == 1:
            return next(iter(texts.values()))
        return "".join(f"--- {name}\n{text}" for name, text in texts.items())

    def prune(self, *, keep: timedelta, dry_run: bool) -> tuple[str, ...]:
        """See `Prunable`: images."""
        return pruning.prune(self._platform.store, self._platform.cache, keep=keep, dry_run=dry_run)

    def _log_folder(self, release: Release) -> Path | None:
        """A folder that its containers can write to, if it is on their machine."""
        if release.log_mode == "off" or config.docker_network() is not None:
            return None
        folder = log_folder(self._platform.state, release.service, release.id)
        folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(folder, template.USER, template.USER)
        else:
            folder.chmod(0o777)
        return folder.absolute()

    def _render(self, table: RoutingTable, replicas: Iterable[Replica]) -> None:
        """Make the proxy do what the table says."""
        running = [r for r in replicas if r.is_running]
        backends = [
            Backend(
                service=route.service,
                release=route.release,
                fence=route.fence,
                servers=tuple(
                    (r.name, r.address) for r in running if r.launch.release == route.release
                ),
            )
            for route in table.routes.values()
        ]
        self._proxy().apply(backends, resolve=config.docker_network() is not None)
        table.save()

    def _remove(self, replicas: Sequence[Replica], drain: timedelta) -> None:
        end = time.monotonic() + drain.total_seconds()
        if replicas:
            self._proxy().settle(drain.total_seconds())
        with self._containers() as containers:
            shared_traffic.each(
                replicas, lambda r: containers.stop(r, seconds=end - time.monotonic())
            )

    def _wait_ready(self, release: str, replicas: int) -> None:
        end = time.monotonic() + _SCALE_SECONDS
        with self._containers() as containers:
            while True:
                found = _of(containers.all(), release)
                if sum(shared_traffic.each(found, Replica.is_ready)) >= replicas:
                    return
                if time.monotonic() > end:
                    raise TargetFailed(
                        f"Release {release} did not get {replicas} ready replicas within "
                        f"{_SCALE_SECONDS:.0f} s: look at its log."
                    )
                time.sleep(0.1)

    def _proxy(self) -> Haproxy:
        folder = self._folder / "proxy"
        folder.mkdir(parents=True, exist_ok=True)
        return Haproxy(folder)

    @contextmanager
    def _locked(self) -> Iterator[RoutingTable]:
        """The routing table, for one process at a time."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield RoutingTable.read(self._folder / "routes.json")

    @contextmanager
    def _containers(self) -> Iterator[Containers]:
        with connected() as client:
            yield Containers(client, self._platform.store.identity)


def _launch(release: Release, options: Mapping[str, Any], image: str, log: Path | None) -> Launch:
    kept_for_a_while = "/tmp/predictions"  # noqa: S108 - in a container
    told = {
        "service": release.service,
        "release": release.id,
        "control_token": secrets.token_urlsafe(),
        "limits": asdict(release.limits),
        "log": {
            "mode": release.log_mode,
            "share": release.log_share,
            "folder": LOG if log else kept_for_a_while,
        },
    }
    threads = process_options.thread_variables(options["threads"])
    memory, cpus = options["memory_mb"], options["cpus"]
    return Launch(
        service=release.service,
        release=release.id,
        fence=release.fence,
        image=image,
        environment={**threads, **options["env"], RELEASE: json.dumps(told)},
        nano_cpus=None if cpus is None else int(cpus * 1e9),
        memory_bytes=None if memory is None else memory << 20,
        log_folder=str(log) if log else None,
    )


def _of(replicas: Iterable[Replica], release: str) -> list[Replica]:
    own = [r for r in replicas if r.launch.release == release]
    if not own:
        raise TargetFailed(f"Release {release} does not run here.")
    return own


def _running(replicas: Sequence[Replica]) -> Running:
    launch = replicas[0].launch
    ready = shared_traffic.each(replicas, Replica.is_ready)
    troubles = [
        f"{r.name} is {r.state}, ended with {r.exit_code} and was started again {r.restarts} times"
        for r, is_ready in zip(replicas, ready, strict=True)
        if not is_ready and (r.restarts or r.state != "running")
    ]
    return Running(
        release=launch.release,
        service=launch.service,
        fence=launch.fence,
        ready=all(ready),
        addresses=tuple(f"http://{r.address}" for r in replicas),
        restarts=sum(r.restarts for r in replicas),
        detail="; ".join(troubles),
    )


if TYPE_CHECKING:

    def _conforms(platform: Platform) -> tuple[Target, Scalable]:
        return DockerTarget(platform), DockerTarget(platform)
