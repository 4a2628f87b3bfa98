"""The one match that is meant: the newest, or the best by a metric."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from model_envelope.store import tag_sql
from model_envelope.store.paging import by_metric
from model_envelope.store.rows import Choice
from model_envelope.store.tables import envelope
from model_envelope.tag_query import TagQuery
from model_envelope.tag_query.expression import HasMetric, MetricIs, all_of


@dataclass(frozen=True, slots=True)
class BestBy:
    """What makes a match the best: that it was saved last, or the value of a metric.

    Those without the metric are no matches. Of equals, the one that was saved last is best.
    """

    metric: str | None = None
    greatest: bool = True

    def better(self, than: Choice) -> MetricIs | None:
        """What the metric of a better one would be; None where the newer is the better."""
        if self.metric is None or than.value is None:
            return None
        return MetricIs(self.metric, ">" if self.greatest else "<", than.value)


def best(connection: Connection, query: TagQuery, by: BestBy) -> Choice | None:
    """The match that is meant; None if nothing matches."""
    if by.metric is None:
        newest = tag_sql.latest(query, connection)
        if newest is None:
            return None
        revision = select(envelope.c.revision).where(envelope.c.id == newest)
        return Choice(
            envelope_id=newest, revision=connection.execute(revision).scalar_one(), value=None
        )
    having = TagQuery(all_of(query.expression, HasMetric(by.metric)))
    matches = tag_sql.narrowed(having, connection)
    row = connection.execute(
        by_metric(by.metric, by.greatest).add_columns(envelope.c.revision).where(matches).limit(1)
    ).one_or_none()
    if row is None:
        return None
    return Choice(envelope_id=row.id, revision=row.revision, value=row.value)
