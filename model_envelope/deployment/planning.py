"""What each rule wants, and what that would change: the same for showing it and for doing it.

Planning is level-triggered. It compares what every rule says now with what is wanted of its
service and with what runs there; it does not matter what happened since the last time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from model_envelope.deployment.rule import Rule
from model_envelope.errors import EnvelopeNotFound, InvalidInput
from model_envelope.store.near_misses import NearMiss
from model_envelope.store.rows import DeploymentRecord, RuleRecord, ServiceRecord
from model_envelope.store.store import Store
from model_envelope.store.surveying import Answer, Ask

Action = Literal["deploy", "replace", "keep", "hold", "paused", "pinned", "no_match", "undeploy"]
"""What becomes of a service.

`deploy` to one that runs nothing, `replace` what it runs, `keep` that. `hold`: it was tried
and failed, so what runs goes on. `paused`, `pinned`: the rule may not say. `no_match`: what
runs goes on. `undeploy`: a person wants that.
"""

CHANGES: frozenset[Action] = frozenset({"deploy", "replace", "undeploy"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What a rule makes of its service.

    Attributes:
        rule: its name; empty where a person wants it, and no rule has a say.
        service: which.
        action: what becomes of it.
        envelope_id: what the rule chooses, whether or not that is deployed; or what a
            person wants.
        replaces: what runs now.
        reason: why, for people.
        near: what would have been chosen but for one clause of the query, if it was asked.
        revision: of the rule.
        generation: of the service; 0 where it is new.
        target: where the rule wants it.
        writes: whether something has to be written for it.
    """

    rule: str
    service: str
    action: Action
    envelope_id: str | None
    replaces: str | None
    reason: str
    near: tuple[NearMiss, ...] = ()
    revision: int = 0
    generation: int = 0
    target: Mapping[str, Any] = field(default_factory=dict)
    writes: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What every rule makes of its service, as of a revision of the store."""

    revision: int
    decisions: tuple[Decision, ...]
    retry: bool = False

    @property
    def changes(self) -> tuple[Decision, ...]:
        """Those after which a service runs something else."""
        return tuple(d for d in self.decisions if d.action in CHANGES)


def plan(
    store: Store,
    *,
    explain: bool = False,
    only: Collection[str] | None = None,
    services: Collection[str] | None = None,
    retry: bool = False,
) -> Plan:
    """What every rule makes of its service, and which wishes of persons are still open.

    Args:
        store: where rules, envelopes and services are.
        explain: also find what was nearly chosen instead, and why it was not.
        only: names of rules; all unless given.
        services: names of services; all unless given.
        retry: do not hold back what failed before.

    Raises:
        RuleNotFound: one of those named.
    """
    if only is not None:
        for name in only:
            store.get_rule(name)
    # Everything before that is in here; what comes later makes another plan.
    revision = store.head()
    there = {record.name: record for record in store.services()}
    records = [
        record
        for record in store.rules()
        if (only is None or record.name in only)
        and (services is None or record.service in services)
    ]
    planner = _Planner(store, there, records, retry=retry)
    decisions = planner.of_rules(records, explain=explain)
    if only is None:
        ruled = {record.service for record in records}
        decisions += [
            decision
            for name, service in there.items()
            if name not in ruled and (services is None or name in services)
            if (decision := planner.wish(service)) is not None
        ]
    decisions.sort(key=lambda decision: (decision.service, decision.rule))
    return Plan(revision=revision, decisions=tuple(decisions), retry=retry)


def would(store: Store, rule: Rule) -> Decision:
    """What a rule would make of its service if it said this, explained; changes nothing."""
    there = {record.name: record for record in store.rules()}
    known = there.get(rule.name)
    record = RuleRecord(
        name=rule.name,
        revision=known.revision + 1 if known else 1,
        service=rule.service,
        spec=rule.spec(),
        paused=known.paused if known else False,
        pause_reason=known.pause_reason if known else "",
        removed=False,
        at=datetime.now(UTC),
        actor="",
    )
    services = {service.name: service for service in store.services()}
    (decision,) = _Planner(store, services, [record], retry=False).of_rules([record], explain=True)
    return decision


def decide(store: Store, plan: Plan, actor: str = "") -> tuple[ServiceRecord, ...]:
    """Write down what a plan wants of services, for `reconcile` to bring about.

    What has changed since the plan was made is left for the next one.

    Args:
        store: that the plan was made of.
        plan: what is wanted.
        actor: who has it written, for the reason.

    Returns:
        The services of which something is wanted now by a rule that was not before.
    """
    written = []
    for decision in plan.decisions:
        if not decision.writes or decision.envelope_id is None:
            continue
        try:
            record = store.want_by_rule(
                decision.rule,
                decision.revision,
                service=decision.service,
                generation=decision.generation,
                target=decision.target,
                envelope_id=decision.envelope_id,
                reason=f"{decision.reason} ({actor})" if actor else decision.reason,
                retry=plan.retry,
            )
        except EnvelopeNotFound:
            # Deleted since.
            continue
        if record is not None:
            written.append(record)
    return tuple(written)


def follow(
    store: Store,
    actor: str = "",
    *,
    services: Collection[str] | None = None,
    retry: bool = False,
) -> tuple[ServiceRecord, ...]:
    """Have services want what their rules say: `plan`, then `decide`."""
    return decide(store, plan(store, services=services, retry=retry), actor)


class _Planner:
    def __init__(
        self,
        store: Store,
        services: Mapping[str, ServiceRecord],
        rules: Collection[RuleRecord],
        *,
        retry: bool,
    ) -> None:
        self._store = store
        self._services = services
        self._retry = retry
        self._live = {deployment.service: deployment for deployment in store.live_deployments()}
        wishes = {_by(rule) for rule in rules} | {s.desired_by for s in services.values()}
        self._failed: dict[tuple[str, str, str | None], DeploymentRecord] = {}
        self._given_up: dict[tuple[str, int], DeploymentRecord] = {}
        for deployment in store.vain_deployments(wishes):
            if deployment.state == "failed":
                at = (deployment.service, deployment.by, deployment.envelope_id)
                self._failed[at] = deployment
            else:
                self._given_up[deployment.service, deployment.generation] = deployment

    def of_rules(self, records: Sequence[RuleRecord], *, explain: bool) -> list[Decision]:
        """What each rule makes of its service."""
        rules: dict[str, Rule] = {}
        decisions = []
        for record in records:
            try:
                rules[record.name] = _readable(record)
            except (InvalidInput, TypeError) as error:
                reason = f"The rule cannot be read: {error}"
                decisions.append(replace(self._start(record), action="hold", reason=reason))
        asks = [
            Ask(query=rule.query, metric=rule.metric, greatest=rule.greatest)
            for rule in rules.values()
        ]
        answers = self._store.survey(asks, explain=explain)
        found = dict(zip(rules, answers, strict=True))
        return decisions + [
            self._decide(record, rules[record.name], found[record.name])
            for record in records
            if record.name in rules
        ]

    def _start(self, record: RuleRecord) -> Decision:
        service, live = self._services.get(record.service), self._live.get(record.service)
        return Decision(
            rule=record.name,
            service=record.service,
            action="keep",
            envelope_id=None,
            replaces=live.envelope_id if live else None,
            reason="",
            revision=record.revision,
            generation=service.generation if service else 0,
        )

    def _decide(self, record: RuleRecord, rule: Rule, answer: Answer) -> Decision:
        service = self._services.get(record.service)
        found = replace(
            self._start(record),
            target=rule.target,
            envelope_id=answer.envelope_id,
            near=answer.near,
        )
        if record.paused:
            return replace(found, action="paused", reason=record.pause_reason or "Paused.")
        if service is not None and service.pinned:
            return replace(found, action="pinned", reason=_told(service))
        if answer.envelope_id is None:
            rest = "what runs goes on." if found.replaces else "nothing runs."
            return replace(found, action="no_match", reason=f"Nothing matches: {rest}")
        return self._weigh(found, record, rule, answer)

    def _weigh(self, found: Decision, record: RuleRecord, rule: Rule, answer: Answer) -> Decision:
        """What becomes of the envelope that the rule may choose."""
        service, live = self._services.get(record.service), self._live.get(record.service)
        wanted = (
            service is not None
            and service.desired_envelope == found.envelope_id
            and service.target == rule.target
        )
        if live and live.envelope_id == found.envelope_id and live.target == rule.target:
            return replace(found, reason="It runs.", writes=not wanted)
        by = _by(record)
        mine = wanted and service is not None and service.desired_by == by
        failed = self._failed.get((record.service, by, found.envelope_id))
        action: Action = "replace" if live else "deploy"
        if mine and service is not None and self._is_open(service, failed):
            return replace(found, action=action, reason=self._on_its_way(service))
        if failed is not None and not self._retry:
            return replace(found, action="hold", reason=_failure(failed))
        reason = _why(rule, answer)
        if live is not None and live.envelope_id == found.envelope_id:
            reason = "It is to run with another target or other options."
        return replace(found, action=action, reason=reason, writes=not mine or self._retry)

    def _is_open(self, service: ServiceRecord, failed: DeploymentRecord | None) -> bool:
        """Whether a wish is still to be fulfilled, as far as anybody knows."""
        return service.observed_generation < service.generation and (
            failed is None or failed.generation < service.generation
        )

    def _on_its_way(self, service: ServiceRecord) -> str:
        last = self._given_up.get((service.name, service.generation))
        why = f" The last attempt was given up: {last.reason}" if last else ""
        return f"It is on its way.{why}"

    def wish(self, service: ServiceRecord) -> Decision | None:
        """What a person wants of a service that no rule is about, until it is so."""
        live = self._live.get(service.name)
        runs = live.envelope_id if live else None
        found = Decision(
            rule="",
            service=service.name,
            action="undeploy",
            envelope_id=service.desired_envelope,
            replaces=runs,
            reason=_told(service),
            generation=service.generation,
            target=service.target,
        )
        if service.desired_envelope is None:
            return found if live else None
        if live and runs == service.desired_envelope and live.target == service.target:
            return None
        failed = self._failed.get((service.name, service.desired_by, service.desired_envelope))
        if self._is_open(service, failed):
            return replace(found, action="replace" if live else "deploy")
        reason = _failure(failed) if failed else "It was tried, and is not live."
        return replace(found, action="hold", reason=reason)


def _by(record: RuleRecord) -> str:
    return f"rule:{record.name}@{record.revision}"


def _told(service: ServiceRecord) -> str:
    what = service.desired_envelope or "nothing"
    reason = f": {service.reason}" if service.reason else "."
    return f"{service.desired_by} wants {what}{reason}"


def _failure(deployment: DeploymentRecord) -> str:
    return f"Its deployment {deployment.id} failed: {deployment.reason}"


def _why(rule: Rule, answer: Answer) -> str:
    if rule.metric is None:
        return "It is the newest match."
    best = "greatest" if rule.greatest else "smallest"
    return f"It has the {best} {rule.metric}, {answer.value:.6g}."


def _readable(record: RuleRecord) -> Rule:
    """The rule of a record, with what is read of it later.

    Raises:
        InvalidInput: another version of this package made it, and this one cannot read it.
        TypeError: likewise.
    """
    rule = Rule.of(record)
    _ = rule.query
    return rule
