"""Deployments: every attempt to make a service run an envelope, and what was live when."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, func, or_, select, update
from sqlalchemy import insert as plain_insert

from model_envelope.errors import DeploymentError, DeploymentNotFound
from model_envelope.store import changes, lineage
from model_envelope.store.claiming import guard
from model_envelope.store.database import printable
from model_envelope.store.rows import DeploymentRecord, LiveRoute, StepRecord, StepState
from model_envelope.store.tables import deployment, deployment_step, service
from model_envelope.store.tagging import lock_envelope

Outcome = Literal["failed", "superseded", "retired"]

BEGINNING = datetime.min.replace(tzinfo=UTC)

COLUMNS = [column for column in deployment.c if column.name not in ("entered", "dag_run")]


def begin(
    connection: Connection,
    name: str,
    fence: int,
    deployment_id: str,
    *,
    envelope_id: str,
    by: str,
    generation: int,
    target: Mapping[str, Any] | None,
    airflow: Mapping[str, str],
) -> DeploymentRecord:
    """Enter an attempt into the ledger; the same id again gives what is there.

    Raises:
        EnvelopeNotFound: there is no such envelope.
        FenceLost: another process has taken the service over, or it was released.
        DeploymentError: the id is of a deployment of something else.
    """
    lock_envelope(connection, envelope_id)
    row = guard(connection, name, fence)
    there = connection.execute(_chosen(deployment.c.id == deployment_id)).one_or_none()
    if there is not None:
        if (there.service, there.envelope_id) != (name, envelope_id):
            raise DeploymentError(
                f"Deployment {deployment_id} is of {there.envelope_id} to {there.service!r}, "
                f"not of {envelope_id} to {name!r}. Give each attempt an id of its own."
            )
        return _record(there)
    moment = changes.tick(connection)
    values = {
        "id": deployment_id,
        "entered": moment.revision,
        "service": name,
        "envelope_id": envelope_id,
        "target": dict(row.target if target is None else target),
        "by": printable(by)[:256],
        "fence": fence,
        "generation": generation,
        "state": "running",
        "reason": "",
        "started_at": moment.at,
        "airflow": dict(airflow),
        "dag_run": lineage.run_of(airflow),
    }
    made = plain_insert(deployment).values(values).returning(*COLUMNS)
    begun = _record(connection.execute(made).one())
    _tell(connection, moment, [begun], begun.by)
    return begun


def add_step(
    connection: Connection,
    deployment_id: str,
    fence: int,
    *,
    name: str,
    state: StepState,
    detail: Mapping[str, Any],
) -> StepRecord:
    """Append what a step came to; the very same as the last one is there already.

    Raises:
        DeploymentError: there is no such deployment.
        FenceLost: another process has taken the service over, or it was released.
    """
    guard(connection, get(connection, deployment_id).service, fence)
    mine = deployment_step.c.deployment_id == deployment_id
    newest = select(deployment_step).where(mine).order_by(deployment_step.c.number.desc()).limit(1)
    last = connection.execute(newest).one_or_none()
    if last is not None and (last.name, last.state, last.detail) == (name, state, detail):
        return StepRecord(**last._mapping)
    step = StepRecord(
        deployment_id=deployment_id,
        number=1 if last is None else last.number + 1,
        name=name,
        state=state,
        at=changes.store_time(connection),
        detail=dict(detail),
    )
    values = {column.name: getattr(step, column.name) for column in deployment_step.c}
    connection.execute(plain_insert(deployment_step).values(values))
    return step


def go_live(
    connection: Connection, name: str, fence: int, deployment_id: str, url: str
) -> DeploymentRecord:
    """Make a deployment the live one from now on; the one before is retired at that moment.

    Raises:
        DeploymentError: it is of another service, or has ended.
        FenceLost: another process has taken the service over, or it was released.
    """
    row = guard(connection, name, fence)
    found = get(connection, deployment_id)
    if found.service != name:
        raise DeploymentError(f"Deployment {deployment_id} is of the service {found.service!r}.")
    if found.state == "live":
        return found
    if found.state != "running":
        raise DeploymentError(
            f"Deployment {deployment_id} is {found.state} and cannot be live any more: "
            "begin another."
        )
    before = row.live_deployment
    last = _ledger_end(connection, name)
    moment = changes.tick(connection, 1 if before is None else 2)
    at = max(last, moment.at)
    now_live = _change(connection, deployment_id, state="live", live_from=at, fence=fence)
    told = [now_live]
    if before is not None:
        told.insert(0, _retire(connection, before, at, f"Replaced by {deployment_id}."))
    values = {
        "url": url,
        "live_deployment": deployment_id,
        "live_envelope": now_live.envelope_id,
        "updated_at": moment.at,
    }
    if row.live_envelope not in (None, now_live.envelope_id):
        values["previous_envelope"] = row.live_envelope
    connection.execute(update(service).where(service.c.name == name).values(values))
    _tell(connection, moment, told, now_live.by)
    return now_live


def end(
    connection: Connection, deployment_id: str, fence: int, outcome: Outcome, reason: str
) -> DeploymentRecord:
    """Record why a running deployment did not go live; one that ended stays as it is.

    Raises:
        DeploymentError: it is live, or there is none.
        FenceLost: another process has taken the service over, or it was released.
    """
    guard(connection, get(connection, deployment_id).service, fence)
    found = get(connection, deployment_id)
    if found.state == "live":
        raise DeploymentError(
            f"Deployment {deployment_id} is live: deploy another to {found.service!r}, "
            "or undeploy that service."
        )
    if found.state != "running":
        return found
    moment = changes.tick(connection)
    ended = _change(
        connection,
        deployment_id,
        state=outcome,
        reason=printable(reason),
        finished_at=moment.at,
    )
    _tell(connection, moment, [ended], ended.by)
    return ended


def undeployed(connection: Connection, name: str, fence: int) -> None:
    """Record that nothing of a service runs any more.

    Raises:
        FenceLost: another process has taken the service over, or it was released.
    """
    row = guard(connection, name, fence)
    if row.live_deployment is None:
        return
    last = _ledger_end(connection, name)
    moment = changes.tick(connection)
    retired = _retire(connection, row.live_deployment, max(last, moment.at), "Undeployed.")
    emptied = update(service).where(service.c.name == name)
    connection.execute(
        emptied.values(
            url=None,
            live_deployment=None,
            live_envelope=None,
            previous_envelope=None,
            updated_at=moment.at,
        )
    )
    _tell(connection, moment, [retired], row.desired_by)


def get(connection: Connection, deployment_id: str) -> DeploymentRecord:
    """A deployment by its id.

    Raises:
        DeploymentError: there is none.
    """
    row = connection.execute(_chosen(deployment.c.id == deployment_id)).one_or_none()
    if row is None:
        raise DeploymentNotFound(f"There is no deployment {deployment_id} in this store.")
    return _record(row)


def find(
    connection: Connection,
    name: str | None,
    envelope_id: str | None,
    limit: int,
    before: str | None = None,
) -> tuple[DeploymentRecord, ...]:
    """Deployments, the newest first: all, of a service, of an envelope, before another."""
    chosen = _chosen().order_by(deployment.c.entered.desc()).limit(limit)
    if name is not None:
        chosen = chosen.where(deployment.c.service == name)
    if envelope_id is not None:
        chosen = chosen.where(deployment.c.envelope_id == envelope_id)
    if before is not None:
        other = deployment.alias("other")
        entered = select(other.c.entered).where(other.c.id == before).scalar_subquery()
        chosen = chosen.where(deployment.c.entered < entered)
    return tuple(map(_record, connection.execute(chosen)))


def by_dag_run(connection: Connection, dag_run: str, limit: int) -> tuple[DeploymentRecord, ...]:
    """What a run of a DAG deployed, or tried to, the latest first; see `lineage`."""
    chosen = _chosen(deployment.c.dag_run == dag_run)
    newest = chosen.order_by(deployment.c.entered.desc()).limit(limit)
    return tuple(map(_record, connection.execute(newest)))


def vain(connection: Connection, by: Collection[str]) -> tuple[DeploymentRecord, ...]:
    """The deployments of some deployers that failed or were given up, oldest first."""
    ended = deployment.c.state.in_(("failed", "superseded"))
    chosen = _chosen(deployment.c.by.in_(by), ended).order_by(deployment.c.entered)
    return tuple(map(_record, connection.execute(chosen)))


def steps(connection: Connection, deployment_id: str) -> tuple[StepRecord, ...]:
    """The steps of a deployment, in order."""
    chosen = select(deployment_step).where(deployment_step.c.deployment_id == deployment_id)
    rows = connection.execute(chosen.order_by(deployment_step.c.number))
    return tuple(StepRecord(**row._mapping) for row in rows)


def live_at(connection: Connection, name: str, at: datetime) -> DeploymentRecord | None:
    """What was live at a moment."""
    until = or_(deployment.c.live_to.is_(None), deployment.c.live_to > at)
    chosen = _chosen(deployment.c.service == name, deployment.c.live_from <= at, until)
    row = connection.execute(chosen).one_or_none()
    return None if row is None else _record(row)


def live(connection: Connection) -> tuple[DeploymentRecord, ...]:
    """What every service runs, by service."""
    chosen = _chosen(deployment.c.state == "live").order_by(deployment.c.service)
    return tuple(map(_record, connection.execute(chosen)))


def routes(connection: Connection, kind: str) -> tuple[LiveRoute, ...]:
    """The live deployment of every service that runs at a kind of target, by service."""
    return tuple(
        LiveRoute(service=record.service, deployment=record.id, fence=record.fence)
        for record in live(connection)
        if record.target.get("kind") == kind
    )


def _chosen(*where: ColumnElement[bool]) -> Any:
    return select(*COLUMNS).where(*where)


def _ledger_end(connection: Connection, name: str) -> datetime:
    """No period of a service begins or ends earlier than this, whatever a clock says."""
    ends = select(func.max(deployment.c.live_from), func.max(deployment.c.live_to))
    found = connection.execute(ends.where(deployment.c.service == name)).one()
    return max((at for at in found if at is not None), default=BEGINNING)


def _retire(connection: Connection, before: str, at: datetime, reason: str) -> DeploymentRecord:
    return _change(connection, before, state="retired", reason=reason, live_to=at, finished_at=at)


def _change(connection: Connection, deployment_id: str, **values: Any) -> DeploymentRecord:
    changed = update(deployment).where(deployment.c.id == deployment_id).values(**values)
    return _record(connection.execute(changed.returning(*COLUMNS)).one())


def _tell(
    connection: Connection, moment: changes.Tick, records: Sequence[DeploymentRecord], actor: str
) -> None:
    told = [
        (r.envelope_id, {"service": r.service, "deployment": r.id, "state": r.state})
        for r in records
    ]
    changes.append_all(connection, moment, "deployment", told, actor)


def _record(row: Row[Any]) -> DeploymentRecord:
    return DeploymentRecord(**row._mapping)
