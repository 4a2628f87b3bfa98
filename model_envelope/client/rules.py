"""The verbs of deployment rules: what should run where, and what that would change."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_envelope.errors import InvalidInput, InvalidRule, MissingDependency, TargetFailed

if TYPE_CHECKING:
    from model_envelope.client.client import Query
    from model_envelope.deployment.applying import RuleChange
    from model_envelope.deployment.planning import Plan
    from model_envelope.deployment.rule import Rule
    from model_envelope.deployment.targets.protocol import Platform
    from model_envelope.store.rows import RuleRecord
    from model_envelope.store.store import Store

_log = logging.getLogger(__name__)


class RuleVerbs:
    """The part of the client that is about deployment rules."""

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

    def rule(
        self,
        name: str,
        *,
        when: Query,
        service: str,
        target: str | Mapping[str, Any] = "process",
        select: str = "latest",
        gates: Sequence[str | Mapping[str, Any]] = (),
        rollout: Mapping[str, Any] | None = None,
        owner: str = "",
    ) -> RuleRecord:
        """Make a deployment rule, or change what it says.

        From now on, `reconcile` deploys to the service whatever the rule chooses; nothing is
        deployed by this call. A rule that says the same already stays as it is, and one
        that is paused stays paused.

        Args:
            name: of the rule.
            when: a tag query; one of its matches is to run.
            service: where: a service that no other rule has.
            target: `process`, `docker`, …; with options, `{"kind": "docker", "replicas": 2}`.
            select: which match: the `latest`, or that with the best value of a metric:
                `max metric.<name>` or `min metric.<name>`.
            gates: what it must pass, by names, or each as a mapping of its name to options:
                `["reproducible", {"metric": "metric.rmse < 20"}]`.
            rollout: how it gets the traffic: `{"shadow": {…}, "canary": {"share": 0.1}}`.
            owner: who is told when it fails.

        Returns:
            The rule as it is now, with its revision.

        Raises:
            InvalidRule: with everything that is wrong.
            InvalidInput: another rule has the service.
        """
        from model_envelope.deployment.rule import Rule

        given = {
            "name": name,
            "when": when,
            "service": service,
            "target": target,
            "select": select,
            "gates": list(gates),
            "rollout": rollout,
            "owner": owner,
        }
        rule = Rule.read(given)
        self.check_targets([rule])
        return self.store.put_rule(rule.name, rule.service, rule.spec(), self.actor)

    def apply_rules(
        self,
        paths: str | Path | Iterable[str | Path],
        *,
        prune: bool = False,
        dry_run: bool = False,
    ) -> tuple[RuleChange, ...]:
        """Bring the rules to what YAML files say: all of it, or nothing.

        Args:
            paths: files, or folders of them.
            prune: remove rules that are in none of them.
            dry_run: change nothing, and tell what would change.

        Returns:
            What changed, and what was so already, by the rules' names.

        Raises:
            InvalidInput: with everything that is wrong, each with its file and line.
        """
        from model_envelope.deployment.applying import apply, compare
        from model_envelope.deployment.rule_files import load_rules

        rules = load_rules(paths)
        self.check_targets(rules)
        if dry_run:
            return compare(self.store.rules(), rules, prune=prune)
        return apply(self.store, rules, prune=prune, actor=self.actor)

    def rules(self) -> tuple[RuleRecord, ...]:
        """Every rule in force, paused ones too, by name."""
        return self.store.rules()

    def rule_history(self, name: str) -> tuple[RuleRecord, ...]:
        """A rule after each change of it, oldest first.

        Raises:
            RuleNotFound: there never was one.
        """
        return self.store.rule_history(name)

    def pause_rule(self, name: str, reason: str = "") -> RuleRecord:
        """Let a rule change nothing until it is resumed; what runs goes on.

        Raises:
            RuleNotFound: there is none.
        """
        return self.store.pause_rule(name, reason, self.actor)

    def resume_rule(self, name: str) -> RuleRecord:
        """Let a paused rule act again.

        Raises:
            RuleNotFound: there is none.
        """
        return self.store.resume_rule(name, self.actor)

    def remove_rule(self, name: str) -> RuleRecord:
        """Take a rule out of force. What its service runs, it goes on running.

        Raises:
            RuleNotFound: there never was one.
        """
        return self.store.remove_rule(name, self.actor)

    def plan(
        self,
        rules: Collection[str] | None = None,
        *,
        explain: bool = True,
        retry: bool = False,
    ) -> Plan:
        """What `reconcile` would deploy, replace and leave; changes nothing.

        Args:
            rules: names; all unless given.
            explain: also which clause held back what would have been chosen instead.
            retry: as if what failed before were tried again.

        Raises:
            RuleNotFound: one of those named.
        """
        from model_envelope.deployment.planning import plan

        return plan(self.store, explain=explain, only=rules, retry=retry)

    def check_targets(self, rules: Iterable[Rule]) -> None:
        """Refuse options that a target does not know, where it can be asked here.

        Raises:
            InvalidRule: of the first that has such.
        """
        from model_envelope.deployment.serving_options import read_options
        from model_envelope.deployment.targets.opening import open_target

        for rule in rules:
            kind, options = rule.target["kind"], rule.target["options"]
            try:
                read_options(open_target(kind, self.platform), options)
            except InvalidInput as error:
                raise InvalidRule(rule.name, (("target", str(error)),)) from error
            except (MissingDependency, TargetFailed) as error:
                _log.info("The options of target %s were not checked: %s", kind, error)
