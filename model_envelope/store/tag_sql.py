"""Tag queries as SQL, with the same meaning as `TagQuery.evaluate`.

Three ways to find envelopes. A scan walks all of them and checks each. But most queries have
a *cover*: a few tag values of which every match must have one, such as the rarest tag of a
conjunction. Where the cover is small, only the envelopes with these values are walked, newest
first, along the primary key of `tag`, and what the query still asks is checked by one index
look-up each. Where even the rarest tag is common, the bitmaps of all tags say which envelopes
to check, or that there is none.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import islice
from math import inf
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
    union,
)

from model_envelope.store import bitmaps
from model_envelope.store.bitmaps import TagValue
from model_envelope.store.tables import envelope, metric_latest, tag, tag_count
from model_envelope.tag_query import TagQuery
from model_envelope.tag_query.expression import (
    And,
    Comparison,
    Expression,
    HasMetric,
    HasTag,
    IsArchived,
    MetricIs,
    Not,
    Or,
    TagIn,
    assume,
    clauses,
    leaves,
)

MAX_WALK_TERMS = 256
"""Terms of all walks together: what a statement may hold."""

MAX_SCAN_TERMS = 8
"""Terms looked up for each row of a scan; more are read at once."""

MAX_LOOKUPS = 5_000
"""Envelopes for which tags are looked up one by one when all matches are read."""

MAX_WALK = 500
"""Envelopes walked; of more, the bitmaps of several tags tell which to look at."""

FIRST_LOOK = 4
"""Envelopes looked at first of those that bitmaps tell."""

MAX_LOOK = 4_000
"""Envelopes looked at by one statement."""

_COMPARE: Mapping[Comparison, Callable[[Any, float], ColumnElement[bool]]] = {
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def matches(
    query: TagQuery, *, include_archived: bool = False, at_once: bool = False
) -> ColumnElement[bool]:
    """A predicate over `envelope`: visible and matched.

    Args:
        query: what must hold.
        include_archived: also archived envelopes where the query does not mention them.
        at_once: read each tag and metric once, instead of looking it up for each row.
    """
    return _visible(query.effective(include_archived=include_archived), at_once)


def narrowed(
    query: TagQuery, connection: Connection, *, include_archived: bool = False
) -> ColumnElement[bool]:
    """`matches`, for statements that read every match: counts, metrics, other orders.

    Only the cover is read where there is one. Where it is large, or there is none, each tag
    and metric is read once for all envelopes instead of being looked up for each.
    """
    expression = query.effective(include_archived=include_archived)
    counts = _counts(expression, connection)
    return _narrowed(expression, _cover(expression, counts), counts)


def count(query: TagQuery, connection: Connection, *, include_archived: bool = False) -> int:
    """How many envelopes match."""
    which = narrowed(query, connection, include_archived=include_archived)
    return connection.scalar(select(func.count()).select_from(envelope).where(which)) or 0


def latest(
    query: TagQuery, connection: Connection, *, include_archived: bool = False
) -> str | None:
    """The id of the match that was committed last."""
    found = newest(query, connection, limit=1, include_archived=include_archived)
    return found[0] if found else None


def newest(
    query: TagQuery,
    connection: Connection,
    *,
    limit: int,
    beyond: int | None = None,
    descending: bool = True,
    include_archived: bool = False,
) -> list[str]:
    """The ids of matches in commit order.

    Args:
        query: what must hold.
        connection: in a transaction.
        limit: at most this many.
        beyond: only envelopes that come after the one with this revision.
        descending: newest first; else oldest first.
        include_archived: also archived envelopes where the query does not mention them.
    """
    expression = query.effective(include_archived=include_archived)
    counts = _counts(expression, connection)
    cover = _cover(expression, counts)
    window = _Window(limit, beyond, descending)
    asked = _asked(expression)
    if cover is not None and len(asked) > 1 and _size(cover, counts) > MAX_WALK:
        return _by_bitmaps(connection, expression, frozenset().union(*asked), window)
    terms = sum(1 for _ in leaves(expression))
    if cover is None or len(cover) * terms > MAX_WALK_TERMS:
        lookups = cover is None and terms <= MAX_SCAN_TERMS
        which = _visible(expression) if lookups else _narrowed(expression, cover, counts)
        scan = select(envelope.c.revision, envelope.c.id).where(which)
        return window.ids(connection, [window.of(scan, envelope.c.revision)])
    ordered = _rarest_first(expression, counts)
    walks = [_walk(assume(ordered, *value), value, window) for value in sorted(cover)]
    return window.ids(connection, walks)


def _visible(expression: Expression, at_once: bool = False) -> ColumnElement[bool]:
    row = _Row(envelope.c.id, envelope.c.revision, is_envelope=True, at_once=at_once)
    return and_(envelope.c.deleted_at.is_(None), row.satisfies(expression))


def _narrowed(
    expression: Expression, cover: frozenset[TagValue] | None, counts: Mapping[TagValue, int]
) -> ColumnElement[bool]:
    if cover is None:
        return _visible(expression, at_once=True)
    values: dict[str, list[str]] = defaultdict(list)
    for key, value in sorted(cover):
        values[key].append(value)
    covered = or_(false(), *(_is_any(tag, key, found) for key, found in values.items()))
    return and_(
        envelope.c.revision.in_(select(tag.c.revision).where(covered)),
        _visible(expression, at_once=_size(cover, counts) > MAX_LOOKUPS),
    )


@dataclass(frozen=True)
class _Window:
    """A stretch of the envelopes in commit order."""

    limit: int
    beyond: int | None
    descending: bool

    def of(self, rows: Select[Any], revision: ColumnElement[int]) -> Select[Any]:
        """The stretch of some rows."""
        if self.beyond is not None:
            rows = rows.where(revision < self.beyond if self.descending else revision > self.beyond)
        return rows.order_by(revision.desc() if self.descending else revision).limit(self.limit)

    def ids(self, connection: Connection, walks: Sequence[Select[Any]]) -> list[str]:
        """The envelopes of several walks together, each once."""
        if not walks:
            return []
        chosen = walks[0]
        if len(walks) > 1:
            merged = union(*(walk.subquery().select() for walk in walks)).subquery()
            chosen = self.of(merged.select(), merged.c.revision)
        return [row.id for row in connection.execute(chosen)]


def _walk(rest: Expression, value: TagValue, window: _Window) -> Select[Any]:
    """The envelopes with one tag value that satisfy the rest, along the primary key of `tag`."""
    walked = tag.alias("walked")
    row = _Row(walked.c.envelope_id, walked.c.revision)
    rows = select(walked.c.revision, walked.c.envelope_id.label("id")).where(
        *_is(walked, value),
        row.satisfies(rest),
        row.in_envelope(envelope.c.deleted_at.is_(None)),
    )
    return window.of(rows, walked.c.revision)


def _by_bitmaps(
    connection: Connection, expression: Expression, values: Collection[TagValue], window: _Window
) -> list[str]:
    """The matches among the envelopes that have the tags, by the bits of their tags."""
    revisions = (
        revision
        for block in bitmaps.read(connection, values, window.beyond, window.descending)
        for revision in block.revisions(
            _possible(expression, block.bits) or 0, window.beyond, window.descending
        )
    )
    which = _visible(expression)
    found: list[str] = []
    look = max(FIRST_LOOK, window.limit)
    while len(found) < window.limit and (some := list(islice(revisions, look))):
        rows = select(envelope.c.revision, envelope.c.id)
        rows = rows.where(envelope.c.revision.in_(some), which)
        left = replace(window, limit=window.limit - len(found))
        found += left.ids(connection, [left.of(rows, envelope.c.revision)])
        look = min(look * 4, MAX_LOOK)
    return found


def _possible(expression: Expression, bits: Mapping[TagValue, int]) -> int | None:
    """The bits of envelopes that may satisfy an expression; None where tags do not tell."""
    match expression:
        case TagIn(key, values):
            return reduce(operator.or_, (bits.get((key, value), 0) for value in values), 0)
        case And(terms):
            parts = [part for term in terms if (part := _possible(term, bits)) is not None]
            return reduce(operator.and_, parts) if parts else None
        case Or(terms):
            every = [_possible(term, bits) for term in terms]
            parts = [part for part in every if part is not None]
            return reduce(operator.or_, parts, 0) if len(parts) == len(every) else None
        case _:
            return None


def _asked(expression: Expression) -> list[frozenset[TagValue]]:
    """The tag values of each term that `_possible` looks at."""
    match expression:
        case TagIn(key, values):
            return [frozenset((key, value) for value in values)]
        case And(terms) | Or(terms):
            return [values for term in terms for values in _asked(term)]
        case _:
            return []


def _is(tags: FromClause, value: TagValue) -> tuple[ColumnElement[bool], ...]:
    return tags.c.key == value[0], tags.c.value == value[1]


def _is_any(tags: FromClause, key: str, values: Sequence[str]) -> ColumnElement[bool]:
    return and_(tags.c.key == key, tags.c.value.in_(values))


def _counts(expression: Expression, connection: Connection) -> Mapping[TagValue, int]:
    """How many envelopes have each tag value of an expression."""
    asked = [leaf for leaf in leaves(expression) if isinstance(leaf, TagIn)]
    if not asked:
        return {}
    of_any = or_(*(_is_any(tag_count, leaf.key, leaf.values) for leaf in asked))
    rows = connection.execute(select(tag_count).where(of_any))
    return {(row.key, row.value): row.envelopes for row in rows}


def _cover(expression: Expression, counts: Mapping[TagValue, int]) -> frozenset[TagValue] | None:
    """Tag values of which every match has at least one: the rarest such set, if there is any."""
    match expression:
        case TagIn(key, values):
            return frozenset((key, value) for value in values)
        case And(terms):
            covers = [cover for term in terms if (cover := _cover(term, counts)) is not None]
            return min(covers, key=lambda cover: _size(cover, counts), default=None)
        case Or(terms):
            parts = [_cover(term, counts) for term in terms]
            known = [part for part in parts if part is not None]
            return frozenset().union(*known) if len(known) == len(parts) else None
        case _:
            return None


def _size(cover: Iterable[TagValue], counts: Mapping[TagValue, int]) -> int:
    return sum(counts.get(value, 0) for value in cover)


def _rarest_first(expression: Expression, counts: Mapping[TagValue, int]) -> Expression:
    """The same conjunction with the terms first that exclude most."""

    def size(term: Expression) -> float:
        cover = _cover(term, counts)
        return inf if cover is None else _size(cover, counts)

    return And(tuple(sorted(clauses(expression), key=size)))


@dataclass(frozen=True)
class _Row:
    """A row that stands for an envelope, and predicates over it.

    Tags and metrics are looked up for each row, or read `at_once` for all. OFFSET and IS TRUE
    hold PostgreSQL to that: else it makes joins of both, and its plan is as good as its
    statistics, which know nothing of how keys and values go together.
    """

    id: ColumnElement[str]
    revision: ColumnElement[int]
    is_envelope: bool = False
    at_once: bool = False

    def satisfies(  # noqa: PLR0911 - one for each kind of term
        self, expression: Expression
    ) -> ColumnElement[bool]:
        """The expression, of the row's envelope."""
        match expression:
            case And(terms):
                return and_(true(), *map(self.satisfies, terms))
            case Or(terms):
                return or_(false(), *map(self.satisfies, terms))
            case Not(term):
                return not_(self.satisfies(term))
            case IsArchived():
                return self.in_envelope(envelope.c.archived)
            case HasTag(key):
                return self._has(tag.c.envelope_id, tag.c.key == key)
            case TagIn(key, (value,)):
                return self._has(tag.c.revision, *_is(tag, (key, value)))
            case TagIn(key, values):
                return self._has(tag.c.envelope_id, tag.c.key == key, tag.c.value.in_(values))
            case HasMetric(name):
                return self._has_metric(name, metric_latest.c.value.is_not(None))
            case MetricIs(name, comparison, number):
                return self._has_metric(name, _COMPARE[comparison](metric_latest.c.value, number))

    def in_envelope(self, condition: ColumnElement[bool]) -> ColumnElement[bool]:
        """A condition on the row's envelope."""
        return condition if self.is_envelope else self._has(envelope.c.id, condition)

    def _has_metric(self, name: str, condition: ColumnElement[bool]) -> ColumnElement[bool]:
        return self._has(metric_latest.c.envelope_id, metric_latest.c.name == name, condition)

    def _has(self, link: Column[Any], *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
        """Whether a row of another table meets the conditions and is of this row's envelope."""
        own = self.revision if link is tag.c.revision else self.id
        found: Select[Any] = select(link).where(*conditions)
        if self.at_once:
            return own.in_(found).is_(true())
        return found.where(link == own).offset(literal_column("0")).exists()
