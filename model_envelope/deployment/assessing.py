"""What a service needs, seen from the store and from what its targets have."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any, Literal

from model_envelope.deployment.failures import after
from model_envelope.deployment.gates.gate import Gate
from model_envelope.deployment.gates.registry import read_gates, read_rollout
from model_envelope.deployment.targets.protocol import Running
from model_envelope.store.rows import DeploymentRecord, ServiceRecord
from model_envelope.store.store import Store

Need = Literal["nothing", "settle", "deploy", "restore", "undeploy", "wait"]
"""`settle`: what should be live is there, but its traffic, left-overs or what keeps it running
have to be put right."""

_RULE = re.compile(r"rule:(.+)@(\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Assessment:
    """What a service needs, and why.

    Attributes:
        record: the service as it was looked at.
        need: what is to be done.
        kinds: of the targets at which it may have releases.
        live: the deployment that should have the traffic.
        limping: why what is live is not ready; empty if it is.
        refused: what is wanted was tried, and a gate said no.
        held: what it waits for is a gate's judgement, not a repair.
        last: the attempt that the reason is of.
        tries: how often that was given up before.
        retry_at: when its time comes.
    """

    record: ServiceRecord
    need: Need
    kinds: tuple[str, ...]
    live: DeploymentRecord | None = None
    limping: str = ""
    refused: bool = False
    held: bool = False
    reason: str = ""
    last: str | None = None
    tries: int = 0
    retry_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether what is wanted has not been brought to an end yet."""
        return self.record.observed_generation < self.record.generation


def assess(
    store: Store,
    record: ServiceRecord,
    ledger: Sequence[DeploymentRecord],
    releases: Collection[Running],
    kinds: tuple[str, ...],
    *,
    retry: bool,
) -> Assessment:
    """What a service needs.

    Args:
        store: where the steps of deployments are.
        record: the service.
        ledger: its last deployments, the newest first.
        releases: what its targets have of it, live or not.
        kinds: of these targets.
        retry: what waits for its time after a failure need not wait.
    """
    live = None
    if record.live_deployment is not None:
        live = store.deployment(record.live_deployment)
    mine = [found for found in releases if live is not None and found.release == live.id]
    there = bool(mine)
    limping = next((found.detail or "It does not answer." for found in mine if not found.ready), "")
    strays = any(live is None or found.release != live.id for found in releases)
    outdated = any(found.outdated for found in mine)
    open_ = record.observed_generation < record.generation

    def need(need: Need, **more: Any) -> Assessment:
        return Assessment(record=record, need=need, kinds=kinds, live=live, limping=limping, **more)

    if record.desired_envelope is None:
        idle = live is None and not strays and not open_
        return need("nothing" if idle else "undeploy")
    refusal = next((d for d in ledger if _refused(d, record)), None)
    runs = record.live_envelope == record.desired_envelope and _same_place(live, record)
    if open_ and refusal is None and not (runs and there):
        tried = [d for d in ledger if d.generation == record.generation and d.state == "superseded"]
        return _when_due(store, need("deploy"), tried, retry)
    if live is not None and not there:
        return _when_due(store, need("restore"), _since(ledger, live), retry)
    told = {}
    if refusal is not None and not runs:
        told = {"refused": True, "reason": refusal.reason, "last": refusal.id}
    unsettled = open_ or strays or limping or outdated
    return need("settle" if unsettled else "nothing", **told)


def gates_of(store: Store, record: ServiceRecord) -> tuple[Gate, ...]:
    """The gates and the rollout of the rule that wants something; a person has none.

    Raises:
        InvalidInput: one cannot be read here.
    """
    found = _RULE.fullmatch(record.desired_by)
    if found is None:
        return ()
    name, revision = found[1], int(found[2])
    spec: Mapping[str, Any] = next(
        rule.spec for rule in store.rule_history(name) if rule.revision == revision
    )
    return (*read_gates(spec.get("gates") or ()), *read_rollout(spec.get("rollout")))


def _refused(deployment: DeploymentRecord, record: ServiceRecord) -> bool:
    return (
        deployment.state == "failed"
        and deployment.generation == record.generation
        and deployment.envelope_id == record.desired_envelope
    )


def _same_place(live: DeploymentRecord | None, record: ServiceRecord) -> bool:
    return live is not None and live.target == record.target


def _since(ledger: Sequence[DeploymentRecord], live: DeploymentRecord) -> list[DeploymentRecord]:
    """The attempts to bring back what is live, the newest first."""
    newer = takewhile(lambda deployment: deployment.id != live.id, ledger)
    return [d for d in newer if d.envelope_id == live.envelope_id and d.state != "running"]


def _when_due(
    store: Store, found: Assessment, tried: Sequence[DeploymentRecord], retry: bool
) -> Assessment:
    """`found`, or `wait` where the last try was so short ago that another one is too early."""
    if not tried:
        return found
    last = tried[0]
    step = next(iter(store.steps(last.id)[-1:]), None)
    told = step.detail.get("retry_at") if step else None
    due = datetime.fromisoformat(told) if told else None
    if due is None and last.state == "failed" and last.finished_at is not None:
        due = after(last.finished_at, len(tried) - 1)
    waits = due is not None and due > datetime.now(UTC) and not retry
    return Assessment(
        record=found.record,
        need="wait" if waits else found.need,
        kinds=found.kinds,
        live=found.live,
        held=step is not None and step.state == "held",
        reason=last.reason if waits else "",
        last=last.id if waits else None,
        tries=len(tried),
        retry_at=due if waits else None,
    )
