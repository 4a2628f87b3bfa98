"""Deployment rules: what should run where, with everything they ever said.

Whoever changes a rule holds the clock first, so that rules are compared with each other as
they are: one service has one rule.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from typing import Any, Literal

from sqlalchemy import Connection, Row, select, update
from sqlalchemy import insert as plain_insert

from model_envelope.errors import InvalidInput, RuleChanged, RuleNotFound
from model_envelope.store import changes
from model_envelope.store.database import printable
from model_envelope.store.rows import RuleRecord
from model_envelope.store.tables import rule

FIELDS = tuple(field.name for field in fields(RuleRecord))

Event = Literal["changed", "paused", "resumed", "removed"]


def apply(
    connection: Connection,
    wanted: Mapping[str, tuple[str, Mapping[str, Any]]],
    remove: Collection[str],
    actor: str,
    bases: Mapping[str, int],
) -> tuple[RuleRecord, ...]:
    """Make rules, or their next revisions, and take others out of force: all, or nothing.

    The same again changes nothing. A rule that is paused stays so; one that was removed
    comes back.

    Args:
        connection: in a transaction.
        wanted: service and specification by the rule's name.
        remove: names of rules that are to go.
        actor: who says so.
        bases: revisions by name that rules must still have; 0 for none in force.

    Returns:
        The rules that are wanted, as they are then, in that order.

    Raises:
        InvalidInput: two rules would have one service.
        RuleNotFound: one that is to go never was.
        RuleChanged: one has another revision than it must have.
    """
    changes.hold(connection)
    there = {record.name: record for record in find(connection, include_removed=True)}
    for name, base in bases.items():
        _check_base(name, there.get(name), base)
    services = {
        record.name: record.service
        for record in there.values()
        if not record.removed and record.name not in remove
    } | {name: service for name, (service, _) in wanted.items()}
    _check_services(services)
    for name in sorted(set(remove) - wanted.keys()):
        _remove(connection, get(connection, name), actor)
    return tuple(
        _put(connection, there.get(name) or _nothing_yet(connection, name), *what, actor)
        for name, what in wanted.items()
    )


def _check_base(name: str, found: RuleRecord | None, base: int) -> None:
    now = 0 if found is None or found.removed else found.revision
    if now != base:
        whose = f" by {found.actor}" if found else ""
        raise RuleChanged(
            f"Rule {name!r} was changed{whose} since: it has revision {now}, and not {base}. Look "
            "at it again, and repeat what you want changed."
        )


def _check_services(services: Mapping[str, str]) -> None:
    rules: dict[str, str] = {}
    for name, service in services.items():
        other = rules.setdefault(service, name)
        if other != name:
            raise InvalidInput(
                f"Rules {other!r} and {name!r} both have the service {service!r}, and would take "
                "it from each other. Remove one of them, or name another service."
            )


def _put(
    connection: Connection, found: RuleRecord, service: str, spec: Mapping[str, Any], actor: str
) -> RuleRecord:
    if not found.removed and (found.service, found.spec) == (service, spec):
        return found
    changed = replace(
        found,
        revision=found.revision + 1,
        service=service,
        spec=spec,
        removed=False,
        paused=found.paused and not found.removed,
        pause_reason="" if found.removed else found.pause_reason,
    )
    return _enter(connection, changed, "changed", actor)


def pause(connection: Connection, name: str, reason: str, actor: str) -> RuleRecord:
    """Let a rule want nothing until it is resumed.

    Raises:
        RuleNotFound: there is none, or it was removed.
    """
    changes.hold(connection)
    found = _in_force(connection, name)
    reason = printable(reason)
    if found.paused and found.pause_reason == reason:
        return found
    paused = replace(found, paused=True, pause_reason=reason)
    return _enter(connection, paused, "paused", actor)


def resume(connection: Connection, name: str, actor: str) -> RuleRecord:
    """Let a paused rule act again.

    Raises:
        RuleNotFound: there is none, or it was removed.
    """
    changes.hold(connection)
    found = _in_force(connection, name)
    if not found.paused:
        return found
    return _enter(connection, replace(found, paused=False, pause_reason=""), "resumed", actor)


def remove(connection: Connection, name: str, actor: str) -> RuleRecord:
    """Take a rule out of force. What its service runs, it goes on running.

    Raises:
        RuleNotFound: there never was one.
    """
    changes.hold(connection)
    return _remove(connection, get(connection, name), actor)


def _remove(connection: Connection, found: RuleRecord, actor: str) -> RuleRecord:
    if found.removed:
        return found
    return _enter(connection, replace(found, removed=True), "removed", actor)


def get(connection: Connection, name: str) -> RuleRecord:
    """A rule as it is, even a removed one.

    Raises:
        RuleNotFound: there never was one.
    """
    found = _current(connection, name)
    if found is None:
        raise RuleNotFound(f"There is no rule {name!r}. `model-envelope rules list` lists them.")
    return found


def find(connection: Connection, *, include_removed: bool) -> tuple[RuleRecord, ...]:
    """Rules as they are, by name."""
    chosen = select(rule).where(rule.c.current).order_by(rule.c.name)
    if not include_removed:
        chosen = chosen.where(~rule.c.removed)
    return tuple(map(_record, connection.execute(chosen)))


def history(connection: Connection, name: str) -> tuple[RuleRecord, ...]:
    """A rule after each change of it, oldest first.

    Raises:
        RuleNotFound: there never was one.
    """
    chosen = select(rule).where(rule.c.name == name).order_by(rule.c.entered)
    found = tuple(map(_record, connection.execute(chosen)))
    return found or (get(connection, name),)


def _in_force(connection: Connection, name: str) -> RuleRecord:
    found = get(connection, name)
    if found.removed:
        raise RuleNotFound(f"Rule {name!r} was removed; apply it again to bring it back.")
    return found


def _current(connection: Connection, name: str) -> RuleRecord | None:
    chosen = select(rule).where(rule.c.name == name, rule.c.current)
    row = connection.execute(chosen).one_or_none()
    return None if row is None else _record(row)


def _nothing_yet(connection: Connection, name: str) -> RuleRecord:
    return RuleRecord(
        name=name,
        revision=0,
        service="",
        spec={},
        paused=False,
        pause_reason="",
        removed=True,
        at=changes.store_time(connection),
        actor="",
    )


def _record(row: Row[Any]) -> RuleRecord:
    return RuleRecord(**{name: getattr(row, name) for name in FIELDS})


def _enter(connection: Connection, record: RuleRecord, event: Event, actor: str) -> RuleRecord:
    moment = changes.tick(connection)
    record = replace(record, at=moment.at, actor=printable(actor)[:256])
    values = {name: getattr(record, name) for name in FIELDS}
    connection.execute(
        update(rule).where(rule.c.name == record.name, rule.c.current).values(current=False)
    )
    connection.execute(plain_insert(rule).values(**values, entered=moment.revision, current=True))
    changes.append(
        connection,
        moment,
        "rule",
        "",
        actor,
        rule=record.name,
        revision=record.revision,
        event=event,
    )
    return record
