"""Many queries of one moment: what they ask of tags and metrics is read once for all.

Each set of envelopes is an integer: bit n is of the envelope with revision n. A negated set
is negative, with every bit above set; so only what no tag limits asks which envelopes
there are.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import takewhile
from operator import and_, or_
from typing import TypeVar

from sqlalchemy import Connection, select

from model_envelope.store import bitmaps, reading
from model_envelope.store.near_misses import MAX_CLAUSES, NearMiss, missed
from model_envelope.store.tables import envelope, metric_latest
from model_envelope.tag_query import TagQuery
from model_envelope.tag_query.expression import (
    And,
    Expression,
    HasMetric,
    HasTag,
    IsArchived,
    Leaf,
    MetricIs,
    Not,
    Or,
    TagIn,
    all_of,
    clauses,
    holds,
    leaves,
)

T = TypeVar("T")

CHUNK = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """A query, and which of its matches is meant: the newest, or the best by a metric.

    With a metric, those that do not have it are no matches, and of equals the newest is meant.
    """

    query: TagQuery
    metric: str | None = None
    greatest: bool = True

    @property
    def terms(self) -> tuple[Expression, ...]:
        """What must hold, one by one."""
        having = () if self.metric is None else (HasMetric(self.metric),)
        return clauses(all_of(self.query.effective(), *having))


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What is meant by a query.

    Attributes:
        envelope_id: None if nothing matches.
        value: of the metric that it is the best by.
        near: what would be meant instead but for one clause, the newest first; where there
            is nothing such, and no match either, what satisfies most.
    """

    envelope_id: str | None = None
    value: float | None = None
    near: tuple[NearMiss, ...] = ()


@dataclass(frozen=True, slots=True)
class _Miss:
    """Envelopes that fail some clauses, by the revision of the newest."""

    newest: int
    count: int
    failed: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """An answer in revisions."""

    chosen: int | None
    value: float | None
    misses: tuple[_Miss, ...]


def survey(connection: Connection, asks: Sequence[Ask], *, explain: bool) -> list[Answer]:
    """What is meant by each of many queries; see `Store.survey`."""
    facts = _Facts(connection, [leaf for ask in asks for leaf in leaves(And(ask.terms))])
    found = [_find(ask, facts, explain=explain) for ask in asks]
    known = _Known(connection, facts, found)
    return [
        Answer(
            envelope_id=None if one.chosen is None else known.ids[one.chosen],
            value=one.value,
            near=tuple(map(known.told, one.misses)),
        )
        for one in found
    ]


def _find(ask: Ask, facts: _Facts, *, explain: bool) -> _Found:
    terms = ask.terms
    masks = [facts.mask(term) for term in terms]
    matches = facts.those(reduce(and_, masks, -1))
    chosen = value = None
    better = -1
    if ask.metric is None:
        if matches:
            chosen = matches.bit_length() - 1
            better = -1 << chosen + 1
    else:
        bits = matches.to_bytes(matches.bit_length() // 8 + 1, "little")
        ranked = facts.ranked(ask.metric, ask.greatest)
        chosen, value = next(((r, v) for r, v in ranked if _has(bits, r)), (None, None))
        if value is not None:
            better = _mask(r for r, _ in takewhile(lambda pair: pair[1] != value, ranked))
    if not explain:
        return _Found(chosen, value, ())
    misses = [_all_but(i, terms, masks, better, facts) for i in range(len(terms))[:MAX_CLAUSES]]
    near = sorted(filter(None, misses), key=lambda miss: -miss.newest)
    if not near and chosen is None:
        near = _nearest(terms, masks, facts)
    return _Found(chosen, value, tuple(near))


def _all_but(
    i: int, terms: Sequence[Expression], masks: Sequence[int], better: int, facts: _Facts
) -> _Miss | None:
    """What fails one clause only, and would be better."""
    others = reduce(and_, (mask for j, mask in enumerate(masks) if j != i), -1)
    near = facts.those(others & ~masks[i] & better)
    return _Miss(near.bit_length() - 1, near.bit_count(), (terms[i],)) if near else None


def _nearest(terms: Sequence[Expression], masks: Sequence[int], facts: _Facts) -> list[_Miss]:
    """The newest of those that satisfy most clauses."""
    # At each place, those that satisfy so many clauses or more.
    satisfied = [facts.there, *[0] * len(masks)]
    for mask in masks:
        for i in range(len(masks), 0, -1):
            satisfied[i] |= satisfied[i - 1] & mask
    most = next((those for those in reversed(satisfied) if those), 0)
    if not most:
        return []
    newest = most.bit_length() - 1
    failed = [i for i, mask in enumerate(masks) if not mask >> newest & 1]
    kept = reduce(and_, (mask for i, mask in enumerate(masks) if i not in failed), -1)
    count = facts.those(kept).bit_count()
    return [_Miss(newest, count, tuple(terms[i] for i in failed))]


class _Facts:
    """What leaves of queries say of envelopes."""

    def __init__(self, connection: Connection, asked: Collection[Leaf]) -> None:
        self._connection = connection
        keys = {leaf.key for leaf in asked if isinstance(leaf, HasTag)}
        values = {(a.key, value) for a in asked if isinstance(a, TagIn) for value in a.values}
        self._tags = bitmaps.whole(connection, values, keys)
        self._keys: dict[str, int] = defaultdict(int)
        for (key, _), bits in self._tags.items():
            self._keys[key] |= bits
        self._metrics = self._read_metrics(
            {leaf.name for leaf in asked if isinstance(leaf, HasMetric | MetricIs)}
        )
        self._masks: dict[Leaf, int] = {}
        self._ranked: dict[tuple[str, bool], list[tuple[int, float]]] = {}

    def mask(self, expression: Expression) -> int:
        """Those that satisfy an expression; negative where others may, too."""
        match expression:
            case And(terms):
                return reduce(and_, map(self.mask, terms), -1)
            case Or(terms):
                return reduce(or_, map(self.mask, terms), 0)
            case Not(term):
                return ~self.mask(term)
            case _:
                if expression not in self._masks:
                    self._masks[expression] = self._leaf(expression)
                return self._masks[expression]

    def _leaf(self, leaf: Leaf) -> int:
        match leaf:
            case HasTag(key):
                return self._keys[key]
            case TagIn(key, values):
                return reduce(or_, (self._tags.get((key, value), 0) for value in values), 0)
            case IsArchived():
                return self.archived
            case HasMetric(name):
                return _mask(revision for revision, _ in self._metrics[name])
            case MetricIs(name):
                satisfying = (
                    revision
                    for revision, value in self._metrics[name]
                    if holds(leaf, {}, {name: value}, False)
                )
                return _mask(satisfying)

    def those(self, mask: int) -> int:
        """Envelopes of a mask."""
        return mask & self.there if mask < 0 else mask

    def ranked(self, metric: str, greatest: bool) -> list[tuple[int, float]]:
        """Revisions with their values, the best first, of equals the newest."""
        at = metric, greatest
        if at not in self._ranked:
            sign = -1 if greatest else 1
            rows = self._metrics[metric]
            self._ranked[at] = sorted(rows, key=lambda row: (sign * row[1], -row[0]))
        return self._ranked[at]

    @cached_property
    def there(self) -> int:
        """Every envelope that was not deleted."""
        return _mask(self._connection.scalars(select(envelope.c.revision).where(reading.live)))

    @cached_property
    def archived(self) -> int:
        """Every archived one."""
        chosen = select(envelope.c.revision).where(reading.live, envelope.c.archived)
        return _mask(self._connection.scalars(chosen))

    def _read_metrics(self, names: Collection[str]) -> dict[str, list[tuple[int, float]]]:
        found: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for name in sorted(names):
            chosen = (
                select(envelope.c.revision, metric_latest.c.value)
                .join_from(metric_latest, envelope, metric_latest.c.envelope_id == envelope.c.id)
                .where(
                    metric_latest.c.name == name,
                    metric_latest.c.value.is_not(None),
                    reading.live,
                )
            )
            found[name] = [(row.revision, row.value) for row in self._connection.execute(chosen)]
        return found


class _Known:
    """The envelopes of revisions that were found."""

    def __init__(self, connection: Connection, facts: _Facts, found: Sequence[_Found]) -> None:
        self._facts = facts
        misses = [miss for one in found for miss in one.misses]
        chosen = {one.chosen for one in found if one.chosen is not None}
        self.ids = _ids(connection, chosen | {miss.newest for miss in misses})
        near = sorted({self.ids[miss.newest] for miss in misses})
        self._tags: dict[str, Mapping[str, str]] = defaultdict(dict)
        self._metrics: dict[str, dict[str, float]] = defaultdict(dict)
        for some in _chunks(near):
            self._tags |= reading.tags_of(connection, some)
            values = select(metric_latest).where(metric_latest.c.envelope_id.in_(some))
            for row in connection.execute(values):
                value = math.nan if row.value is None else row.value
                self._metrics[row.envelope_id][row.name] = value

    def told(self, miss: _Miss) -> NearMiss:
        """What the newest envelope of a miss has instead."""
        envelope_id = self.ids[miss.newest]
        return missed(
            miss.failed,
            miss.count,
            envelope_id,
            tags=self._tags[envelope_id],
            metrics=self._metrics[envelope_id],
            archived=bool(self._facts.archived >> miss.newest & 1),
        )


def _ids(connection: Connection, revisions: Collection[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for some in _chunks(sorted(revisions)):
        chosen = select(envelope.c.revision, envelope.c.id).where(envelope.c.revision.in_(some))
        found |= {row.revision: row.id for row in connection.execute(chosen)}
    return found


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


def _mask(revisions: Iterable[int]) -> int:
    """The set of some revisions."""
    bits = bytearray()
    for revision in revisions:
        place = revision >> 3
        if place >= len(bits):
            bits.extend(bytes(place + 1 - len(bits) + (len(bits) >> 1)))
        bits[place] |= 1 << (revision & 7)
    return int.from_bytes(bits, "little")


def _has(bits: bytes, revision: int) -> bool:
    return revision >> 3 < len(bits) and bool(bits[revision >> 3] >> (revision & 7) & 1)
