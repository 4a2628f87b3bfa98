"""The terms of a tag query, as plain data, and what they mean."""

from __future__ import annotations

import keyword
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Comparison = Literal["==", "<", "<=", ">", ">="]

RESERVED = frozenset({"archived", "metric", "tag"})
"""Words that are no tag keys unless written `tag['archived']`."""

_COMPARE: dict[Comparison, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class HasTag:
    """The envelope has this tag, whatever its value."""

    key: str


@dataclass(frozen=True, slots=True)
class TagIn:
    """The tag has one of these values."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HasMetric:
    """A scalar of this name was logged, and is a number."""

    name: str


@dataclass(frozen=True, slots=True)
class MetricIs:
    """The last value of a scalar metric compares so with a number; never without the metric."""

    name: str
    comparison: Comparison
    number: float


@dataclass(frozen=True, slots=True)
class IsArchived:
    """The envelope is archived."""


@dataclass(frozen=True, slots=True)
class Not:
    """The term does not hold."""

    term: Expression


@dataclass(frozen=True, slots=True)
class And:
    """Every term holds; of no terms, always."""

    terms: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one term holds; of no terms, never."""

    terms: tuple[Expression, ...]


Leaf: TypeAlias = HasTag | TagIn | HasMetric | MetricIs | IsArchived
Expression: TypeAlias = Leaf | Not | And | Or

TRUE = And(())
FALSE = Or(())


def all_of(*terms: Expression) -> Expression:
    """The conjunction of terms, flattened, without repetitions."""
    flat = dict.fromkeys(
        inner for term in terms for inner in (term.terms if isinstance(term, And) else (term,))
    )
    if FALSE in flat:
        return FALSE
    return next(iter(flat)) if len(flat) == 1 else And(tuple(flat))


def any_of(*terms: Expression) -> Expression:
    """The disjunction of terms, flattened, without repetitions."""
    flat = dict.fromkeys(
        inner for term in terms for inner in (term.terms if isinstance(term, Or) else (term,))
    )
    if TRUE in flat:
        return TRUE
    return next(iter(flat)) if len(flat) == 1 else Or(tuple(flat))


def negate(term: Expression) -> Expression:
    """What holds exactly when the term does not."""
    if isinstance(term, Not):
        return term.term
    if term in (TRUE, FALSE):
        return FALSE if term == TRUE else TRUE
    return Not(term)


def clauses(expression: Expression) -> tuple[Expression, ...]:
    """The terms that must all hold, one by one."""
    return expression.terms if isinstance(expression, And) else (expression,)


def leaves(expression: Expression) -> Iterator[Leaf]:
    """Every term that is no connective."""
    match expression:
        case And(terms) | Or(terms):
            for term in terms:
                yield from leaves(term)
        case Not(term):
            yield from leaves(term)
        case _:
            yield expression


def depth(expression: Expression) -> int:
    """How deep connectives are nested: 1 for a leaf."""
    match expression:
        case And(terms) | Or(terms):
            return 1 + max(map(depth, terms), default=0)
        case Not(term):
            return 1 + depth(term)
        case _:
            return 1


def assume(expression: Expression, key: str, value: str) -> Expression:
    """What is left to check of an envelope that is known to have one tag value."""
    match expression:
        case HasTag(k) if k == key:
            return TRUE
        case TagIn(k, values) if k == key:
            return TRUE if value in values else FALSE
        case Not(term):
            return negate(assume(term, key, value))
        case And(terms):
            return all_of(*(assume(term, key, value) for term in terms))
        case Or(terms):
            return any_of(*(assume(term, key, value) for term in terms))
        case _:
            return expression


def holds(  # noqa: PLR0911 - one for each kind of term
    expression: Expression,
    tags: Mapping[str, str],
    metrics: Mapping[str, float],
    archived: bool,
) -> bool:
    """Whether an envelope with these tags and last metric values satisfies the expression.

    A metric that is NaN counts as one that was never logged, as in the store.
    """
    match expression:
        case And(terms):
            return all(holds(term, tags, metrics, archived) for term in terms)
        case Or(terms):
            return any(holds(term, tags, metrics, archived) for term in terms)
        case Not(term):
            return not holds(term, tags, metrics, archived)
        case HasTag(key):
            return key in tags
        case TagIn(key, values):
            return tags.get(key) in values
        case HasMetric(name):
            return not math.isnan(metrics.get(name, math.nan))
        case MetricIs(name, comparison, number):
            return _COMPARE[comparison](metrics.get(name, math.nan), number)
        case IsArchived():
            return archived


def render(expression: Expression) -> str:  # noqa: PLR0911 - one for each kind of term
    """The expression as canonical text: a valid Python expression that parses back to it."""
    match expression:
        case And(()):
            return "True"
        case Or(()):
            return "False"
        case And(terms):
            return " and ".join(
                f"({render(term)})" if isinstance(term, Or) else render(term) for term in terms
            )
        case Or(terms):
            return " or ".join(map(render, terms))
        case Not(TagIn(key, values)):
            return f"{render_key(key)} {_membership(values, '!=', 'not in')}"
        case Not(MetricIs(name, "==", number)):
            return f"{render_metric(name)} != {render_number(number)}"
        case Not(And() | Or() as term):
            return f"not ({render(term)})"
        case Not(term):
            return f"not {render(term)}"
        case _:
            return _render_leaf(expression)


def _render_leaf(leaf: Leaf) -> str:
    match leaf:
        case HasTag(key):
            return render_key(key)
        case TagIn(key, values):
            return f"{render_key(key)} {_membership(values, '==', 'in')}"
        case HasMetric(name):
            return render_metric(name)
        case MetricIs(name, comparison, number):
            return f"{render_metric(name)} {comparison} {render_number(number)}"
        case IsArchived():
            return "archived"


def render_key(key: str) -> str:
    """How a query names a tag: bare where that is possible."""
    bare = _NAME.fullmatch(key) and not keyword.iskeyword(key) and key not in RESERVED
    return key if bare else f"tag[{key!r}]"


def render_metric(name: str) -> str:
    """How a query names a metric: dotted where that is possible."""
    dotted = all(_NAME.fullmatch(part) and not keyword.iskeyword(part) for part in name.split("."))
    return f"metric.{name}" if dotted else f"metric[{name!r}]"


def render_number(number: float) -> str:
    """A number in the shortest form that reads back to it."""
    return repr(number).removesuffix(".0")


def _membership(values: tuple[str, ...], one: str, many: str) -> str:
    return f"{one} {values[0]!r}" if len(values) == 1 else f"{many} {values!r}"
