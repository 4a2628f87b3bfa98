"""Replicas follow a real load up and down, and no request fails meanwhile."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Event, Thread
from typing import Any

import pytest

import model_envelope as me
from model_envelope.deployment.reconciling import reconcile
from model_envelope.deployment.scaling import Autoscaler, Scaled
from model_envelope.deployment.targets.protocol import Route, Split
from model_envelope.names import new_id
from tests.integration.targets.models import times
from tests.integration.targets.site import SAMPLE, Site
from tests.integration.targets.traffic import Traffic

BOUNDS = {"min": 1, "max": 3, "in_flight": 2, "cooldown_seconds": 4}


@pytest.fixture(params=["process", "docker"])
def site(request: pytest.FixtureRequest) -> Site:
    """Each target whose replicas are ours to count."""
    found: Site = request.getfixturevalue(f"{request.param}_site")
    return found


@dataclass
class Fleet:
    """A live service of the store, with bounds."""

    site: Site
    live: str

    @property
    def size(self) -> int:
        (found,) = (r for r in self.site.target.running() if r.release == self.live)
        return len(found.addresses)

    @property
    def target(self) -> Any:
        return self.site.target

    @property
    def route(self) -> Route:
        (found,) = self.site.platform.store.routes(self.site.kind)
        return Route(service=found.service, release=found.deployment, fence=found.fence)

    def changes(self) -> list[tuple[int, int, str]]:
        """What the ledger says of them."""
        steps = self.site.platform.store.steps(self.live)
        told = [(s.detail, s.state) for s in steps if s.name == "scale"]
        return [(detail["before"], detail["after"], state) for detail, state in told]


def deployed(site: Site, model: Any, replicas: Any) -> Fleet:
    """A service as reconciling deploys it."""
    platform = site.platform
    envelope = me.save_model(model, tags={"canonical_name": "m"}, api_input=SAMPLE)
    target = {"kind": site.kind, "options": {"replicas": replicas}}
    platform.store.want(site.service, target=target, envelope_id=envelope.id, by="ada")
    (outcome,) = reconcile(platform, services=[site.service])
    assert outcome.action in ("deployed", "unchanged"), outcome
    return Fleet(site, outcome.deployment or "")


def slow() -> Any:
    """Doubles `a`, one batch at a time, a moment for each."""

    def model(frame: Any) -> Any:
        time.sleep(0.05)
        return frame["a"] * 2

    return model


def test_replicas_follow_the_load_up_and_down(site: Site) -> None:
    fleet = deployed(site, slow(), BOUNDS)
    assert fleet.size == 1
    stop, told = Event(), list[Scaled]()
    scaler = Autoscaler(site.platform)
    thread = Thread(target=scaler.follow, args=(stop, 0.5), kwargs={"told": told.append})
    thread.start()
    try:
        with Traffic(site.url, keeping=2, fresh=0) as little:
            with Traffic(site.url, keeping=8, fresh=4) as much:
                site.wait(lambda: fleet.size, lambda size: size == 3)
                much.wait_for(100)
            # Two clients need two: one replica goes while they are answered, the other stays.
            site.wait(lambda: fleet.size, lambda size: size < 3)
            little.wait_for(20)
        site.wait(lambda: fleet.size, lambda size: size == 1)
    finally:
        stop.set()
        thread.join()
    assert not much.failures
    assert not little.failures
    changes = fleet.changes()
    assert {state for *_, state in changes} == {"passed"}
    assert max(after for _, after, _ in changes) == 3
    assert changes[-1][1] == 1
    assert [(s.before, s.after) for s in told if s.action == "scaled"] == [c[:2] for c in changes]
    # What reconciles otherwise finds nothing to do.
    (outcome,) = reconcile(site.platform, services=[site.service])
    assert outcome.action == "unchanged"


def test_the_next_release_begins_with_as_many_and_a_pass_is_enough(site: Site) -> None:
    fleet = deployed(site, slow(), {**BOUNDS, "cooldown_seconds": 3600})
    with Traffic(site.url, keeping=6, fresh=0) as traffic:
        traffic.wait_for(5)
        (outcome,) = reconcile(site.platform, services=[site.service])
        assert (outcome.action, outcome.good) == ("scaled", True)
        assert outcome.reason.startswith("1 -> 3 replicas: ")
        traffic.wait_for(20)
        successor = deployed(site, times(2), {**BOUNDS, "cooldown_seconds": 3600})
        traffic.wait_for(20)
    assert successor.live != fleet.live
    assert successor.size == 3
    assert not traffic.failures


@contextmanager
def frozen(process: int) -> Iterator[None]:
    """It is there, and does not get to anything meanwhile."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def test_who_does_not_answer_keeps_everybody_in_place(site: Site) -> None:
    fleet = deployed(site, times(2), {"min": 1, "max": 3, "cooldown_seconds": 0})
    route, target = fleet.route, fleet.target
    target.scale(route, 2)
    site.wait(lambda: target.load(route), lambda load: (load.replicas, load.silent) == (2, 0))
    with frozen(site.process(fleet.live)):
        assert target.load(route).silent == 1
        assert Autoscaler(site.platform).once() == ()
    (found,) = Autoscaler(site.platform).once()
    assert (found.action, found.before, found.after) == ("scaled", 2, 1)
    assert fleet.size == 1


def test_whoever_works_on_a_service_is_not_disturbed(process_site: Site) -> None:
    site = process_site
    fleet = deployed(site, times(2), 1)
    store = site.platform.store
    fence = store.claim(site.service, new_id(), timedelta(minutes=1))
    fleet.target.scale(fleet.route, 2)
    (found,) = Autoscaler(site.platform).once()
    assert (found.action, found.before, found.after) == ("busy", 2, 1)
    assert fleet.size == 2
    assert fence is not None
    store.release_claim(site.service, fence)
    (found,) = Autoscaler(site.platform).once()
    assert found.action == "scaled"
    assert fleet.size == 1
    assert Autoscaler(site.platform).once() == ()


def test_a_container_that_somebody_removed_is_started_again(docker_site: Site, engine: Any) -> None:
    fleet = deployed(docker_site, times(2), 2)
    with Traffic(docker_site.url, keeping=2, fresh=1) as traffic:
        traffic.wait_for(20)
        engine.containers.get(f"me-{fleet.live}-0").remove(force=True)
        (outcome,) = reconcile(docker_site.platform, services=[docker_site.service])
        assert (outcome.action, outcome.reason[:6]) == ("scaled", "1 -> 2")
        traffic.wait_for(20)
    assert fleet.size == 2
    # The one that was removed had requests, perhaps; nobody else's failed.
    assert len(traffic.failures) <= 3


def test_replicas_that_are_added_or_start_again_share_too(site: Site) -> None:
    live, candidate = site.start(times(2)), site.start(times(3), fence=2)
    route = site.route(live)
    site.target.split(route, Split(mode="canary", candidate=candidate.id, share=1.0))

    def values() -> set[float]:
        site.target.split_counts(route)  # as whoever began the split does all the time
        return {site.ask(1.0, url=url).value for url in site.running(live).addresses}

    site.target.scale(route, 3)
    assert len(site.wait_ready(live).addresses) == 3
    site.wait(values, lambda found: found == {3.0})
    os.kill(site.process(live.id), signal.SIGKILL)
    site.wait(lambda: site.running(live), lambda r: r.ready and r.restarts == 1)
    site.wait(values, lambda found: found == {3.0})
    site.target.split(route, None)
    site.wait(values, lambda found: found == {2.0})


def test_a_split_ends_with_its_candidate(site: Site) -> None:
    """As when whoever began it was killed, and the next reconcile sweeps."""
    live, candidate = site.start(times(2)), site.start(times(3), fence=2)
    route = site.route(live)
    site.target.split(route, Split(mode="canary", candidate=candidate.id, share=1.0))
    assert site.ask(1.0).value == 3.0
    assert site.target.split_counts(route).requests == 1
    site.stop(candidate)
    assert site.ask(1.0).value == 2.0
    site.wait(lambda: site.target.split_counts(route).requests, lambda found: found == 0)
