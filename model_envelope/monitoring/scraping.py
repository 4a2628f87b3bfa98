"""Whom Prometheus asks: targets for its file-based discovery, and a job that reads them.

https://prometheus.io/docs/prometheus/latest/configuration/configuration/#file_sd_config
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from model_envelope.monitoring.watched import Watched

JOB = "model-envelope"
_EVERY = "5s"


def scrape_targets(services: Sequence[Watched]) -> list[dict[str, Any]]:
    """One group for each address of each service, with what alerts are told apart by."""
    return [
        {
            "targets": [urlsplit(address).netloc],
            "labels": {
                **watched.owners,
                "__metrics_path__": f"{urlsplit(address).path.rstrip('/')}/metrics",
                "service": watched.service,
                "envelope_id": watched.envelope_id,
                "deployment": watched.deployment,
                "target": watched.kind,
            },
        }
        for watched in services
        for address in watched.addresses
    ]


def prometheus_configuration(alertmanagers: Sequence[str] = ()) -> dict[str, Any]:
    """A whole `prometheus.yml` for those who have none; its files are beside it."""
    return {
        "global": {"scrape_interval": _EVERY, "evaluation_interval": _EVERY},
        "rule_files": ["alerts.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]},
        "scrape_configs": [
            {
                "job_name": JOB,
                # A service's own labels say what it runs; ours say what it should.
                "honor_labels": False,
                "file_sd_configs": [{"files": ["targets.json"], "refresh_interval": _EVERY}],
            }
        ],
    }
