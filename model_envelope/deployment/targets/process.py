"""The embedded default target: supervised processes on this machine, no Docker needed.

Below `state/services/<service>/` lies everything of a service: its address, its
supervisor's state and log, and a folder for each release. The supervisor is detached: it
outlives whoever started it, and keeps the releases running.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_envelope import isolation
from model_envelope.deployment.prediction_logs import log_folder
from model_envelope.deployment.targets import process_options
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
from model_envelope.deployment.targets.supervising.control import NoSupervisor
from model_envelope.deployment.targets.supervising.log_file import tail
from model_envelope.deployment.targets.supervising.service import SupervisedService
from model_envelope.deployment.targets.supervising.state import (
    Launch,
    log_of,
    release_folder,
)
from model_envelope.environment.build import BuiltEnvironment
from model_envelope.environment.caching import STAMP
from model_envelope.errors import DeploymentError, FenceLost, TargetFailed
from model_envelope.names import check_id, check_service
from model_envelope.serving.plan import PredictionLog
from model_envelope.shipping import service_archive

_SECONDS = 30.0
_ROUTE_SECONDS = 10.0
_DRAIN_MARGIN = 20.0
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ")


class ProcessTarget:
    """Runs services as processes of this machine; see the module."""

    kind = "process"

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._services = platform.state / "services"

    def check_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """See `Target` and `process_options.DEFAULTS`."""
        return process_options.check_options(options)

    def url(self, service: str, options: Mapping[str, Any]) -> str:
        """See `Target`. The first call chooses the port."""
        given = self.check_options(options)
        return self._service(service).address(given["host"], given["port"]).url

    def prepare(self, release: Release) -> None:
        """Build the environment and fetch the artifact."""
        self._built(release)
        isolation.fetch_all(self._platform.artifacts, release.record)

    def start(self, release: Release) -> Running:
        """See `Target`."""
        service = self._service(release.service)
        options = self.check_options(release.options)
        token = service.address(options["host"], options["port"]).token(release.id)
        folder = release_folder(service.folder, check_id(release.id))
        directory = isolation.fetch_all(self._platform.artifacts, release.record)
        plan = isolation.service_plan(
            release.record,
            service=release.service,
            release=release.id,
            directory=directory,
            scratch=folder / "modules",
            control_token=token,
            limits=release.limits,
            log=PredictionLog(
                mode=release.log_mode,
                share=release.log_share,
                folder=str(log_folder(self._platform.state, release.service, release.id)),
            ),
        )
        built, archive = self._built(release), service_archive(self._platform.cache)
        memory, state = options["memory_mb"], service.state()
        # As many as what it will replace has, which its load asked for.
        beside = state.launches.get(state.live or "")
        launch = Launch(
            release=release.id,
            fence=release.fence,
            command=(str(built.python), "-m", "model_envelope.serving", str(folder / "plan.json")),
            environment=_environment(options, folder, archive),
            token=token,
            replicas=Replicas.read(options["replicas"]).clamp(beside.replicas if beside else 0),
            memory_bytes=None if memory is None else memory << 20,
            nice=options["nice"],
            hang_seconds=options["hang_seconds"],
            needs=(str(built.python), str(archive), str(directory)),
            in_use=(str(built.prefix / STAMP),),
        )
        request = {"do": "start", "launch": asdict(launch), "plan": json.dumps(plan.to_json())}
        return _running(release.service, service.ask(request, timeout=_SECONDS))

    def route(self, routes: Sequence[Route]) -> None:
        """See `Target`. One service's failure does not keep the others from theirs."""
        failures: list[DeploymentError] = []
        changed = []
        for route in routes:
            with _collected(failures):
                if self._ask(route.service, "route", **_route(route)):
                    changed.append(route)
        named = {route.service for route in routes}
        for service in self._found():
            if service.name not in named and service.state().live:
                with _collected(failures):
                    self._ask(service.name, "unroute")
        # What was live already is not waited for: it gets what comes as soon as it is ready.
        for route in changed:
            with _collected(failures):
                self._wait_for(route)
        if failures:
            first, *others = failures
            for other in others:
                first.add_note(str(other))
            raise first

    def _wait_for(self, route: Route) -> None:
        lacks = self._ask(route.service, "lacks", release=route.release, seconds=_ROUTE_SECONDS)
        if lacks:
            raise TargetFailed(
                f"Release {route.release} of service {route.service} gets the traffic when it is "
                f"ready; what had it before keeps it until then. {lacks}"
            )

    def split(self, route: Route, split: Split | None) -> None:
        """See `Target`."""
        self._ask(route.service, "split", route=_route(route), split=split and asdict(split))

    def split_counts(self, route: Route) -> SplitCounts:
        """See `Target`."""
        return SplitCounts(**self._ask(route.service, "counts", route=_route(route)))

    def load(self, route: Route) -> Load:
        """See `Scalable`."""
        service = self._service(route.service)
        launch = service.state().launches.get(route.release)
        found = next((r for r in self._releases(service) if r.release == route.release), None)
        if launch is None or found is None:
            raise TargetFailed(f"Release {route.release} does not run here.")
        silent = max(launch.replicas - len(found.addresses), 0)
        told = ask_load((address, launch.token) for address in found.addresses)
        return replace(told, replicas=told.replicas + silent, silent=told.silent + silent)

    def scale(self, route: Route, replicas: int) -> None:
        """See `Target`. What is too much ends when it has answered what it had."""
        given = self.check_options({"replicas": replicas})
        request = {"do": "scale", "route": _route(route), "replicas": given["replicas"]}
        self._service(route.service).ask(request, timeout=_SECONDS + _DRAIN_MARGIN)

    def stop(self, release: str, *, drain: timedelta) -> None:
        """See `Target`."""
        seconds = drain.total_seconds()
        for service in self._found():
            if release in service.state().launches:
                request = {"do": "stop", "release": release, "drain": seconds}
                service.ask(request, timeout=seconds + _DRAIN_MARGIN)

    def running(self) -> tuple[Running, ...]:
        """See `Target`."""
        return tuple(found for service in self._found() for found in self._releases(service))

    def logs(self, release: str, lines: int = 200) -> str:
        """See `Target`."""
        for service in self._found():
            if release in service.state().launches:
                return tail(log_of(service.folder, release), lines)
        raise TargetFailed(
            f"There is no release {release} here, or no longer: logs go with their release."
        )

    def renew(self, service: str) -> None:
        """See `Renewable`. What is live is waited for."""
        supervised = self._service(service)
        renewed, state = supervised.renew(), supervised.state()
        if renewed and state.live is not None:
            self._wait_for(Route(service=service, release=state.live, fence=state.live_fence))

    def prune(self, *, keep: timedelta, dry_run: bool) -> tuple[str, ...]:
        """See `Prunable`: what crashes have left of releases."""
        return tuple(name for s in self._found() for name in s.prune(dry_run=dry_run))

    def _ask(self, service: str, command: str, **arguments: Any) -> Any:
        return self._service(service).ask({"do": command, **arguments}, timeout=_SECONDS)

    def _service(self, name: str) -> SupervisedService:
        return SupervisedService(self._services / check_service(name))

    def _found(self) -> Iterator[SupervisedService]:
        for file in sorted(self._services.glob("*/address.json")):
            yield SupervisedService(file.parent)

    def _releases(self, service: SupervisedService) -> Iterator[Running]:
        try:
            releases = service.ask_running({"do": "state"}, timeout=_SECONDS)
            outdated = bool(releases) and service.is_outdated()
            for told in releases:
                yield replace(_running(service.name, told), outdated=outdated)
        except (NoSupervisor, TargetFailed) as error:
            detail = (
                str(error)
                if isinstance(error, TargetFailed)
                else ("Its supervisor does not run: the next reconciliation starts it again.")
            )
            for launch in service.state().launches.values():
                if not launch.can_start:
                    continue  # There is nothing of it any more.
                yield Running(
                    release=launch.release,
                    service=service.name,
                    fence=launch.fence,
                    ready=False,
                    addresses=(),
                    detail=detail,
                )

    def _built(self, release: Release) -> BuiltEnvironment:
        return isolation.ensure_service_environment(
            self._platform.store, release.record.manifest.environment, self._platform.cache
        )


def _environment(options: Mapping[str, Any], folder: Path, archive: Path) -> dict[str, str]:
    """All that a model's process sees: no addresses and keys of the platform's."""
    kept = {key: os.environ[key] for key in _KEPT_VARIABLES if key in os.environ}
    return {
        **kept,
        **process_options.thread_variables(options["threads"]),
        **options["env"],
        "PYTHONPATH": str(archive),
        "PYTHONNOUSERSITE": "1",
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "HOME": str(folder),
        "TMPDIR": str(folder),
    }


@contextmanager
def _collected(failures: list[DeploymentError]) -> Iterator[None]:
    try:
        yield
    except (TargetFailed, FenceLost) as error:
        failures.append(error)


def _running(service: str, told: Mapping[str, Any]) -> Running:
    return Running(service=service, **{**told, "addresses": tuple(told["addresses"])})


def _route(route: Route) -> dict[str, Any]:
    return {"release": route.release, "fence": route.fence}


if TYPE_CHECKING:

    def _conforms(platform: Platform) -> tuple[Target, Scalable]:
        return ProcessTarget(platform), ProcessTarget(platform)
