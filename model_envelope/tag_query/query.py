"""A tag query that was read: its text, what it asks of tags, what it says of one envelope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from model_envelope.tag_query.expression import (
    Expression,
    HasMetric,
    HasTag,
    IsArchived,
    MetricIs,
    Not,
    TagIn,
    all_of,
    clauses,
    holds,
    leaves,
    render,
    render_key,
    render_metric,
    render_number,
)

_NOTHING: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Clause:
    """One term of a query that must hold, and whether it does for an envelope.

    `found` is what the envelope has instead, e.g. `region='UK', no tag stage`.
    """

    text: str
    holds: bool
    found: str


@dataclass(frozen=True, slots=True)
class TagQuery:
    """A boolean expression over tags and scalar metrics. Made by `parse`.

    Archived envelopes match only a query that mentions `archived`.
    """

    expression: Expression

    @property
    def text(self) -> str:
        """The canonical text: equal queries have equal texts, and `parse` reads it back."""
        return render(self.expression)

    @property
    def keys(self) -> frozenset[str]:
        """Every tag that is asked about."""
        return frozenset(
            leaf.key for leaf in leaves(self.expression) if isinstance(leaf, HasTag | TagIn)
        )

    @property
    def metrics(self) -> frozenset[str]:
        """Every scalar metric that is asked about."""
        return frozenset(
            leaf.name for leaf in leaves(self.expression) if isinstance(leaf, HasMetric | MetricIs)
        )

    @property
    def mentions_archived(self) -> bool:
        """Whether the query itself says which archived envelopes match."""
        return any(isinstance(leaf, IsArchived) for leaf in leaves(self.expression))

    def effective(self, *, include_archived: bool = False) -> Expression:
        """The expression with `not archived` where the query leaves that open."""
        if include_archived or self.mentions_archived:
            return self.expression
        return all_of(self.expression, Not(IsArchived()))

    def evaluate(
        self,
        tags: Mapping[str, str],
        metrics: Mapping[str, float] = _NOTHING,
        archived: bool = False,
    ) -> bool:
        """Whether an envelope with these tags and last metric values matches."""
        return holds(self.effective(), tags, metrics, archived)

    def explain(
        self,
        tags: Mapping[str, str],
        metrics: Mapping[str, float] = _NOTHING,
        archived: bool = False,
    ) -> tuple[Clause, ...]:
        """Which clauses hold for such an envelope; it matches when all do."""
        return tuple(
            Clause(
                text=render(clause),
                holds=holds(clause, tags, metrics, archived),
                found=_found(clause, tags, metrics, archived),
            )
            for clause in clauses(self.effective())
        )

    def __str__(self) -> str:
        return self.text


def _found(
    clause: Expression, tags: Mapping[str, str], metrics: Mapping[str, float], archived: bool
) -> str:
    facts: dict[str, None] = {}
    for leaf in leaves(clause):
        match leaf:
            case HasTag(key) | TagIn(key):
                name = render_key(key)
                fact = f"{name}={tags[key]!r}" if key in tags else f"no tag {name}"
            case HasMetric(metric) | MetricIs(metric):
                name = render_metric(metric)
                fact = (
                    f"{name}={render_number(metrics[metric])}"
                    if metric in metrics
                    else f"no {name}"
                )
            case IsArchived():
                fact = "archived" if archived else "not archived"
        facts[fact] = None
    return ", ".join(facts)
