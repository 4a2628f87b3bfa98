"""What a service tells Prometheus.

    model_envelope_requests_total{route, status}
    model_envelope_request_duration_seconds{route}       from the headers to the answer
    model_envelope_requests_in_progress
    model_envelope_queued_rows                           that wait or are being predicted
    model_envelope_batch_rows{function}                  given to the model at once
    model_envelope_predict_seconds{function}             in the model, for each batch
    model_envelope_log_rows_total                        of the prediction log, written
    model_envelope_log_dropped_rows_total                of it, dropped
    model_envelope_started_timestamp_seconds
    model_envelope_service_info{service, release, envelope_id}   always 1

`route` is the route as it is written here, never what a client made up.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from model_envelope.serving.plan import ServicePlan

CONTENT_TYPE = CONTENT_TYPE_LATEST.encode()

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384)


class Instruments:
    """Counters of one service process, in a registry of their own."""

    def __init__(self, plan: ServicePlan) -> None:
        registry = CollectorRegistry()
        for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
            registry.register(collector)
        self.registry = registry
        self._requests = Counter(
            "model_envelope_requests",
            "Requests answered.",
            ["route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "model_envelope_request_duration_seconds",
            "From a request's headers to its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._batch_rows = Histogram(
            "model_envelope_batch_rows",
            "Rows given to the model at once.",
            ["function"],
            buckets=_ROWS,
            registry=registry,
        )
        self._model_seconds = Histogram(
            "model_envelope_predict_seconds",
            "Time in the model, for each batch.",
            ["function"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._in_progress = Gauge(
            "model_envelope_requests_in_progress", "Requests not answered yet.", registry=registry
        )
        self._queued_rows = Gauge(
            "model_envelope_queued_rows",
            "Rows that wait or are being predicted.",
            registry=registry,
        )
        self.log_rows = Counter(
            "model_envelope_log_rows", "Rows that the prediction log wrote.", registry=registry
        )
        self.log_dropped = Counter(
            "model_envelope_log_dropped_rows",
            "Rows that the prediction log could not keep up with, or not write.",
            registry=registry,
        )
        started = Gauge(
            "model_envelope_started_timestamp_seconds", "When it was loaded.", registry=registry
        )
        started.set_to_current_time()
        about = {
            "service": plan.service,
            "release": plan.release,
            "envelope_id": plan.envelope_id,
        }
        Info("model_envelope_service", "What runs here.", registry=registry).info(about)
        # A look-up by labels takes longer than the counting itself.
        self._answered: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._predicted: dict[str, tuple[Histogram, Histogram]] = {}

    def measure(self, in_progress: Callable[[], int], queued_rows: Callable[[], int]) -> None:
        """Say where the gauges are read from."""
        self._in_progress.set_function(in_progress)
        self._queued_rows.set_function(queued_rows)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        try:
            counter, histogram = self._answered[route, status]
        except KeyError:
            counter = self._requests.labels(route, str(status))
            histogram = self._seconds.labels(route)
            self._answered[route, status] = counter, histogram
        counter.inc()
        histogram.observe(seconds)

    def predicted(self, function: str, rows: int, seconds: float) -> None:
        """Count a batch."""
        try:
            batch_rows, model_seconds = self._predicted[function]
        except KeyError:
            batch_rows = self._batch_rows.labels(function)
            model_seconds = self._model_seconds.labels(function)
            self._predicted[function] = batch_rows, model_seconds
        batch_rows.observe(rows)
        model_seconds.observe(seconds)

    def text(self) -> bytes:
        """Everything, in Prometheus's text format."""
        return bytes(generate_latest(self.registry))
