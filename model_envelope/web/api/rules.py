"""Deployment rules: what they say and decide, what one would decide, and changing them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Query

from model_envelope.client.client import Client
from model_envelope.deployment.planning import plan, would
from model_envelope.deployment.rule import Rule
from model_envelope.errors import InvalidRule, TagQueryError
from model_envelope.tag_query import parse
from model_envelope.web.access import Acting, ClientOf
from model_envelope.web.api.deployments import Reason
from model_envelope.web.parameters import BODY, RuleName
from model_envelope.web.routing import router
from model_envelope.web.shapes.rules import (
    Decided,
    Plan,
    RuleHistory,
    RuleList,
    RuleRow,
    RuleState,
    decided,
    ids_of,
    state_fields,
)
from model_envelope.web.shapes.services import names_of

reads = router("Rules")
changes = router("Rules")


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A rule as somebody wrote it: see `Rule.read`."""

    __pydantic_config__ = BODY

    spec: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleChange:
    """A rule as it is to be; `base_revision` is what it was made from, 0 for a new one."""

    __pydantic_config__ = BODY

    spec: dict[str, Any]
    base_revision: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """The rule that has the service already."""

    rule: str
    service: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RulePreview:
    """What a rule would make of its service.

    Attributes:
        matched: how many envelopes match; `older_matches` are those that are not chosen.
        overlap: another rule of the service, because of which this one cannot be.
    """

    valid: bool
    matched: int
    older_matches: int
    decision: Decided
    overlap: Overlap | None


@reads.get("/rules")
def list_rules(client: ClientOf) -> RuleList:
    """List every rule in force with what it decides now."""
    store = client.store
    decisions = {one.rule: one for one in plan(store).decisions if one.rule}
    names = names_of(store, ids_of(list(decisions.values())))
    return RuleList(
        items=[
            RuleRow(
                **state_fields(record),
                decision=decided(decisions[record.name], names)
                if record.name in decisions
                else None,
            )
            for record in store.rules()
        ]
    )


@reads.get("/rules/{rule}/history")
def rule_history(client: ClientOf, rule: RuleName) -> RuleHistory:
    """Show a rule after each change of it, the newest first."""
    found = client.store.rule_history(rule)
    return RuleHistory(items=[RuleState(**state_fields(record)) for record in reversed(found)])


@reads.get("/plan")
def show_plan(
    client: ClientOf,
    explain: Annotated[bool, Query(description="Also what one clause held back.")] = False,
) -> Plan:
    """Show what would be deployed, replaced and left. Nothing is changed."""
    store = client.store
    made = plan(store, explain=explain)
    names = names_of(store, ids_of(made.decisions))
    return Plan(revision=made.revision, decisions=[decided(one, names) for one in made.decisions])


@reads.post("/rules/preview")
def preview_rule(client: ClientOf, draft: Draft) -> RulePreview:
    """Tell what a rule would decide if it were in force. Nothing is changed."""
    rule = _read(client, draft.spec)
    store = client.store
    decision = would(store, rule)
    matched = store.count(rule.query)
    others = [r for r in store.rules() if r.service == rule.service and r.name != rule.name]
    return RulePreview(
        valid=not others,
        matched=matched,
        older_matches=max(matched - 1, 0),
        decision=decided(decision, names_of(store, ids_of([decision]))),
        overlap=Overlap(rule=others[0].name, service=rule.service) if others else None,
    )


@changes.put("/rules/{rule}")
def put_rule(client: Acting, rule: RuleName, change: RuleChange) -> RuleState:
    """Make a rule, or change what it says, unless somebody else has changed it meanwhile."""
    read = _read(client, {**change.spec, "name": rule})
    return _put(client, read, change.base_revision)


@changes.post("/rules/{rule}/pause")
def pause_rule(client: Acting, rule: RuleName, why: Reason) -> RuleState:
    """Let a rule change nothing until it is resumed; what runs goes on."""
    return RuleState(**state_fields(client.pause_rule(rule, why.reason)))


@changes.post("/rules/{rule}/resume")
def resume_rule(client: Acting, rule: RuleName, why: Reason) -> RuleState:
    """Let a paused rule act again."""
    return RuleState(**state_fields(client.resume_rule(rule)))


@changes.delete("/rules/{rule}")
def remove_rule(client: Acting, rule: RuleName) -> RuleState:
    """Take a rule out of force. What its service runs, it goes on running."""
    return RuleState(**state_fields(client.remove_rule(rule)))


def _read(client: Client, spec: Mapping[str, Any]) -> Rule:
    """A rule from what somebody wrote, with the place where its query cannot be read.

    Raises:
        InvalidRule: with everything that is wrong.
    """
    try:
        rule = Rule.read(spec)
    except InvalidRule as error:
        try:
            parse(spec.get("when", "True"))
        except TagQueryError as where:
            raise error from where
        raise
    client.check_targets([rule])
    return rule


def _put(client: Client, rule: Rule, base_revision: int) -> RuleState:
    record = client.store.put_rule(
        rule.name, rule.service, rule.spec(), client.actor, base_revision=base_revision
    )
    return RuleState(**state_fields(record))
