"""When nothing matches: which clause kept the nearest envelopes out."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, case, literal, select

from model_envelope.store import tag_sql
from model_envelope.store.tables import envelope, metric_latest, tag
from model_envelope.tag_query import TagQuery
from model_envelope.tag_query.expression import Expression, all_of, clauses, holds

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


def _all_but(
    dropped: Collection[Expression], terms: Sequence[Expression], connection: Connection
) -> NearMiss | None:
    kept = TagQuery(all_of(*(term for term in terms if term not in dropped)))
    newest = tag_sql.latest(kept, connection, include_archived=True)
    if newest is None or not dropped:
        return None
    count = tag_sql.count(kept, connection, include_archived=True)
    tags, metrics, archived = _facts(newest, connection)
    return missed(dropped, count, newest, tags=tags, metrics=metrics, archived=archived)


def missed(
    failed: Iterable[Expression],
    count: int,
    newest: str,
    *,
    tags: Mapping[str, str],
    metrics: Mapping[str, float],
    archived: bool,
) -> NearMiss:
    """So many envelopes fail some clauses; what the newest of them has instead."""
    query = TagQuery(all_of(*failed))
    explained = query.explain(tags, metrics, archived and query.mentions_archived)
    return NearMiss(
        clause=query.text,
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
