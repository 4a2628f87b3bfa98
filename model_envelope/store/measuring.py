"""What charts read of the store: many questions on one consistent state."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection

from model_envelope.store import measured, trending
from model_envelope.store.database import Database
from model_envelope.store.measured import Matches
from model_envelope.store.trending import Bucket, Extent, Span
from model_envelope.tag_query import TagQuery

T = TypeVar("T")


class Measuring:
    """One state of the store; lives as long as its transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def matches(
        self,
        query: TagQuery,
        *,
        tags: Sequence[str] = (),
        metrics: Collection[str] = (),
        hyperparameters: Collection[str] = (),
    ) -> Matches:
        """Every match, in the order of saving, with some of what is known of it."""
        return measured.matches(
            self._connection, query, tags=tags, metrics=metrics, hyperparameters=hyperparameters
        )

    def projections(self, name: str) -> tuple[str, ...]:
        """The scalar metrics that a name stands for: itself, or those of a structured metric."""
        return measured.projections(self._connection, name)

    def newest(self, query: TagQuery, name: str) -> datetime | None:
        """When the newest match was saved that has a scalar metric."""
        return measured.newest(self._connection, query, name)

    def extents(self, span: Span, revisions: Sequence[int]) -> list[Extent]:
        """How much each model logged of a metric; those that logged nothing are left out."""
        return trending.extents(self._connection, span, revisions)

    def points(
        self, span: Span, revisions: Sequence[int]
    ) -> list[tuple[int, int | datetime, float]]:
        """Revision, place and value of each finite point, by model and place."""
        return trending.points(self._connection, span, revisions)

    def buckets(
        self, span: Span, series: Mapping[int, int], first: int, width: int
    ) -> list[Bucket]:
        """Quartiles of each series in buckets of equal width; see `trending.buckets`."""
        return trending.buckets(self._connection, span, series, first, width)


class Measurements:
    """What was measured of many models; see `Store`."""

    _database: Database

    def measuring(self, work: Callable[[Measuring], T]) -> T:
        """The result of `work` on one consistent state; it may run twice."""
        return self._database.read(lambda connection: work(Measuring(connection)))
