"""Deployment rules, and what they decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from model_envelope.deployment.planning import Action, Decision
from model_envelope.store.near_misses import NearMiss
from model_envelope.store.rows import RuleRecord
from model_envelope.web.shapes.services import TargetRef, target_ref


@dataclass(frozen=True, kw_only=True, slots=True)
class Near:
    """What one clause kept from being chosen: the newest such envelope, and what it has instead.

    `matches` counts all that fail only this clause.
    """

    envelope: str
    name: str
    clause: str
    actual: str
    matches: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """What a rule, or a person, makes of a service; `replaces` is what runs now."""

    rule: str
    service: str
    action: Action
    envelope: str | None
    name: str
    replaces: str | None
    reason: str
    near: Sequence[Near]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What becomes of every service, as of a revision of the store."""

    revision: int
    decisions: Sequence[Decided]


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleState:
    """A rule as it is, or was after one change of it."""

    name: str
    revision: int
    service: str
    when: str
    select: str
    target: TargetRef
    gates: Sequence[Mapping[str, Any]]
    rollout: Mapping[str, Any]
    owner: str
    paused: bool
    pause_reason: str
    removed: bool
    at: datetime
    actor: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleRow(RuleState):
    """A rule in force with what it decides now."""

    decision: Decided | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleList:
    """Every rule in force, by name."""

    items: Sequence[RuleRow]


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleHistory:
    """A rule after each change of it, the newest first."""

    items: Sequence[RuleState]


def state_fields(record: RuleRecord) -> dict[str, Any]:
    """What a `RuleState` says; a rule of another version of this package may lack some."""
    spec = record.spec
    return {
        "name": record.name,
        "revision": record.revision,
        "service": record.service,
        "when": spec.get("when", ""),
        "select": spec.get("select", "latest"),
        "target": target_ref(spec.get("target", {})),
        "gates": spec.get("gates", ()),
        "rollout": spec.get("rollout", {}),
        "owner": spec.get("owner", ""),
        "paused": record.paused,
        "pause_reason": record.pause_reason,
        "removed": record.removed,
        "at": record.at,
        "actor": record.actor,
    }


def ids_of(decisions: Sequence[Decision]) -> list[str]:
    """The envelopes that decisions are about."""
    chosen = [one.envelope_id for one in decisions if one.envelope_id]
    return [*chosen, *(miss.newest for one in decisions for miss in one.near)]


def decided(decision: Decision, names: Mapping[str, str]) -> Decided:
    """A decision, with the names of envelopes."""
    return Decided(
        rule=decision.rule,
        service=decision.service,
        action=decision.action,
        envelope=decision.envelope_id,
        name=names.get(decision.envelope_id or "", ""),
        replaces=decision.replaces,
        reason=decision.reason,
        near=[_near(miss, names) for miss in decision.near],
    )


def _near(miss: NearMiss, names: Mapping[str, str]) -> Near:
    return Near(
        envelope=miss.newest,
        name=names.get(miss.newest, ""),
        clause=miss.clause,
        actual=miss.found,
        matches=miss.envelopes,
    )
