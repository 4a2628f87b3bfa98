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

from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    Counter,
    Gauge,
    Info,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from model_envelope.serving.plan import ServicePlan

CONTENT_TYPE = CONTENT_TYPE_LATEST.encode()

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384)


class _Histogram:
    """How often what was seen, by one label; for one thread, so without locks.

    Prometheus's own takes a tenth of the time of a small prediction.
    """

    def __init__(self, name: str, text: str, label: str, bounds: Sequence[float]) -> None:
        self._about = (name, text)
        self._label = label
        self._bounds = bounds
        self._names = [*map(floatToGoString, bounds), "+Inf"]
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def observe(self, label: str, value: float) -> None:
        """Count a value."""
        try:
            counts = self._counts[label]
        except KeyError:
            self._sums[label] = 0.0
            counts = self._counts[label] = [0] * len(self._names)
        counts[bisect_left(self._bounds, value)] += 1
        self._sums[label] += value

    def collect(self) -> Metric:
        """What Prometheus reads."""
        found = HistogramMetricFamily(*self._about, labels=[self._label])
        for label, counts in self._counts.copy().items():
            buckets = list(zip(self._names, accumulate(counts), strict=True))
            found.add_metric([label], buckets, self._sums[label])
        return found


class Instruments:
    """Counters of one service process, in a registry of their own."""

    def __init__(self, plan: ServicePlan) -> None:
        registry = CollectorRegistry()
        for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
            registry.register(collector)
        self.registry = registry
        self._requests: Counts[tuple[str, int]] = Counts()
        self._seconds = _Histogram(
            "model_envelope_request_duration_seconds",
            "From a request's headers to its answer.",
            "route",
            _SECONDS,
        )
        self._batch_rows = _Histogram(
            "model_envelope_batch_rows", "Rows given to the model at once.", "function", _ROWS
        )
        self._model_seconds = _Histogram(
            "model_envelope_predict_seconds",
            "Time in the model, for each batch.",
            "function",
            _SECONDS,
        )
        registry.register(_Collected(self._counted))
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

    def measure(self, in_progress: Callable[[], int], queued_rows: Callable[[], int]) -> None:
        """Say where the gauges are read from."""
        self._in_progress.set_function(in_progress)
        self._queued_rows.set_function(queued_rows)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests[route, status] += 1
        self._seconds.observe(route, seconds)

    def predicted(self, function: str, rows: int, seconds: float) -> None:
        """Count a batch."""
        self._batch_rows.observe(function, rows)
        self._model_seconds.observe(function, seconds)

    def text(self) -> bytes:
        """Everything, in Prometheus's text format."""
        return bytes(generate_latest(self.registry))

    def _counted(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "model_envelope_requests", "Requests answered.", labels=["route", "status"]
        )
        for (route, status), count in self._requests.items():
            requests.add_metric([route, str(status)], count)
        yield requests
        for histogram in (self._seconds, self._batch_rows, self._model_seconds):
            yield histogram.collect()


class _Collected(Collector):
    """What is counted here, for a registry that reads it."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()
