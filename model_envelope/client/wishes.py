"""Saying what a service should run. Bringing it about is `reconcile`'s."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model_envelope import names
from model_envelope.errors import DeploymentError

if TYPE_CHECKING:
    from model_envelope.client.client import Query
    from model_envelope.client.envelope import Envelope
    from model_envelope.deployment.targets.protocol import Platform
    from model_envelope.store.rows import RuleRecord, ServiceRecord
    from model_envelope.store.store import Store

DEFAULT_TARGET = "process"


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What is wanted of a service now; `note` says what that means for rules, for people."""

    record: ServiceRecord
    note: str = ""


class WishVerbs:
    """The part of the client that says what services should run, and does nothing about it."""

    _envelope: Callable[[Query | Envelope], Envelope]

    if TYPE_CHECKING:

        @property
        def store(self) -> Store:
            """The database."""

        @property
        def platform(self) -> Platform:
            """What targets work with."""

        @property
        def actor(self) -> str:
            """Who changes things."""

    def want(
        self,
        q: Query | Envelope,
        service: str,
        *,
        target: str | Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        reason: str = "",
    ) -> Wish:
        """Want a service to run an envelope; see `deploy` for what is given, and refused."""
        names.check_service(service)
        envelope = self._envelope(q)
        record = self.store.want(
            service,
            target=self.target_for(service, target, options),
            envelope_id=envelope.id,
            by=self.actor,
            reason=reason,
            pinned=True,
            retry=True,
        )
        rule = self._rule_of(service)
        if rule is None:
            return Wish(record=record)
        note = (
            f"{service} is pinned: rule {rule.name!r} changes nothing until "
            f"`model-envelope unpin {service}`."
        )
        return Wish(record=record, note=note)

    def want_previous(self, service: str, *, reason: str = "") -> Wish:
        """Want back what a service ran before; see `rollback`."""
        record = self.store.service(service)
        previous = record.previous_envelope
        if previous is None:
            raise DeploymentError(f"The service {service!r} ran nothing else before.")
        why = reason or f"Rolled back from {record.live_envelope}."
        note = self._pause(service, why)
        wanted = self.store.want(
            service,
            target=None,
            envelope_id=previous,
            by=self.actor,
            reason=why,
            pinned=record.pinned,
            retry=True,
        )
        return Wish(record=wanted, note=note)

    def want_nothing(self, service: str, *, reason: str = "") -> Wish:
        """Want a service to run nothing; see `undeploy`."""
        self.store.service(service)
        why = reason or "Undeployed."
        note = self._pause(service, why)
        wanted = self.store.want(
            service, target=None, envelope_id=None, by=self.actor, reason=why, retry=True
        )
        return Wish(record=wanted, note=note)

    def target_for(
        self,
        service: str,
        target: str | Mapping[str, Any] | None,
        options: Mapping[str, Any] | None,
    ) -> dict[str, Any] | None:
        """What is wanted of the place that a service runs at; None for what it was.

        Raises:
            InvalidInput: there is no such target, or it has no such option.
            MissingDependency: a package for it is not installed.
        """
        from model_envelope.deployment.rule import read_target
        from model_envelope.deployment.serving_options import read_options
        from model_envelope.deployment.targets.opening import open_target

        known = {record.name: record.target for record in self.store.services()}.get(service)
        if target is None and options is None and known is not None:
            return None
        wanted = read_target(target or (known or {}).get("kind", DEFAULT_TARGET))
        if options is not None:
            wanted["options"] = dict(options)
        read_options(open_target(wanted["kind"], self.platform), wanted["options"])
        return wanted

    def _rule_of(self, service: str) -> RuleRecord | None:
        """The rule that would change a service."""
        rules = [rule for rule in self.store.rules() if rule.service == service]
        return next((rule for rule in rules if not rule.paused), None)

    def _pause(self, service: str, reason: str) -> str:
        rule = self._rule_of(service)
        if rule is None:
            return ""
        self.store.pause_rule(rule.name, reason, self.actor)
        return (
            f"Rule {rule.name!r} is paused, because it would undo this; "
            f"`model-envelope rules resume {rule.name}` lets it go on."
        )
