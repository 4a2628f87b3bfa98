"""Services against a model of them, in random sequences of what processes may do, late ones too."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from model_envelope.envelope import Manifest
from model_envelope.errors import DeploymentError, EnvelopeInUse, EnvelopeNotFound, FenceLost
from model_envelope.names import new_id
from model_envelope.store.opening import open_store

HELD, EXPIRED = timedelta(hours=1), timedelta(microseconds=1)
SERVICES = st.sampled_from(["ltv", "churn"])
ENVELOPES = 3


@dataclass
class Service:
    """What the store must say of a service."""

    generation: int = 0
    desired: str | None = None
    fence: int = 0
    owner: str | None = None
    held: bool = False
    live: Attempt | None = None
    previous: str | None = None
    lived: list[Attempt] = field(default_factory=list)


@dataclass(eq=False)
class Attempt:
    """What the store must say of a deployment."""

    id: str
    service: str
    envelope_id: str
    fence: int
    state: str = "running"


class ServiceMachine(RuleBasedStateMachine):
    """Processes that claim, deploy, die, come back late and go on as if nothing had been."""

    fences: Bundle[tuple[str, int]] = Bundle("fences")
    attempts: Bundle[Attempt] = Bundle("attempts")

    def __init__(self, url: str, new_manifest: Callable[..., Manifest]) -> None:
        super().__init__()
        self.store = open_store(url)
        self.services: dict[str, Service] = {}
        self.made: list[Attempt] = []
        self.deleted: set[str] = set()
        self.envelopes = [self.save(new_manifest()) for _ in range(ENVELOPES)]

    def save(self, manifest: Manifest) -> str:
        self.store.begin_upload(manifest.id, HELD)
        digest = hashlib.sha256(manifest.to_bytes()).hexdigest()
        return self.store.commit_envelope(
            manifest=manifest, manifest_sha256=digest, description="", tags={}, save_key=manifest.id
        ).id

    def teardown(self) -> None:
        self.store.close()

    def used(self, envelope_id: str) -> bool:
        references = {
            reference
            for s in self.services.values()
            for reference in (s.desired, s.previous, s.live and s.live.envelope_id)
        }
        running = {a.envelope_id for a in self.made if a.state == "running"}
        return envelope_id in references | running

    def holding(self, name: str, fence: int, act: Callable[[], None]) -> bool:
        """Whether an action went through: for who holds the service; others are refused."""
        service = self.services[name]
        if fence == service.fence and service.owner is not None:
            act()
            return True
        with pytest.raises(FenceLost):
            act()
        return False

    @rule(name=SERVICES, which=st.integers(-1, ENVELOPES - 1))
    def want(self, name: str, which: int) -> None:
        envelope_id = None if which < 0 else self.envelopes[which]
        asked: dict[str, Any] = {"target": {"kind": "process"}, "envelope_id": envelope_id}
        if envelope_id in self.deleted:
            with pytest.raises(EnvelopeNotFound):
                self.store.want(name, by="ada", **asked)
            return
        service = self.services.setdefault(name, Service())
        service.generation += service.generation == 0 or service.desired != envelope_id
        service.desired = envelope_id
        assert self.store.want(name, by="ada", **asked).generation == service.generation

    @rule(target=fences, name=SERVICES, owner=st.sampled_from("abc"), lease=st.booleans())
    def claim(self, name: str, owner: str, lease: bool) -> tuple[str, int]:
        if name not in self.services:
            self.want(name, -1)
        service = self.services[name]
        found = self.store.claim(name, owner, HELD if lease else EXPIRED)
        if service.held and service.owner != owner:
            assert found is None
            return name, service.fence
        if not service.held:
            service.fence += 1
            for attempt in self.made:
                if attempt.service == name and attempt.state == "running":
                    attempt.state = "superseded"
        service.owner, service.held = owner, lease
        assert found == service.fence
        return name, found

    @rule(claim=fences)
    def release(self, claim: tuple[str, int]) -> None:
        name, fence = claim
        service = self.services[name]
        if fence != service.fence:
            with pytest.raises(FenceLost):
                self.store.release_claim(name, fence)
            return
        self.store.release_claim(name, fence)
        service.owner, service.held = None, False

    @rule(claim=fences, lease=st.booleans())
    def renew(self, claim: tuple[str, int], lease: bool) -> None:
        def renew() -> None:
            self.store.renew(*claim, HELD if lease else EXPIRED)
            self.services[claim[0]].held = lease

        self.holding(*claim, renew)

    @rule(target=attempts, claim=fences, which=st.integers(0, ENVELOPES - 1))
    def begin(self, claim: tuple[str, int], which: int) -> Attempt:
        name, fence = claim
        attempt = Attempt(new_id(), name, self.envelopes[which], fence, "never begun")

        def begin() -> None:
            self.store.begin_deployment(
                name, fence, attempt.id, envelope_id=attempt.envelope_id, by="ada", generation=1
            )
            attempt.state = "running"
            self.made.append(attempt)

        if attempt.envelope_id in self.deleted:
            with pytest.raises(EnvelopeNotFound):
                begin()
        else:
            self.holding(name, fence, begin)
        return attempt

    @rule(attempt=attempts, claim=fences)
    def go_live(self, attempt: Attempt, claim: tuple[str, int]) -> None:
        name, fence = claim
        service = self.services[name]

        def go_live() -> None:
            self.store.go_live(name, fence, attempt.id, f"http://host/{name}")

        if attempt.service != name or attempt.state not in ("running", "live"):
            with pytest.raises(DeploymentError):
                go_live()
        elif self.holding(name, fence, go_live) and attempt.state == "running":
            if service.live is not None:
                service.live.state = "retired"
                if service.live.envelope_id != attempt.envelope_id:
                    service.previous = service.live.envelope_id
            attempt.state, attempt.fence = "live", fence
            service.live = attempt
            service.lived.append(attempt)

    @rule(attempt=attempts, claim=fences, outcome=st.sampled_from(["failed", "superseded"]))
    def end(self, attempt: Attempt, claim: tuple[str, int], outcome: Any) -> None:
        def end() -> None:
            self.store.end_deployment(attempt.id, claim[1], outcome, "why")

        if attempt.state in ("never begun", "live"):
            with pytest.raises(DeploymentError):
                end()
        elif self.holding(attempt.service, claim[1], end) and attempt.state == "running":
            attempt.state = outcome

    @rule(claim=fences)
    def undeployed(self, claim: tuple[str, int]) -> None:
        service = self.services[claim[0]]

        def undeployed() -> None:
            self.store.undeployed(*claim)
            if service.live is not None:
                service.live.state = "retired"
                service.live = service.previous = None

        self.holding(*claim, undeployed)

    @rule(which=st.integers(0, ENVELOPES - 1))
    def delete(self, which: int) -> None:
        envelope_id = self.envelopes[which]
        if self.used(envelope_id):
            with pytest.raises(EnvelopeInUse):
                self.store.delete(envelope_id, HELD)
        else:
            self.store.delete(envelope_id, HELD)
            self.deleted.add(envelope_id)

    @invariant()
    def services_are_as_was_said(self) -> None:
        found = {
            s.name: (
                s.generation,
                s.desired_envelope,
                s.fence,
                s.lease_owner,
                s.live_deployment,
                s.live_envelope,
                s.previous_envelope,
            )
            for s in self.store.services()
        }
        assert found == {
            name: (
                s.generation,
                s.desired,
                s.fence,
                s.owner,
                s.live and s.live.id,
                s.live and s.live.envelope_id,
                s.previous,
            )
            for name, s in self.services.items()
        }

    @invariant()
    def the_ledger_keeps_everything(self) -> None:
        found = self.store.deployments(limit=10_000)
        assert [(d.id, d.state) for d in reversed(found)] == [(a.id, a.state) for a in self.made]

    @invariant()
    def one_is_live_at_a_time_and_fences_never_fall(self) -> None:
        routes = self.store.routes("process")
        live = {name: s.live.id for name, s in sorted(self.services.items()) if s.live}
        assert {route.service: route.deployment for route in routes} == live
        for name, service in self.services.items():
            periods = [self.store.deployment(attempt.id) for attempt in service.lived]
            for one, after in pairwise(periods):
                assert one.fence <= after.fence
                assert one.live_from is not None
                assert one.live_to is not None
                assert after.live_from is not None
                assert one.live_from <= one.live_to <= after.live_from
            for period in periods:
                assert period.live_from is not None
                if period.live_to != period.live_from:
                    assert self.store.live_at(name, period.live_from) == period

    @invariant()
    def the_feed_has_no_gaps(self) -> None:
        feed = self.store.changes(0, limit=10_000)
        assert [change.revision for change in feed] == list(range(1, self.store.head() + 1))


def test_services_are_what_their_model_says(
    emptied: Callable[[], str], new_manifest: Callable[..., Manifest]
) -> None:
    class OfThisDatabase(ServiceMachine):
        def __init__(self) -> None:
            super().__init__(emptied(), new_manifest)

    run_state_machine_as_test(
        OfThisDatabase,
        settings=settings(
            max_examples=20,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
