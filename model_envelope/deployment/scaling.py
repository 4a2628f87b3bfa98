"""Keeping as many replicas of a service as its load asks for: up at once, down with patience.

What is compared is what replicas have to do at the moment, requests in flight and rows in
their queues, with what one of them should have at most. Fewer must have been enough, all the
time, for the cooldown; and enough with room to spare, so that a load at the border does not
send replicas back and forth.
"""

from __future__ import annotations

import fcntl
import json
import logging
import math
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from statistics import fmean
from threading import Event
from typing import Literal

from model_envelope.deployment import lease as leases
from model_envelope.deployment.lease import Lease
from model_envelope.deployment.placing import Places
from model_envelope.deployment.serving_options import read_options
from model_envelope.deployment.targets.protocol import Platform, Route, Target
from model_envelope.deployment.targets.replicas import Load, Replicas, Scalable
from model_envelope.errors import (
    DeploymentError,
    InvalidInput,
    MissingDependency,
    StoreError,
    TargetFailed,
)
from model_envelope.names import check_service
from model_envelope.store.rows import DeploymentRecord, StepState

_log = logging.getLogger(__name__)

ROOM = 0.8
"""Share of what it should have at most that each replica may have after some were removed."""

STEP = "scale"
"""What a change is called in the ledger."""

_SAMPLES = 3
_PAUSE = 0.1
_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Calm:
    """Fewer replicas have been enough for a while.

    Attributes:
        since: when that began, in seconds of the epoch.
        peak: how many were needed at most since then.
    """

    since: float
    peak: int


def decide(wanted: Replicas, load: Load, calm: Calm | None, now: float) -> tuple[int, Calm | None]:
    """How many replicas there should be, and what to remember until the next time.

    More are there at once. Fewer only after `cooldown_seconds` without a moment that would
    have needed more. A replica that does not say what it has to do may have a lot to do:
    then none is removed, and the wait begins again.

    Args:
        wanted: the bounds, and what one replica should have at most.
        load: what the replicas have to do, and how many there are.
        calm: what was remembered.
        now: seconds of the epoch; where a clock went back, the wait begins again.
    """
    if load.replicas != wanted.clamp(load.replicas):
        return wanted.clamp(load.replicas), None
    needed = wanted.clamp(_needed(wanted, load, 1.0))
    if needed > load.replicas:
        return needed, None
    enough = wanted.clamp(_needed(wanted, load, ROOM))
    if load.silent or enough >= load.replicas:
        return load.replicas, None
    if calm is None or calm.since > now:
        calm = Calm(since=now, peak=enough)
    calm = Calm(since=calm.since, peak=max(calm.peak, enough))
    if now - calm.since < wanted.cooldown_seconds:
        return load.replicas, calm
    return min(calm.peak, load.replicas), None


def _needed(wanted: Replicas, load: Load, room: float) -> int:
    shares = load.in_flight / wanted.in_flight, load.queued_rows / wanted.queued_rows
    # A little less than a whole replica more is none: sums of floats are not exact.
    return math.ceil(max(shares) / room - 1e-9)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaled:
    """What following the load came to for one service.

    Attributes:
        action: `busy`: another process is at work on it, and the next pass looks again.
        before: how many replicas there were.
        after: how many there are to be.
        reason: for people; says both, and what for.
    """

    service: str
    action: Literal["scaled", "busy", "failed"]
    before: int
    after: int
    reason: str


class Autoscaler:
    """Follows the load of live services; may be used by several threads and processes.

    Args:
        platform: store, artifacts and folders.
        lease: how long others wait for this process should it die.
    """

    def __init__(self, platform: Platform, *, lease: timedelta = leases.LENGTH) -> None:
        self._store = platform.store
        self._places = Places(platform)
        self._folder = platform.state / "scaling"
        self._lease = lease

    def once(self, services: Collection[str] | None = None) -> tuple[Scaled, ...]:
        """Give live services the replicas that they should have now.

        Returns:
            Those that were changed, or should have been, by name.

        Raises:
            StoreUnavailable: the services cannot be read.
        """
        live = self._live(services)
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="autoscale") as pool:
            return tuple(found for found in pool.map(self.on, live) if found is not None)

    def follow(
        self,
        stop: Event,
        every: float,
        *,
        services: Collection[str] | None = None,
        told: Callable[[Scaled], None],
    ) -> None:
        """Do so every few seconds; a service whose replicas take long holds up no other.

        Args:
            stop: ends it.
            every: seconds.
            services: which; all unless given.
            told: is told of each change, from several threads.
        """

        def on(live: DeploymentRecord) -> None:
            found = self.on(live)
            if found is not None:
                told(found)

        under_way: dict[str, Future[None]] = {}
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="autoscale") as pool:
            while not stop.wait(every):
                try:
                    live = self._live(services)
                except StoreError as error:
                    _log.warning("What is live cannot be read yet: %s", error)
                    continue
                for deployment in live:
                    last = under_way.get(deployment.service)
                    if last is None or last.done():
                        under_way[deployment.service] = pool.submit(on, deployment)

    def on(self, live: DeploymentRecord) -> Scaled | None:
        """Look after one live deployment; None where nothing is to be changed."""
        route = Route(service=live.service, release=live.id, fence=live.fence)
        try:
            target = self._places.target(live.target["kind"])
            if not isinstance(target, Scalable):
                return None
            return self._follow(target, route, _wanted(target, live))
        except (DeploymentError, StoreError, InvalidInput) as error:
            _log.info("The load of %s cannot be followed now: %s", live.service, error)
        except Exception:
            _log.exception("The load of %s cannot be followed", live.service)
        return None

    def _live(self, services: Collection[str] | None) -> list[DeploymentRecord]:
        live = self._store.live_deployments()
        return [found for found in live if services is None or found.service in services]

    def _follow(self, target: Scalable, route: Route, wanted: Replicas) -> Scaled | None:
        load = _measure(target, route, samples=1 if wanted.is_fixed else _SAMPLES)
        with self._remembered(route) as memory:
            after, memory.calm = decide(wanted, load, memory.calm, time.time())
        if after == load.replicas:
            return None
        before, name = load.replicas, route.service
        seen = f"{load.in_flight:.0f} requests in flight, {load.queued_rows:.0f} rows queued"

        def came_to(action: Literal["scaled", "busy", "failed"], why: str) -> Scaled:
            reason = f"{before} -> {after} replicas: {why}."
            return Scaled(service=name, action=action, before=before, after=after, reason=reason)

        lease = Lease.take(self._store, name, self._lease)
        if lease is None:
            return came_to("busy", "another process is at work on it")
        with lease:
            is_live = self._store.service(name).live_deployment == route.release
            if not is_live or target.load(route).replicas != before:
                return None  # Somebody was faster.
            try:
                target.scale(route, after)
                found = came_to("scaled", seen)
            except TargetFailed as error:
                found = came_to("failed", str(error))
            detail = {"before": before, "after": after, "reason": found.reason}
            state: StepState = "passed" if found.action == "scaled" else "failed"
            self._store.add_step(route.release, lease.fence, STEP, state, detail)
            return found

    @contextmanager
    def _remembered(self, route: Route) -> Iterator[_Memory]:
        """What is remembered of a release, for one process at a time.

        What cannot be read is forgotten: then the wait begins again.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{check_service(route.service)}.json").open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            text = file.read()
            memory = _Memory.read(text, route.release)
            yield memory
            changed = json.dumps(asdict(memory))
            if changed != text:
                file.truncate(0)
                file.write(changed)


def counted(platform: Platform) -> dict[str, tuple[int | None, Replicas]]:
    """How many replicas each live service has, and is to have, by service.

    None where its target does not answer; without those whose target scales by itself.
    """
    places, found = Places(platform), {}
    for live in platform.store.live_deployments():
        try:
            target = places.target(kind := live.target["kind"])
            if not isinstance(target, Scalable):
                continue
            wanted = _wanted(target, live)
        except (InvalidInput, MissingDependency):
            continue  # It is not installed here.
        try:
            there = places.releases(live.service, [kind], now=False)
            own = [running for running in there if running.release == live.id]
            number = sum(len(running.addresses) for running in own)
        except DeploymentError:
            number = None
        found[live.service] = number, wanted
    return found


def _wanted(target: Target, live: DeploymentRecord) -> Replicas:
    options = read_options(target, live.target.get("options") or {})
    return Replicas.read(options.target["replicas"])


@dataclass(slots=True)
class _Memory:
    release: str
    calm: Calm | None = None

    @classmethod
    def read(cls, text: str, release: str) -> _Memory:
        with suppress(ValueError, TypeError, KeyError):
            body = json.loads(text)
            if body["release"] == release and body["calm"] is not None:
                return cls(release, Calm(**body["calm"]))
        return cls(release)


def _measure(target: Scalable, route: Route, *, samples: int) -> Load:
    """The load on average over a moment, so that a single request does not count as a crowd."""
    found = [target.load(route)]
    for _ in range(samples - 1):
        time.sleep(_PAUSE)
        found.append(target.load(route))
    return Load(
        replicas=found[-1].replicas,
        silent=max(load.silent for load in found),
        in_flight=fmean(load.in_flight for load in found),
        queued_rows=fmean(load.queued_rows for load in found),
    )
