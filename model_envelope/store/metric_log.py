"""The part of the store that keeps what was measured: metrics and hyperparameters."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from model_envelope.store import metrics
from model_envelope.store.database import Database
from model_envelope.store.rows import Inventory, MetricPoint
from model_envelope.tag_query import TagQuery


class MetricLog:
    """Metrics and hyperparameters of envelopes; one transaction for each call, see `Store`."""

    _database: Database

    def log_metrics(self, envelope_id: str, points: Sequence[MetricPoint], actor: str = "") -> None:
        """Log points of one envelope; a step that was logged before is replaced.

        Raises:
            EnvelopeNotFound: there is no such envelope.
            InvalidInput: a name or a value that cannot be kept.
        """
        self.log_many({envelope_id: points}, actor)

    def log_many(self, points: Mapping[str, Sequence[MetricPoint]], actor: str = "") -> None:
        """Log points of several envelopes by their ids, all or none.

        Raises:
            EnvelopeNotFound: one of the envelopes is not there.
            InvalidInput: a name or a value that cannot be kept.
        """
        self._database.write(lambda c: metrics.log_many(c, points, actor))

    def metric_rows(
        self,
        query: TagQuery | None = None,
        names: Collection[str] | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        envelope_ids: Collection[str] | None = None,
        tags: Sequence[str] = (),
    ) -> dict[str, list[Any]]:
        """Columns of logged points: `metrics.COLUMNS`, by envelope, name and step.

        Args:
            query: which envelopes; every one that is not deleted unless given.
            names: which metrics; all unless given.
            since: logged at this time or later.
            until: logged before this time.
            envelope_ids: which envelopes, instead of or besides `query`.
            tags: keys of tags to add, each as a column `tag.<key>`.
        """
        return self._database.read(
            lambda c: metrics.metric_rows(
                c,
                query=query,
                names=names,
                since=since,
                until=until,
                envelope_ids=envelope_ids,
                tags=tags,
            )
        )

    def last_values(
        self, envelope_ids: Collection[str], names: Collection[str] | None = None
    ) -> dict[str, dict[str, float]]:
        """The last values of scalar metrics, by envelope and name; all names unless given."""
        return self._database.read(lambda c: metrics.last_values(c, envelope_ids, names))

    def last_points(self, envelope_id: str) -> tuple[MetricPoint, ...]:
        """The last point of everything that an envelope logged, without structured bodies."""
        return self._database.read(lambda c: metrics.last_points(c, envelope_id))

    def inventory(self, query: TagQuery) -> Inventory:
        """What matching envelopes have, and how many of them each of it."""
        return self._database.read(lambda c: metrics.inventory(c, query))

    def metric_names(self, query: TagQuery) -> tuple[str, ...]:
        """The names of everything that matching envelopes logged."""
        return self._database.read(lambda c: metrics.metric_names(c, query))

    def set_hyperparameters(
        self, envelope_id: str, values: Mapping[str, Any], actor: str = ""
    ) -> None:
        """Record hyperparameters: plain JSON values; those of the same names are replaced.

        Raises:
            EnvelopeNotFound: there is no such envelope.
            InvalidInput: a name, or a value that is not JSON.
        """
        self._database.write(lambda c: metrics.set_hyperparameters(c, envelope_id, values, actor))

    def hyperparameters(self, envelope_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """The hyperparameters of envelopes, by id and name."""
        return self._database.read(lambda c: metrics.hyperparameters(c, envelope_ids))
