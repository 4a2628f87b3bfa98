"""Writing what the watchers read into a folder that they look at."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from model_envelope.errors import InvalidInput
from model_envelope.monitoring.alerting import Thresholds, alert_rules
from model_envelope.monitoring.dashboard import dashboard
from model_envelope.monitoring.routing import alertmanager_configuration
from model_envelope.monitoring.scraping import prometheus_configuration, scrape_targets
from model_envelope.monitoring.watched import Watched


def write(
    folder: Path,
    services: Sequence[Watched],
    *,
    thresholds: Path | None = None,
    alertmanager: Path | None = None,
    alertmanagers: Sequence[str] = (),
) -> tuple[Path, ...]:
    """Write targets, alerts, routes, a dashboard and a `prometheus.yml`; what is the same stays.

    Prometheus sees new targets by itself; new alerts and routes need a reload (`SIGHUP`, or
    `POST /-/reload`).

    Args:
        folder: made where it is not there.
        services: see `watched`.
        thresholds: YAML with `default:` and `services: {name: …}`, see `Thresholds`.
        alertmanager: the configuration with the receivers, see `routing`. The result may
            hold its secrets, so only its owner may read it.
        alertmanagers: addresses (`host:port`) for `prometheus.yml`.

    Returns:
        The files that changed.

    Raises:
        InvalidInput: a given file cannot be read, or says something unknown.
    """
    usual, own = _thresholds(thresholds)
    base = _read(alertmanager) if alertmanager else None
    contents = {
        "targets.json": json.dumps(scrape_targets(services), indent=1),
        "alerts.yml": _yaml(alert_rules(services, usual, own)),
        "alertmanager.yml": _yaml(alertmanager_configuration(services, base)),
        "grafana-dashboard.json": json.dumps(dashboard(), indent=1),
        "prometheus.yml": _yaml(prometheus_configuration(alertmanagers)),
    }
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(
        folder / name for name, content in contents.items() if _replace(folder / name, content)
    )


def _thresholds(path: Path | None) -> tuple[Thresholds, dict[str, Thresholds]]:
    given = _read(path) if path else {}
    unknown = set(given) - {"default", "services"}
    if unknown:
        raise InvalidInput(f"{path} has {sorted(unknown)}; it may have `default` and `services`.")
    usual = Thresholds().changed(_mapping(given.get("default"), path))
    services = _mapping(given.get("services"), path)
    return usual, {str(k): usual.changed(_mapping(v, path)) for k, v in services.items()}


def _mapping(found: Any, path: Path | None) -> Mapping[str, Any]:
    if found is not None and not isinstance(found, Mapping):
        raise InvalidInput(f"{path} has {found!r:.60} where names and values are expected.")
    return found or {}


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error
    return _mapping(found, path)


def _yaml(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000)


def _replace(path: Path, content: str) -> bool:
    """Write a file all at once, if it says something else now; watchers never see half."""
    if path.exists() and path.read_text() == content:
        return False
    handle, staging = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    with os.fdopen(handle, "w") as file:
        file.write(content)
    if path.name != "alertmanager.yml":
        Path(staging).chmod(0o644)
    Path(staging).replace(path)
    return True
