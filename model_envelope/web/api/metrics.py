"""What was measured: of all models that match, and of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from model_envelope.metrics.points import number_of
from model_envelope.metrics.scalar import Scalar
from model_envelope.tag_query import parse
from model_envelope.web.access import ClientOf
from model_envelope.web.parameters import EnvelopeId, Q
from model_envelope.web.replies import BY_REVISION
from model_envelope.web.routing import router
from model_envelope.web.shapes.details import previous_of
from model_envelope.web.shapes.models import Number, number

reads = router("Metrics")


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricCount:
    """A metric, and how many of the models have it."""

    name: str
    type: str
    scalar: bool
    models: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HyperparameterCount:
    """A hyperparameter, and how many of the models have it."""

    name: str
    models: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TagCount:
    """A tag, how many different values it has, and how many of the models have it."""

    key: str
    values: int
    models: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What charts of the matching models can be made of, the most frequent first."""

    matched: int
    metrics: Sequence[MetricCount]
    hyperparameters: Sequence[HyperparameterCount]
    tags: Sequence[TagCount]


@dataclass(frozen=True, kw_only=True, slots=True)
class LastScalar:
    """The last value of a scalar metric; `previous` is that of the model before."""

    name: str
    value: Number
    step: int
    at: datetime
    previous: Number


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawable:
    """A metric that draws itself."""

    name: str
    type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelMetrics:
    """What one model logged; `previous` is the id of the model before."""

    previous: str | None
    scalars: Sequence[LastScalar]
    charts: Sequence[Drawable]


@reads.get("/metrics", dependencies=[BY_REVISION])
def measured(client: ClientOf, q: Q = "") -> Measured:
    """List what the envelopes that match have logged, with how many have it."""
    store, query = client.store, parse(q or "True")
    found = store.inventory(query)
    metrics = [
        MetricCount(name=name, type=kind, scalar=kind == Scalar.type, models=models)
        for (name, kind), models in found.metrics.items()
    ]
    parameters = [
        HyperparameterCount(name=name, models=models)
        for name, models in found.hyperparameters.items()
    ]
    return Measured(
        matched=store.count(query),
        metrics=sorted(metrics, key=lambda one: (-one.models, one.name)),
        hyperparameters=sorted(parameters, key=lambda one: (-one.models, one.name)),
        tags=[
            TagCount(key=key, values=values, models=models)
            for key, (models, values) in found.tags.items()
        ],
    )


@reads.get("/models/{envelope_id}/metrics", dependencies=[BY_REVISION])
def model_metrics(client: ClientOf, envelope_id: EnvelopeId) -> ModelMetrics:
    """Show the last values of an envelope's scalars, and what else of its can be drawn."""
    store = client.store
    record = store.resolve(envelope_id)
    points = store.last_points(record.id)
    earlier = previous_of(client, record)
    before = store.last_values([earlier.id])[earlier.id] if earlier else {}
    return ModelMetrics(
        previous=earlier.id if earlier else None,
        scalars=[
            LastScalar(
                name=point.name,
                value=number(number_of(point.value, point.body)),
                step=point.step,
                at=point.at,
                previous=number(before.get(point.name)),
            )
            for point in points
            if point.type == Scalar.type
        ],
        charts=[
            Drawable(name=point.name, type=point.type)
            for point in points
            if point.type != Scalar.type
        ],
    )
