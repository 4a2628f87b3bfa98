"""Services and their deployments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from model_envelope.store.rows import (
    DeploymentRecord,
    DeploymentState,
    ServiceRecord,
    StepRecord,
    StepState,
)
from model_envelope.store.store import Store
from model_envelope.web.shapes.models import NAME, TaskRef, task_ref

State = Literal["live", "deploying", "waiting", "failed", "stopped"]
"""Of a service: it runs what is wanted; somebody is bringing that about; nobody has begun to;
it was tried and is not so, what ran before may still run; nothing is wanted, and nothing runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetRef:
    """Where a service runs, and with which options."""

    kind: str
    options: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Live:
    """What a service runs, since when and by whom."""

    envelope: str
    name: str
    deployment: str
    since: datetime | None
    by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Desired:
    """What a service is to run; null for nothing. No rule changes one that is pinned."""

    envelope: str | None
    name: str
    by: str
    reason: str
    pinned: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceRow:
    """A service; `previous_envelope` is what a rollback puts back, `rule` is its rule."""

    name: str
    url: str | None
    target: TargetRef
    live: Live | None
    desired: Desired
    previous_envelope: str | None
    state: State
    generation: int
    observed_generation: int
    rule: str | None
    updated_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceList:
    """Every service, by name."""

    items: Sequence[ServiceRow]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeploymentRow:
    """One attempt to have a service run an envelope; `run` is the task that made it."""

    id: str
    service: str
    envelope: str
    name: str
    target: TargetRef
    by: str
    state: DeploymentState
    reason: str
    started_at: datetime
    finished_at: datetime | None
    live_from: datetime | None
    live_to: datetime | None
    run: TaskRef | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeploymentList:
    """A page of deployments, the newest first."""

    items: Sequence[DeploymentRow]
    next: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What a step of a deployment came to."""

    name: str
    state: StepState
    at: datetime
    detail: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeploymentDetail(DeploymentRow):
    """A deployment with its steps, in order."""

    steps: Sequence[Step]


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceDetail(ServiceRow):
    """A service with its newest deployments."""

    deployments: Sequence[DeploymentRow]


def services(store: Store, records: Sequence[ServiceRecord]) -> list[ServiceRow]:
    """Services, with three more queries however many there are."""
    return [ServiceRow(**fields) for fields in _fields(store, records)]


def service_detail(
    store: Store, record: ServiceRecord, ledger: Sequence[DeploymentRecord]
) -> ServiceDetail:
    """A service with some deployments of its."""
    (fields,) = _fields(store, [record])
    return ServiceDetail(**fields, deployments=deployments(store, ledger))


def deployments(store: Store, records: Sequence[DeploymentRecord]) -> list[DeploymentRow]:
    """Deployments, with one more query however many there are."""
    names = names_of(store, (record.envelope_id for record in records))
    return [DeploymentRow(**_deployment(record, names)) for record in records]


def deployment_detail(
    store: Store, record: DeploymentRecord, steps: Iterable[StepRecord]
) -> DeploymentDetail:
    """A deployment with its steps."""
    told = [Step(name=s.name, state=s.state, at=s.at, detail=s.detail) for s in steps]
    names = names_of(store, [record.envelope_id])
    return DeploymentDetail(**_deployment(record, names), steps=told)


def names_of(store: Store, envelope_ids: Iterable[str]) -> dict[str, str]:
    """The names of envelopes by their ids: their tag `canonical_name`, or nothing."""
    ids = sorted(set(envelope_ids))
    found = store.tags_of(ids) if ids else {}
    return {envelope_id: found.get(envelope_id, {}).get(NAME, "") for envelope_id in ids}


def state(record: ServiceRecord) -> State:
    """How far a service is."""
    if record.observed_generation < record.generation:
        return "deploying" if record.lease_owner else "waiting"
    if record.desired_envelope == record.live_envelope:
        return "live" if record.live_envelope else "stopped"
    return "failed"


def target_ref(target: Mapping[str, Any]) -> TargetRef:
    """A target as the store keeps it."""
    return TargetRef(kind=str(target.get("kind", "")), options=target.get("options", {}))


def _fields(store: Store, records: Sequence[ServiceRecord]) -> list[dict[str, Any]]:
    running = {deployment.id: deployment for deployment in store.live_deployments()}
    rules = {rule.service: rule.name for rule in store.rules()}
    wanted = (record.desired_envelope for record in records)
    runs = (record.live_envelope for record in records)
    names = names_of(store, filter(None, (*wanted, *runs)))
    return [
        {
            "name": record.name,
            "url": record.url,
            "target": target_ref(record.target),
            "live": _live(record, running.get(record.live_deployment or ""), names),
            "desired": Desired(
                envelope=record.desired_envelope,
                name=names.get(record.desired_envelope or "", ""),
                by=record.desired_by,
                reason=record.reason,
                pinned=record.pinned,
            ),
            "previous_envelope": record.previous_envelope,
            "state": state(record),
            "generation": record.generation,
            "observed_generation": record.observed_generation,
            "rule": rules.get(record.name),
            "updated_at": record.updated_at,
        }
        for record in records
    ]


def _live(
    record: ServiceRecord, deployment: DeploymentRecord | None, names: Mapping[str, str]
) -> Live | None:
    if record.live_envelope is None or record.live_deployment is None:
        return None
    return Live(
        envelope=record.live_envelope,
        name=names[record.live_envelope],
        deployment=record.live_deployment,
        since=deployment.live_from if deployment else None,
        by=deployment.by if deployment else "",
    )


def _deployment(record: DeploymentRecord, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "id": record.id,
        "service": record.service,
        "envelope": record.envelope_id,
        "name": names[record.envelope_id],
        "target": target_ref(record.target),
        "by": record.by,
        "state": record.state,
        "reason": record.reason,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "live_from": record.live_from,
        "live_to": record.live_to,
        "run": task_ref(record.airflow),
    }
