"""Envelopes, as lists show them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from model_envelope.client.client import Client
from model_envelope.envelope import EnvelopeRecord, Reproducible
from model_envelope.store.rows import ServiceRecord

NAME = "canonical_name"

Number = float | Literal["NaN", "Infinity", "-Infinity"] | None
"""A number; what JSON has none for by its name; null where there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRef:
    """A task instance of Airflow."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceRef:
    """A service that an envelope is the live or the wanted one of."""

    name: str
    url: str | None
    live: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRow:
    """An envelope in a list; `name` is its tag `canonical_name`, or empty.

    `metrics` are the last values of the scalars that were asked for.
    """

    id: str
    name: str
    description: str
    tags: Mapping[str, str]
    created_at: datetime
    by: str
    archived: bool
    reproducible: Reproducible
    source: TaskRef | None
    metrics: Mapping[str, Number]
    services: Sequence[ServiceRef]


@dataclass(frozen=True, kw_only=True, slots=True)
class Hint:
    """The clause that keeps most envelopes out, and how many match without it."""

    clause: str
    matches_without: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelList:
    """A page of envelopes; `total` counts all that there are, `matched` all that match."""

    items: Sequence[ModelRow]
    next: str | None
    matched: int
    total: int
    hint: Hint | None


def rows(
    client: Client, records: Sequence[EnvelopeRecord], metrics: Sequence[str] = ()
) -> list[ModelRow]:
    """Envelopes for a list, with two more queries however many there are.

    Args:
        client: of the store.
        records: which.
        metrics: scalars that each is to have, where it has them.
    """
    ids = [record.id for record in records]
    values = client.store.last_values(ids, metrics) if ids and metrics else {}
    services = services_of(client.store.services()) if ids else {}
    nothing = dict.fromkeys(metrics)
    return [
        ModelRow(**fields_of(record, nothing | values.get(record.id, {}), services))
        for record in records
    ]


def fields_of(
    record: EnvelopeRecord,
    values: Mapping[str, float | None],
    services: Mapping[str, Sequence[ServiceRef]],
) -> dict[str, Any]:
    """What a `ModelRow` says of an envelope."""
    return {
        "id": record.id,
        "name": record.tags.get(NAME, ""),
        "description": record.description,
        "tags": record.tags,
        "created_at": record.created_at,
        "by": record.manifest.provenance.user,
        "archived": record.archived,
        "reproducible": record.reproducible,
        "source": task_ref(record.manifest.provenance.airflow),
        "metrics": {name: number(value) for name, value in values.items()},
        "services": services.get(record.id, ()),
    }


def services_of(services: Iterable[ServiceRecord]) -> dict[str, list[ServiceRef]]:
    """The services of each envelope that one runs, or is to run."""
    found: dict[str, list[ServiceRef]] = defaultdict(list)
    for service in services:
        for envelope_id in {service.live_envelope, service.desired_envelope} - {None}:
            live = envelope_id == service.live_envelope
            found[str(envelope_id)].append(
                ServiceRef(name=service.name, url=service.url if live else None, live=live)
            )
    return found


def task_ref(airflow: Mapping[str, str]) -> TaskRef | None:
    """The task that a record names, if it names one."""
    if not airflow.get("dag_id"):
        return None
    index = airflow.get("map_index", "")
    return TaskRef(
        dag_id=airflow["dag_id"],
        run_id=airflow.get("run_id", ""),
        task_id=airflow.get("task_id", ""),
        map_index=int(index) if index.isdecimal() else None,
    )


def number(value: float | None) -> Number:
    """A number as JSON has it, or its name."""
    if value is None or math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
