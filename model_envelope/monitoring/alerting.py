"""When somebody is told: recording and alerting rules of Prometheus, for each service.

Rules are templates to Prometheus, so nothing that a user typed is written into them: names
of services and ids have a strict form, and owners come with the series.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

from model_envelope.errors import InvalidInput
from model_envelope.monitoring.scraping import JOB
from model_envelope.monitoring.watched import Watched

PREDICTIONS = 'route!~"/livez|/readyz|/ping|/metrics|/-/.*"'
"""Matches series of what clients ask, not of what watches the service."""

_REQUESTS = "model_envelope_requests_total"
_SECONDS = "model_envelope_request_duration_seconds_bucket"
_BY = "service, envelope_id, team, owner"
_DAY = 86_400


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """Where an alert begins.

    Args:
        error_ratio: share of requests answered with 5xx, over two minutes.
        p99_seconds: the time that 99 of 100 requests stay below, over five minutes.
        refused_per_second: requests refused because the queue was full, over two minutes.
        model_age_days: age of the live envelope.
        min_requests_per_second: below this rate, ratios and percentiles say nothing.
    """

    error_ratio: float = 0.05
    p99_seconds: float = 1.0
    refused_per_second: float = 0.1
    model_age_days: float = 90.0
    min_requests_per_second: float = 0.1

    def changed(self, given: Mapping[str, Any]) -> Thresholds:
        """These with others in their place.

        Raises:
            InvalidInput: a name is unknown, or a value is no positive number.
        """
        known = {field.name for field in fields(self)}
        for name, value in given.items():
            if name not in known:
                raise InvalidInput(f"There is no threshold {name!r}; there are {sorted(known)}.")
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise InvalidInput(f"Threshold {name} must be a positive number, not {value!r}.")
        return replace(self, **{name: float(value) for name, value in given.items()})


def alert_rules(
    services: Sequence[Watched],
    thresholds: Thresholds | None = None,
    overrides: Mapping[str, Thresholds] | None = None,
) -> dict[str, Any]:
    """A rule file: one group for what is recorded of all, one for each service's alerts.

    Args:
        services: the live services.
        thresholds: of every service.
        overrides: thresholds of some services, by name.
    """
    usual, own = thresholds or Thresholds(), overrides or {}
    groups = [{"name": f"{JOB}-recording", "rules": _recorded()}]
    groups += [
        {"name": f"{JOB}-{found.service}", "rules": _alerts(found, own.get(found.service, usual))}
        for found in services
    ]
    return {"groups": groups}


def _recorded() -> list[dict[str, str]]:
    errors = f'sum by ({_BY}) (rate({_REQUESTS}{{{PREDICTIONS},status=~"5.."}}[2m]))'
    total = f"sum by ({_BY}) (rate({_REQUESTS}{{{PREDICTIONS}}}[2m]))"
    refused = f'sum by ({_BY}) (rate({_REQUESTS}{{{PREDICTIONS},status="429"}}[2m]))'
    p99 = f"histogram_quantile(0.99, sum by (le, {_BY}) (rate({_SECONDS}{{{PREDICTIONS}}}[5m])))"
    return [
        {"record": "model_envelope:requests:rate2m", "expr": total},
        # A service without errors has no such series: its ratio is zero.
        {
            "record": "model_envelope:errors:ratio2m",
            "expr": f"({errors} or {total} * 0) / ({total} > 0)",
        },
        {"record": "model_envelope:refused:rate2m", "expr": refused},
        {"record": "model_envelope:latency:p99_5m", "expr": p99},
    ]


def _alerts(watched: Watched, at: Thresholds) -> list[dict[str, Any]]:
    name = watched.service
    alert = partial(_alert, name)
    here = f'{{service="{name}"}}'
    busy = f"model_envelope:requests:rate2m{here} > {at.min_requests_per_second:g}"
    created = int(watched.created_at.timestamp())
    up = f'max by ({_BY}) (up{{job="{JOB}",service="{name}"}})'
    rules = [
        alert(
            "ModelServiceDown",
            f"{up} == 0",
            wait="30s",
            severity="page",
            summary=f"No replica of {name} answers.",
            next_step=f"model-envelope logs {name}",
        ),
        alert(
            "ModelServiceFails",
            f"model_envelope:errors:ratio2m{here} > {at.error_ratio:g} and {busy}",
            wait="30s",
            severity="page",
            summary="{{ $value | humanizePercentage }} of the requests fail.",
            next_step=f"model-envelope rollback {name}",
        ),
        alert(
            "ModelServiceSlow",
            f"model_envelope:latency:p99_5m{here} > {at.p99_seconds:g} and {busy}",
            wait="2m",
            severity="ticket",
            summary="One request of 100 takes {{ $value | humanizeDuration }}.",
            next_step=f"model-envelope service {name}",
        ),
        alert(
            "ModelServiceQueueFull",
            f"model_envelope:refused:rate2m{here} > {at.refused_per_second:g}",
            wait="1m",
            severity="page",
            summary="{{ $value | humanize }} requests a second are refused.",
            next_step="Give it more replicas, or larger limits.",
        ),
        alert(
            "ModelStale",
            f"{up} >= 0 and on() (vector(time() - {created}) > {at.model_age_days * _DAY:g})",
            wait="10m",
            severity="ticket",
            summary=f"{name} runs a model of {watched.created_at:%Y-%m-%d}.",
            next_step=f"model-envelope plan shows what keeps newer ones from {name}.",
        ),
    ]
    if watched.reproducible != "proved":
        rules.append(
            alert(
                "ModelEnvironmentUnproved",
                f"{up} >= 0",
                wait="10m",
                severity="ticket",
                summary=f"Nobody proved that the environment of what {name} runs can be rebuilt.",
                next_step=f"model-envelope verify {watched.envelope_id}",
            )
        )
    return rules


def _alert(
    service: str,
    name: str,
    expression: str,
    *,
    wait: str,
    severity: str,
    summary: str,
    next_step: str,
) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expression,
        "for": wait,
        "labels": {"service": service, "severity": severity},
        "annotations": {"summary": summary, "next_step": next_step},
    }
