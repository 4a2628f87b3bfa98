"""Bringing the rules of a store to what a set of rules says, and how far it is from that."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from model_envelope.deployment.rule import Rule
from model_envelope.errors import InvalidInput
from model_envelope.store.rows import RuleRecord
from model_envelope.store.store import Store

Kind = Literal["new", "changed", "removed", "same", "left"]
"""`left` is a rule of the store that is not among those applied, and stays."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleChange:
    """What applying does to one rule.

    Attributes:
        name: the rule's.
        kind: see `Kind`.
        revision: the rule's as it is in the store; 0 where it is new.
        differences: what it says otherwise: key, before, after; None where it says nothing.
    """

    name: str
    kind: Kind
    revision: int
    differences: tuple[tuple[str, Any, Any], ...] = ()


def compare(
    records: Collection[RuleRecord], rules: Sequence[Rule], *, prune: bool = False
) -> tuple[RuleChange, ...]:
    """How the rules of a store differ from others, by name.

    Args:
        records: the rules in force.
        rules: what they should be.
        prune: whether those that should not be are to go.
    """
    there = {record.name: record for record in records}
    changes = [_compared(there.get(rule.name), rule) for rule in rules]
    wanted = {rule.name for rule in rules}
    kind: Kind = "removed" if prune else "left"
    changes += [
        RuleChange(name=name, kind=kind, revision=record.revision)
        for name, record in there.items()
        if name not in wanted
    ]
    return tuple(sorted(changes, key=lambda change: change.name))


def apply(
    store: Store, rules: Sequence[Rule], *, prune: bool = False, actor: str = ""
) -> tuple[RuleChange, ...]:
    """Bring the rules of a store to these: all of it, or nothing.

    A paused rule stays paused, whatever is applied.

    Returns:
        What that changed, and what was so already.

    Raises:
        InvalidInput: two rules would have one name or one service.
    """
    names = [rule.name for rule in rules]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidInput(f"There are two rules {twice!r}: give each a name of its own.")
    changes = compare(store.rules(), rules, prune=prune)
    removed = [change.name for change in changes if change.kind == "removed"]
    store.apply_rules(
        {rule.name: (rule.service, rule.spec()) for rule in rules}, remove=removed, actor=actor
    )
    return changes


def _compared(record: RuleRecord | None, rule: Rule) -> RuleChange:
    after = {"service": rule.service, **rule.spec()}
    if record is None:
        told = tuple(
            (key, None, value) for key, value in after.items() if value not in ("", {}, [])
        )
        return RuleChange(name=rule.name, kind="new", revision=0, differences=told)
    before = {"service": record.service, **record.spec}
    differences = tuple(
        (key, before.get(key), after.get(key))
        for key in {**after, **before}
        if before.get(key) != after.get(key)
    )
    kind: Kind = "changed" if differences else "same"
    return RuleChange(name=rule.name, kind=kind, revision=record.revision, differences=differences)
