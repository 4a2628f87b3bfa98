"""Columns of a list of envelopes: facts, tags and metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model_envelope.envelope import EnvelopeRecord
from model_envelope.names import check_metric_name

METRIC = "metric:"
TAG = "tag:"

_FACTS: dict[str, Callable[[EnvelopeRecord], Any]] = {
    "id": lambda record: record.id,
    "tags": lambda record: record.tags,
    "saved": lambda record: record.created_at,
    "reproducible": lambda record: record.reproducible,
    "archived": lambda record: record.archived,
    "description": lambda record: record.description,
    "by": lambda record: record.manifest.provenance.user,
}

DEFAULT = ("id", "tags", "saved", "reproducible")


@dataclass(frozen=True)
class Column:
    """One column: what `name` means is said in `read`."""

    name: str

    @property
    def metric(self) -> str | None:
        """The metric it shows, if it shows one."""
        return self.name.removeprefix(METRIC) if self.name.startswith(METRIC) else None

    def of(self, record: EnvelopeRecord, metrics: Mapping[str, float]) -> Any:
        """Its value for an envelope; None where there is none."""
        if self.metric is not None:
            return metrics.get(self.metric)
        if self.name in _FACTS:
            return _FACTS[self.name](record)
        return record.tags.get(self.name.removeprefix(TAG))


def read(given: str | None, order_by: str) -> tuple[Column, ...]:
    """The columns that were asked for, separated by commas.

    Each is a fact (`id`, `tags`, `saved`, `reproducible`, `archived`, `description`, `by`),
    a metric (`metric:auc`) or a tag (`region`; `tag:id` where the name means something else).

    Raises:
        InvalidName: a metric has no name.
    """
    names = [name.strip() for name in given.split(",")] if given else [*DEFAULT]
    if not given and order_by.startswith(METRIC):
        names.append(order_by)
    columns = tuple(Column(name) for name in dict.fromkeys(names) if name)
    for column in columns:
        if column.metric is not None:
            check_metric_name(column.metric)
    return columns


def metrics_of(columns: Sequence[Column]) -> list[str]:
    """The metrics among columns."""
    return [column.metric for column in columns if column.metric is not None]
