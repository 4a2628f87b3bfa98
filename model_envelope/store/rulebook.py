"""The part of the store that says what should run where: deployment rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from model_envelope import names
from model_envelope.store import ruling
from model_envelope.store.database import Database, as_stored
from model_envelope.store.rows import RuleRecord


class RuleBook:
    """Deployment rules; one transaction for each call, see `Store`."""

    _database: Database

    def put_rule(
        self,
        name: str,
        service: str,
        spec: Mapping[str, Any],
        actor: str = "",
        *,
        base_revision: int | None = None,
    ) -> RuleRecord:
        """Make a rule, or its next revision; the same again changes nothing.

        A rule that is paused stays so; one that was removed comes back.

        Args:
            name: of the rule.
            service: which it is about.
            spec: what it says.
            actor: who says so.
            base_revision: of which this is a change; 0 where there is no rule in force.
                Whatever it is by now, unless given.

        Raises:
            InvalidName: of the rule or the service.
            InvalidInput: another rule has the service, or `spec` is no plain JSON.
            RuleChanged: it has another revision by now.
        """
        bases = {} if base_revision is None else {name: base_revision}
        return self.apply_rules({name: (service, spec)}, actor=actor, bases=bases)[0]

    def apply_rules(
        self,
        rules: Mapping[str, tuple[str, Mapping[str, Any]]],
        *,
        remove: Collection[str] = (),
        actor: str = "",
        bases: Mapping[str, int] = MappingProxyType({}),
    ) -> tuple[RuleRecord, ...]:
        """Make or change several rules, and remove others: all of it, or nothing.

        Args:
            rules: service and specification by the rule's name.
            remove: names of rules that are to go.
            actor: who says so.
            bases: revisions by name that rules must still have; 0 for none in force.

        Returns:
            The rules as they are then, in the order given.

        Raises:
            InvalidName: of a rule or a service.
            InvalidInput: two rules would have one service, or one is no plain JSON.
            RuleNotFound: one that is to go never was.
            RuleChanged: one has another revision than it must have.
        """
        wanted = {
            names.check_rule_name(name): (
                names.check_service(service),
                as_stored(spec, f"The specification of rule {name!r}"),
            )
            for name, (service, spec) in rules.items()
        }
        return self._database.write(lambda c: ruling.apply(c, wanted, remove, actor, bases))

    def get_rule(self, name: str) -> RuleRecord:
        """A rule as it is, even a removed one.

        Raises:
            RuleNotFound: there never was one.
        """
        return self._database.read(lambda c: ruling.get(c, name))

    def rules(self, *, include_removed: bool = False) -> tuple[RuleRecord, ...]:
        """Rules as they are, by name."""
        return self._database.read(lambda c: ruling.find(c, include_removed=include_removed))

    def rule_history(self, name: str) -> tuple[RuleRecord, ...]:
        """A rule after each change of it, oldest first.

        Raises:
            RuleNotFound: there never was one.
        """
        return self._database.read(lambda c: ruling.history(c, name))

    def pause_rule(self, name: str, reason: str, actor: str = "") -> RuleRecord:
        """Let a rule want nothing until it is resumed.

        Raises:
            RuleNotFound: there is none, or it was removed.
        """
        return self._database.write(lambda c: ruling.pause(c, name, reason, actor))

    def resume_rule(self, name: str, actor: str = "") -> RuleRecord:
        """Let a paused rule act again.

        Raises:
            RuleNotFound: there is none, or it was removed.
        """
        return self._database.write(lambda c: ruling.resume(c, name, actor))

    def remove_rule(self, name: str, actor: str = "") -> RuleRecord:
        """Take a rule out of force. What its service runs, it goes on running.

        Raises:
            RuleNotFound: there never was one.
        """
        return self._database.write(lambda c: ruling.remove(c, name, actor))
