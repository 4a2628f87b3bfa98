"""Tags of the models that match: what a query can be narrowed by."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Query

from model_envelope.names import check_tag_keys
from model_envelope.store.rows import TagFacet
from model_envelope.store.store import Store
from model_envelope.tag_query import TagQuery, parse
from model_envelope.tag_query.expression import (
    Expression,
    HasTag,
    Or,
    TagIn,
    all_of,
    clauses,
    leaves,
)
from model_envelope.web.access import ClientOf
from model_envelope.web.parameters import Q
from model_envelope.web.replies import BY_REVISION
from model_envelope.web.routing import router

reads = router("Models")

MAX_FACETS = 60
MAX_OWN = 10
"""Keys of a query whose own clause is left out of their counts: each takes a query more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """A value of a tag, how many models have it, and whether the query asks for it."""

    value: str
    count: int
    chosen: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Facet:
    """A tag: how many models have it, with how many values, the most frequent of them."""

    key: str
    models: int
    distinct: int
    values: Sequence[Value]


@dataclass(frozen=True, kw_only=True, slots=True)
class Facets:
    """The tags of all that match: what the query asks about first, then the most frequent."""

    matched: int
    facets: Sequence[Facet]


@reads.get("/tags", dependencies=[BY_REVISION])
def facets(
    client: ClientOf,
    *,
    q: Q = "",
    keys: Annotated[
        list[str] | None, Query(max_length=MAX_FACETS, description="These keys only.")
    ] = None,
    top: Annotated[int, Query(ge=1, le=100, description="Values of each, at most.")] = 10,
) -> Facets:
    """Count the tags of the envelopes that match.

    Counts of a tag leave out what the query itself says of that tag, so that its other values
    can be chosen, too.
    """
    store, query = client.store, parse(q or "True")
    wanted = None if keys is None else check_tag_keys(tuple(keys))
    asked = {key: terms for key, terms in _own(query).items() if wanted is None or key in wanted}
    found = {facet.key: facet for facet in store.tag_facets(query, wanted, sys.maxsize)}
    own = {key: _without(store, query, key, terms) for key, terms in asked.items()}
    ordered = own | {key: facet for key, facet in found.items() if key not in own}
    return Facets(
        matched=store.count(query),
        facets=[
            _facet(facet, _chosen(asked.get(key, ())), top)
            for key, facet in list(ordered.items())[:MAX_FACETS]
        ],
    )


def _own(query: TagQuery) -> dict[str, list[Expression]]:
    """The clauses of a query that are about one tag only, by that tag."""
    found: dict[str, list[Expression]] = {}
    for clause in clauses(query.expression):
        about = {leaf.key if isinstance(leaf, HasTag | TagIn) else None for leaf in leaves(clause)}
        key = about.pop() if len(about) == 1 else None
        if key is not None and (key in found or len(found) < MAX_OWN):
            found.setdefault(key, []).append(clause)
    return found


def _without(store: Store, query: TagQuery, key: str, own: Sequence[Expression]) -> TagFacet:
    """A tag of what the rest of a query matches."""
    rest = TagQuery(all_of(*(term for term in clauses(query.expression) if term not in own)))
    counted = store.tag_facets(rest, [key], sys.maxsize)
    return counted[0] if counted else TagFacet(key=key, envelopes=0, values=())


def _chosen(own: Sequence[Expression]) -> list[str]:
    """The values that a query asks for."""
    asked = [
        leaf
        for clause in own
        if isinstance(clause, TagIn | Or)
        for leaf in (clause.terms if isinstance(clause, Or) else (clause,))
    ]
    return [value for leaf in asked if isinstance(leaf, TagIn) for value in leaf.values]


def _facet(facet: TagFacet, chosen: Sequence[str], top: int) -> Facet:
    counts = dict(facet.values)
    shown = dict.fromkeys([*list(counts)[:top], *chosen])
    return Facet(
        key=facet.key,
        models=facet.envelopes,
        distinct=len(counts),
        values=[
            Value(value=value, count=counts.get(value, 0), chosen=value in chosen)
            for value in shown
        ],
    )
