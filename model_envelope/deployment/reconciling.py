"""Making what services run equal to what is wanted of them, from whatever is there.

Nothing is remembered between two runs but what the store and the targets say. So it does
not matter why it runs, how often, how late, or where the last one was killed.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from model_envelope.deployment import lease as leases
from model_envelope.deployment.assessing import Assessment, assess, gates_of
from model_envelope.deployment.failures import is_passing
from model_envelope.deployment.lease import Lease
from model_envelope.deployment.placing import Places
from model_envelope.deployment.probing import ask
from model_envelope.deployment.rollout import Attempt, Rollout, Tell
from model_envelope.deployment.scaling import Autoscaler
from model_envelope.deployment.targets.protocol import Platform, Renewable
from model_envelope.errors import FenceLost, TargetFailed
from model_envelope.store.rows import ServiceRecord, StepState

_log = logging.getLogger(__name__)

Action = Literal[
    "unchanged",
    "deployed",
    "restored",
    "repaired",
    "scaled",
    "undeployed",
    "refused",
    "held",
    "retrying",
    "busy",
    "failed",
]
"""What a reconcile came to for a service.

`restored`: what was live had gone and runs again. `repaired`: only traffic or left-overs had
to be put right. `scaled`: it got as many replicas as its load asks for. `refused`: a gate
said no, and what is wanted must change first. `held` and `retrying`: it is not as it should
be, and a later reconcile tries again. `busy`: another process is at it. `failed`: it could
not be looked after at all.
"""

GOOD: frozenset[Action] = frozenset(
    {"unchanged", "deployed", "restored", "repaired", "scaled", "undeployed"}
)

_DRAIN = timedelta(seconds=30)
_LEDGER = 20
_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a reconcile came to for one service.

    Attributes:
        envelope_id: what is live now; None for nothing.
        deployment: the attempt it is about, if there was one.
        retry_at: when it will be tried again by the next reconcile after.
    """

    service: str
    action: Action
    envelope_id: str | None = None
    deployment: str | None = None
    url: str | None = None
    reason: str = ""
    retry_at: datetime | None = None

    @property
    def good(self) -> bool:
        """Whether the service runs what is wanted of it."""
        return self.action in GOOD


def reconcile(
    platform: Platform,
    *,
    services: Collection[str] | None = None,
    retry: bool = False,
    lease: timedelta = leases.LENGTH,
    tell: Tell | None = None,
) -> tuple[Outcome, ...]:
    """Look after services: deploy, restore, undeploy, give traffic, sweep what was left.

    May be killed anywhere, and run again, by several processes at once.

    Args:
        platform: store, artifacts and folders.
        services: which; all unless given.
        retry: try again at once what waits for its time after a failure.
        lease: how long others wait for this process should it die.
        tell: is told of each step, from several threads.

    Returns:
        One outcome for each service, by name. One that fails does not keep others from
        their turn.

    Raises:
        ServiceNotFound: one of those named.
        StoreUnavailable: the services cannot be read.
    """
    store = platform.store
    records = store.services() if services is None else [store.service(n) for n in services]
    found = sorted({record.name for record in records})
    work = _Work(platform, retry=retry, lease=lease, tell=tell or _untold)
    if len(found) < 2:
        # In this thread, which is the one that is interrupted.
        return tuple(map(work.on, found))
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="reconcile") as pool:
        return tuple(pool.map(work.on, found))


def pending(platform: Platform) -> tuple[str, ...]:
    """The services for which a reconcile would do something now, by name.

    Raises:
        StoreUnavailable: the services cannot be read.
    """
    work = _Work(platform, retry=False, lease=leases.LENGTH, tell=_untold)
    return tuple(r.name for r in platform.store.services() if work.is_pending(r.name))


class _Work:
    """What one reconcile does, service by service."""

    def __init__(self, platform: Platform, *, retry: bool, lease: timedelta, tell: Tell) -> None:
        self._platform = platform
        self._store = platform.store
        self._places = Places(platform)
        self._scaler = Autoscaler(platform, lease=lease)
        self._retry = retry
        self._lease = lease
        self._tell = tell

    def on(self, name: str) -> Outcome:
        try:
            outcome = self._on(name)
            return self._scaled(outcome) if outcome.action == "unchanged" else outcome
        except FenceLost as error:
            return Outcome(service=name, action="busy", reason=str(error))
        except Exception as error:
            if is_passing(error):
                _log.warning("Service %s has to wait: %s", name, error)
                return Outcome(service=name, action="retrying", reason=str(error))
            _log.exception("Service %s could not be looked after", name)
            reason = f"{type(error).__name__}: {error}"
            return Outcome(service=name, action="failed", reason=reason)

    def is_pending(self, name: str) -> bool:
        try:
            return self._look(name, now=False).need not in ("nothing", "wait")
        except TargetFailed:
            # Who deploys says why.
            return True

    def _on(self, name: str) -> Outcome:
        found = self._look(name, now=False)
        if found.need in ("nothing", "wait"):
            return _outcome(found)
        claimed = Lease.take(self._store, name, self._lease)
        if claimed is None:
            return _outcome(found, "busy", "Another process is at work on it.")
        with claimed:
            # Only now nobody else changes what is live.
            return self._act(self._look(name, now=True), claimed)

    def _scaled(self, outcome: Outcome) -> Outcome:
        """Also its replicas are as many as they should be."""
        live = self._store.service(outcome.service).live_deployment
        found = None if live is None else self._scaler.on(self._store.deployment(live))
        if found is None or found.action == "busy":
            return outcome
        action: Action = "scaled" if found.action == "scaled" else "retrying"
        return replace(outcome, action=action, reason=found.reason)

    def _look(self, name: str, *, now: bool) -> Assessment:
        record = self._store.service(name)
        ledger = self._store.deployments(name, limit=_LEDGER)
        kinds = self._places.kinds(record, ledger)
        releases = self._places.releases(name, kinds, now=now)
        return assess(self._store, record, ledger, releases, kinds, retry=self._retry)

    def _act(self, found: Assessment, lease: Lease) -> Outcome:
        match found.need:
            case "nothing" | "wait":
                return _outcome(found)
            case "settle":
                self._settle(found, found.record, lease)
                return self._settled(found)
            case "undeploy":
                return self._undeploy(found, lease)
            case "deploy" | "restore":
                return self._deploy(found, lease)

    def _deploy(self, found: Assessment, lease: Lease) -> Outcome:
        record, live = found.record, found.live
        envelope, by = record.desired_envelope, record.desired_by
        restored = live if found.need == "restore" else None
        if restored is not None:
            # As it went live: what is wanted since is the same, or was refused.
            record = replace(record, target=restored.target)
            envelope, by = restored.envelope_id, restored.by
        rollout = Rollout(
            self._platform,
            self._places.target(record.target["kind"]),
            lease,
            record,
            self._store.get(envelope or ""),
            by=by,
            gates=lambda: () if restored else gates_of(self._store, record),
            tries=found.tries,
            tell=self._tell,
        )
        attempt = rollout.run()
        after = self._store.service(record.name)
        if attempt.state != "live":
            return _of_attempt(after, attempt, attempt.state)
        self._settle(found, after, lease)
        return _of_attempt(after, attempt, "restored" if restored else "deployed")

    def _settle(self, found: Assessment, record: ServiceRecord, lease: Lease) -> None:
        """Traffic to what is live and to nothing else, nothing else left, and no old code."""
        for step, work in (("route", self._route), ("retire", self._sweep)):
            self._note(found, record, lease, step, "running")
            work(found, record, lease)
            self._note(found, record, lease, step, "passed")
        for kind in found.kinds:
            target = self._places.target(kind)
            if isinstance(target, Renewable):
                lease.check()
                target.renew(record.name)
        self._store.observe(record.name, lease.fence, found.record.generation)

    def _settled(self, found: Assessment) -> Outcome:
        """Honest about a live release that is there, and does not answer all the same."""
        limping = found.limping and self._look(found.record.name, now=True).limping
        if not limping:
            return _outcome(found, "repaired")
        return _outcome(found, "retrying", f"What is live is not ready: {limping}")

    def _undeploy(self, found: Assessment, lease: Lease) -> Outcome:
        name = found.record.name
        self._tell(name, "undeploy", "running")
        self._store.undeployed(name, lease.fence)
        record = self._store.service(name)
        self._route(found, record, lease)
        self._sweep(found, record, lease)
        self._store.observe(name, lease.fence, found.record.generation)
        self._tell(name, "undeploy", "passed")
        return Outcome(service=name, action="undeployed", reason=record.reason)

    def _route(self, found: Assessment, record: ServiceRecord, _lease: Lease) -> None:
        for kind in found.kinds:
            try:
                self._places.route(kind)
            except TargetFailed as error:
                # It may be about another service, which has its own turn.
                if not _has_traffic(record):
                    raise
                _log.info("Not every route of %s could be set: %s", kind, error)

    def _sweep(self, found: Assessment, record: ServiceRecord, lease: Lease) -> None:
        """Stop every release of the service that is not the live one."""
        for kind in found.kinds:
            target = self._places.target(kind)
            for running in target.running():
                if running.service == record.name and running.release != record.live_deployment:
                    lease.check()
                    target.stop(running.release, drain=_DRAIN)

    def _note(
        self,
        found: Assessment,
        record: ServiceRecord,
        lease: Lease,
        step: str,
        state: StepState,
    ) -> None:
        """Write a step into the ledger, unless it is but a look after what is live already."""
        is_new = found.live is None or found.live.id != record.live_deployment
        if record.live_deployment is not None and (is_new or found.is_open):
            self._store.add_step(record.live_deployment, lease.fence, step, state)
        self._tell(record.name, step, state)


def _has_traffic(record: ServiceRecord) -> bool:
    """Whether what answers at the URL of a service is its live release, if it has one."""
    if record.live_deployment is None or record.url is None:
        return record.live_deployment is None
    try:
        answer = ask(record.url, "GET", "/livez")
    except TargetFailed:
        return False
    return answer.headers.get("x-release") == record.live_deployment


def _of_attempt(record: ServiceRecord, attempt: Attempt, action: Action) -> Outcome:
    return Outcome(
        service=record.name,
        action=action,
        envelope_id=record.live_envelope,
        deployment=attempt.deployment,
        url=record.url,
        reason=attempt.reason or record.reason,
        retry_at=attempt.retry_at,
    )


def _outcome(found: Assessment, action: Action = "unchanged", reason: str = "") -> Outcome:
    record = found.record
    if found.need == "wait":
        action = "held" if found.held else "retrying"
    elif found.refused:
        action = "refused"
    return Outcome(
        service=record.name,
        action=action,
        envelope_id=record.live_envelope,
        deployment=found.last or record.live_deployment,
        url=record.url,
        reason=reason or found.reason,
        retry_at=found.retry_at,
    )


def _untold(_service: str, _step: str, _state: StepState) -> None:
    return
