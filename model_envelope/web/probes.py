"""Asking services how they are: bounded in time and in number, so that pages stay quick."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Literal, TypeVar

from model_envelope.client.client import Client
from model_envelope.deployment.probing import Unanswered, ask
from model_envelope.deployment.targets.opening import open_target
from model_envelope.deployment.targets.protocol import Running
from model_envelope.errors import DeploymentError, EnvelopeError
from model_envelope.store.rows import ServiceRecord

T = TypeVar("T")

PATIENCE = 6.0
"""Seconds after which whoever asked is answered without an answer."""

_EACH = 2.0
_LARGEST = 1 << 20
_WATCHING = ("/livez", "/readyz", "/metrics")
_SAMPLE = re.compile(r"^model_envelope_(\w+?)(?:\{([^}]*)\})? ([0-9.eE+-]+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

# Few: a target that hangs must not take the threads of the server with it.
_threads = ThreadPoolExecutor(4, thread_name_prefix="model-envelope-probe")


@dataclass(frozen=True, kw_only=True, slots=True)
class Replica:
    """One process of a service."""

    address: str
    ready: bool
    restarts: int
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """What requests were like since the replicas started; null where there were none."""

    requests_per_minute: float
    p95_seconds: float | None
    error_share: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """How a service is; `unknown` is one that could not be asked from here."""

    state: Literal["healthy", "unhealthy", "unknown"]
    message: str
    replicas: Sequence[Replica]
    rates: Rates | None
    checked_at: datetime


@dataclass(frozen=True, slots=True)
class _Seen:
    ready: bool
    told: str
    metrics: str


def within(work: Callable[[], T], seconds: float = PATIENCE) -> T:
    """The result of work that may hang.

    Raises:
        Unanswered: it was not done in time; it goes on by itself.
    """
    running = _threads.submit(work)
    try:
        return running.result(seconds)
    except TimeoutError as error:
        running.cancel()
        raise Unanswered(f"There was no answer within {seconds:.0f} s.") from error


def health(client: Client, service: ServiceRecord) -> Health:
    """How a service is now. Whatever cannot be asked is not known; nothing is raised for it."""
    if service.live_deployment is None:
        return _health("unknown", "Nothing of it runs.")
    try:
        return within(lambda: _asked(client, service))
    except EnvelopeError as error:
        return _health("unknown", str(error))


def _asked(client: Client, service: ServiceRecord) -> Health:
    running = _running(client, service)
    addresses = running.addresses if running else tuple(filter(None, [service.url]))
    seen = {address: _look(address) for address in addresses}
    if running is None and all(found is None for found in seen.values()):
        return _health("unknown", "Neither its target nor its URL can be asked from here.")
    replicas = [
        Replica(
            address=address,
            ready=found is not None and found.ready,
            restarts=running.restarts if running else 0,
            detail="It does not answer." if found is None else found.told,
        )
        for address, found in seen.items()
    ]
    ready = sum(replica.ready for replica in replicas)
    good = bool(replicas) and ready == len(replicas) and (running is None or running.ready)
    told = f"{ready} of {len(replicas)} ready."
    if running is not None and running.detail:
        told = f"{told} {running.detail}"
    rates = _rates(found.metrics for found in seen.values() if found is not None)
    return _health("healthy" if good else "unhealthy", told, replicas, rates)


def _health(
    state: Literal["healthy", "unhealthy", "unknown"],
    message: str,
    replicas: Sequence[Replica] = (),
    rates: Rates | None = None,
) -> Health:
    return Health(
        state=state,
        message=message,
        replicas=replicas,
        rates=rates,
        checked_at=datetime.now(UTC),
    )


def _running(client: Client, service: ServiceRecord) -> Running | None:
    """What the target has of the live release, if it can be asked."""
    kind = str(client.store.deployment(str(service.live_deployment)).target["kind"])
    try:
        found = open_target(kind, client.platform).running()
    except (DeploymentError, ImportError, OSError):
        return None
    return next((one for one in found if one.release == service.live_deployment), None)


def _look(address: str) -> _Seen | None:
    """What a replica says of itself; None if it says nothing."""
    try:
        ready = ask(address, "GET", "/readyz", timeout=_EACH, largest=_LARGEST)
        metrics = ask(address, "GET", "/metrics", timeout=_EACH, largest=_LARGEST)
    except DeploymentError:
        return None
    good = ready.status == 200
    return _Seen(good, "" if good else ready.text, metrics.body.decode(errors="replace"))


def _rates(texts: Iterable[str]) -> Rates | None:
    """From the counters that Prometheus reads, since the replicas began to count."""
    minutes = 0.0
    answers: Counter[str] = Counter()
    buckets: Counter[float] = Counter()
    for name, labels, value in chain.from_iterable(map(_samples, texts)):
        if labels.get("route", "").startswith(_WATCHING):
            continue
        if name == "started_timestamp_seconds":
            minutes = max(minutes, (datetime.now(UTC).timestamp() - value) / 60)
        elif name == "requests_total":
            answers[labels["status"]] += int(value)
        elif name == "request_duration_seconds_bucket":
            buckets[float(labels["le"])] += int(value)
    total = answers.total()
    if not minutes:
        return None
    errors = sum(n for status, n in answers.items() if status.startswith("5"))
    return Rates(
        requests_per_minute=total / max(minutes, 1 / 60),
        p95_seconds=next((le for le, n in sorted(buckets.items()) if n >= 0.95 * total), None)
        if total
        else None,
        error_share=errors / total if total else None,
    )


def _samples(text: str) -> Iterable[tuple[str, dict[str, str], float]]:
    for name, labels, value in _SAMPLE.findall(text):
        yield name, dict(_LABEL.findall(labels)), float(value)
