"""Services: what is wanted of each, and whose it is at the moment.

Who claims a service gets a fence, a number that grows with every claim, and shows it with
everything it then does. Whoever has a lower one was given up for dead and changes nothing
any more. Leases are measured by the store's time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from model_envelope.errors import FenceLost, InvalidInput, ServiceNotFound
from model_envelope.store import changes, ruling
from model_envelope.store.database import insert, printable
from model_envelope.store.rows import ServiceRecord
from model_envelope.store.tables import deployment, service
from model_envelope.store.tagging import lock_envelope

GAVE_UP = "The process that was at it lost its lease."


def want(
    connection: Connection,
    name: str,
    *,
    target: Mapping[str, Any] | None,
    envelope_id: str | None,
    by: str,
    reason: str,
    pinned: bool,
    retry: bool,
) -> ServiceRecord:
    """Say what a service should run; None is nothing.

    Raises:
        EnvelopeNotFound: there is no such envelope.
        InvalidInput: a new service without a target.
    """
    if envelope_id is not None:
        lock_envelope(connection, envelope_id)
    if target is None and _locked(connection, name) is None:
        raise InvalidInput(f"The service {name!r} is new: say at which target it should run.")
    return _want(
        connection,
        name,
        target=target,
        desired_envelope=envelope_id,
        desired_by=printable(by)[:256],
        reason=printable(reason),
        pinned=pinned,
        retry=retry,
    )


def want_by_rule(
    connection: Connection,
    name: str,
    *,
    rule: str,
    revision: int,
    generation: int,
    target: Mapping[str, Any],
    envelope_id: str,
    reason: str,
    retry: bool,
) -> ServiceRecord | None:
    """Say what a rule makes of a service, unless what it was made from has changed since.

    None, and nothing is changed, when the rule has another revision, is paused or removed,
    when the service is pinned, or its generation is not the one given.

    Raises:
        EnvelopeNotFound: there is no such envelope.
    """
    lock_envelope(connection, envelope_id)
    row = _locked(connection, name) or _made(connection, name)
    changes.hold(connection)
    found = ruling.get(connection, rule)
    stands = (found.revision, found.service) == (revision, name)
    if found.paused or found.removed or not stands or row.pinned or row.generation != generation:
        connection.execute(delete(service).where(service.c.name == name, service.c.generation == 0))
        return None
    return _want(
        connection,
        name,
        target=target,
        desired_envelope=envelope_id,
        desired_by=f"rule:{rule}@{revision}",
        reason=printable(reason),
        pinned=False,
        retry=retry,
    )


def _want(
    connection: Connection,
    name: str,
    *,
    target: Mapping[str, Any] | None,
    retry: bool,
    **wish: Any,
) -> ServiceRecord:
    row = _locked(connection, name) or _made(connection, name)
    wish["target"] = row.target if target is None else dict(target)
    mine = ("target", "desired_envelope", "desired_by", "pinned")
    again = retry and row.observed_generation == row.generation
    if row.generation and not again and all(getattr(row, c) == wish[c] for c in mine):
        return _record(row)
    moment = changes.tick(connection)
    wish |= {"generation": row.generation + 1, "updated_at": moment.at}
    changed = update(service).where(service.c.name == name).values(**wish).returning(service)
    record = _record(connection.execute(changed).one())
    changes.append(
        connection,
        moment,
        "service",
        record.desired_envelope or "",
        record.desired_by,
        service=name,
        generation=record.generation,
        pinned=record.pinned,
        reason=record.reason,
    )
    return record


def get(connection: Connection, name: str) -> ServiceRecord:
    """A service by its name.

    Raises:
        ServiceNotFound: there is none.
    """
    row = connection.execute(select(service).where(service.c.name == name)).one_or_none()
    if row is None:
        raise _not_found(name)
    return _record(row)


def find(connection: Connection) -> tuple[ServiceRecord, ...]:
    """Every service, by name."""
    return tuple(map(_record, connection.execute(select(service).order_by(service.c.name))))


def claim(connection: Connection, name: str, owner: str, lease: timedelta) -> int | None:
    """Take a service that nobody holds; gives the fence, or None when another holds it.

    What the last holder left unfinished is given up.

    Raises:
        ServiceNotFound: there is no such service.
    """
    row = _locked(connection, name)
    if row is None:
        raise _not_found(name)
    now = changes.store_time(connection)
    owner = printable(owner)[:256]
    held = row.lease_owner is not None and row.lease_until > now
    if held and row.lease_owner != owner:
        return None
    fence: int = row.fence if held else row.fence + 1
    _set(connection, name, fence=fence, lease_owner=owner, lease_until=now + lease)
    if not held:
        _give_up(connection, name, now)
    return fence


def _give_up(connection: Connection, name: str, now: datetime) -> None:
    left = connection.execute(
        update(deployment)
        .where(deployment.c.service == name, deployment.c.state == "running")
        .values(state="superseded", reason=GAVE_UP, finished_at=now)
        .returning(deployment.c.id, deployment.c.envelope_id)
    ).all()
    if not left:
        return
    moment = changes.tick(connection, len(left))
    told = [
        (row.envelope_id, {"service": name, "deployment": row.id, "state": "superseded"})
        for row in left
    ]
    changes.append_all(connection, moment, "deployment", told, actor="")


def renew(connection: Connection, name: str, fence: int, lease: timedelta) -> None:
    """Hold a service for longer from now on.

    Raises:
        FenceLost: another has taken it over, or it was released.
    """
    guard(connection, name, fence)
    _set(connection, name, lease_until=changes.store_time(connection) + lease)


def release(connection: Connection, name: str, fence: int) -> None:
    """Let others claim a service at once.

    Raises:
        FenceLost: another has taken it over.
    """
    if _at(connection, name, fence).lease_owner is not None:
        _set(connection, name, lease_owner=None, lease_until=None)


def observe(connection: Connection, name: str, fence: int, generation: int) -> None:
    """Record that the wishes up to a generation were tried, whatever came of it.

    Raises:
        FenceLost: another has taken the service over, or it was released.
    """
    row = guard(connection, name, fence)
    if generation > row.generation:
        raise InvalidInput(
            f"The service {name!r} has no generation {generation} yet: it is at {row.generation}."
        )
    _set(connection, name, observed_generation=max(generation, row.observed_generation))


def guard(connection: Connection, name: str, fence: int) -> Row[Any]:
    """The row of a service, locked, for who still holds it.

    A lease that ended holds on until somebody else claims the service.

    Raises:
        FenceLost: another has taken it over, or it was released.
    """
    row = _at(connection, name, fence)
    if row.lease_owner is None:
        raise FenceLost(f"The service {name!r} was released: claim it again.")
    return row


def _at(connection: Connection, name: str, fence: int) -> Row[Any]:
    row = _locked(connection, name)
    if row is None:
        raise _not_found(name)
    if row.fence != fence:
        raise FenceLost(
            f"Another process has taken over the service {name!r}: its fence is {row.fence}, "
            f"yours was {fence}. Leave everything to it, and remove only what you started."
        )
    return row


def _locked(connection: Connection, name: str) -> Row[Any] | None:
    chosen = select(service).where(service.c.name == name)
    return connection.execute(chosen.with_for_update()).one_or_none()


def _made(connection: Connection, name: str) -> Row[Any]:
    """The row of a service that is new, or that somebody made a moment ago; locked."""
    statement = insert(connection, service).values(
        name=name,
        target={},
        desired_by="",
        reason="",
        pinned=False,
        generation=0,
        observed_generation=0,
        fence=0,
        updated_at=changes.store_time(connection),
    )
    connection.execute(statement.on_conflict_do_nothing())
    row = _locked(connection, name)
    if row is None:
        raise _not_found(name)
    return row


def _set(connection: Connection, name: str, **values: Any) -> None:
    connection.execute(update(service).where(service.c.name == name).values(**values))


def _record(row: Row[Any]) -> ServiceRecord:
    return ServiceRecord(**row._mapping)


def _not_found(name: str) -> ServiceNotFound:
    return ServiceNotFound(f"There is no service {name!r}. `model-envelope services` lists them.")
