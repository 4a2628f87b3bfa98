"""When nothing matches, or nothing better: which clause kept the nearest envelopes out."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, case, func, literal, select

from model_envelope.store import tag_sql
from model_envelope.store.choosing import BestBy
from model_envelope.store.rows import Choice
from model_envelope.store.tables import envelope, metric_latest, tag
from model_envelope.tag_query import TagQuery
from model_envelope.tag_query.expression import (
    Expression,
    HasMetric,
    all_of,
    clauses,
    holds,
    negate,
)

MAX_CLAUSES = 20
"""Clauses tried one by one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NearMiss:
    """Envelopes that satisfy a query but for one clause.

    Where no envelope fails one clause only, `clause` joins those that the nearest fails.

    Attributes:
        clause: what they fail, e.g. `passes_tests == 'true'`.
        envelopes: how many.
        newest: the id of the last of them.
        found: what that one has instead, e.g. `passes_tests='false'`.
    """

    clause: str
    envelopes: int
    newest: str
    found: str


def near_misses(
    query: TagQuery, connection: Connection, *, include_archived: bool = False
) -> tuple[NearMiss, ...]:
    """Why a query without a match has none: the clauses, most excluding first.

    Empty if and only if there is no envelope at all, or nothing was asked.
    """
    terms = clauses(query.effective(include_archived=include_archived))
    misses = [_all_but([term], terms, connection) for term in terms[:MAX_CLAUSES]]
    if not any(misses):
        misses = [_all_but(_failed_by_nearest(terms, connection), terms, connection)]
    return tuple(sorted(filter(None, misses), key=lambda miss: -miss.envelopes))


def nearer(
    query: TagQuery, connection: Connection, than: Choice, best_by: BestBy
) -> tuple[NearMiss, ...]:
    """Envelopes that would come before a match but for one clause, the newest first.

    Empty where the match would be chosen anyway.
    """
    found = []
    terms = clauses(query.effective())
    better = best_by.better(than)
    for term in terms[:MAX_CLAUSES]:
        if better is not None and term == HasMetric(better.name):
            continue
        others = [other for other in terms if other != term]
        kept = TagQuery(all_of(*others, negate(term), *([better] if better else [])))
        after = than.revision if better is None else 0
        newest = tag_sql.latest(kept, connection, include_archived=True)
        if newest is None or (newest_revision := _revision(connection, newest)) <= after:
            continue
        count = _count(kept, connection, after)
        found.append((newest_revision, _missed([term], newest, count, connection)))
    return tuple(miss for _, miss in sorted(found, key=lambda pair: -pair[0]))


def _revision(connection: Connection, envelope_id: str) -> int:
    chosen = select(envelope.c.revision).where(envelope.c.id == envelope_id)
    return int(connection.execute(chosen).scalar_one())


def _count(query: TagQuery, connection: Connection, after: int) -> int:
    if not after:
        return tag_sql.count(query, connection, include_archived=True)
    which = tag_sql.matches(query, include_archived=True), envelope.c.revision > after
    return connection.scalar(select(func.count()).select_from(envelope).where(*which)) or 0


def _all_but(
    dropped: Collection[Expression], terms: Sequence[Expression], connection: Connection
) -> NearMiss | None:
    kept = TagQuery(all_of(*(term for term in terms if term not in dropped)))
    newest = tag_sql.latest(kept, connection, include_archived=True)
    if newest is None or not dropped:
        return None
    count = tag_sql.count(kept, connection, include_archived=True)
    return _missed(dropped, newest, count, connection)


def _missed(
    dropped: Collection[Expression], newest: str, count: int, connection: Connection
) -> NearMiss:
    failed = TagQuery(all_of(*dropped))
    tags, metrics, archived = _facts(newest, connection)
    explained = failed.explain(tags, metrics, archived and failed.mentions_archived)
    return NearMiss(
        clause=failed.text,
        envelopes=count,
        newest=newest,
        found=", ".join(clause.found for clause in explained if not clause.holds),
    )


def _failed_by_nearest(
    terms: Sequence[Expression], connection: Connection
) -> tuple[Expression, ...]:
    """The terms that the newest of the envelopes that satisfy most does not."""
    satisfied = [
        case((tag_sql.matches(TagQuery(term), include_archived=True, at_once=True), 1), else_=0)
        for term in terms
    ]
    nearest = connection.scalar(
        select(envelope.c.id)
        .where(envelope.c.deleted_at.is_(None))
        .order_by(sum(satisfied, literal(0)).desc(), envelope.c.revision.desc())
        .limit(1)
    )
    if nearest is None:
        return ()
    tags, metrics, archived = _facts(nearest, connection)
    return tuple(term for term in terms if not holds(term, tags, metrics, archived))


def _facts(
    envelope_id: str, connection: Connection
) -> tuple[Mapping[str, str], Mapping[str, float], bool]:
    """An envelope's tags, last metric values, and whether it is archived."""
    tags = select(tag.c.key, tag.c.value).where(tag.c.envelope_id == envelope_id)
    values = select(metric_latest.c.name, metric_latest.c.value).where(
        metric_latest.c.envelope_id == envelope_id
    )
    archived = select(envelope.c.archived).where(envelope.c.id == envelope_id)
    return (
        {row.key: row.value for row in connection.execute(tags)},
        {
            row.name: math.nan if row.value is None else row.value
            for row in connection.execute(values)
        },
        bool(connection.scalar(archived)),
    )
