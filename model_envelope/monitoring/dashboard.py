"""A Grafana dashboard of services: the same panels for every model.

https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

from typing import Any

from model_envelope.monitoring.alerting import PREDICTIONS

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_HERE = 'service=~"$service"'
_WIDTH, _HEIGHT, _COLUMNS = 8, 8, 3


def dashboard() -> dict[str, Any]:
    """The JSON that Grafana imports; it asks for a data source and for services."""
    panels = [
        _panel("Requests a second", "reqps", "model_envelope:requests:rate2m{%s}", "{{service}}"),
        _panel(
            "Requests that fail",
            "percentunit",
            "model_envelope:errors:ratio2m{%s}",
            "{{service}}",
        ),
        _panel(
            "Latency, 99 of 100 requests",
            "s",
            "model_envelope:latency:p99_5m{%s}",
            "{{service}}",
        ),
        _panel("Rows that wait", "short", "model_envelope_queued_rows{%s}", "{{instance}}"),
        _panel(
            "Requests refused a second",
            "reqps",
            "model_envelope:refused:rate2m{%s}",
            "{{service}}",
        ),
        _panel(
            "Rows given to the model at once",
            "short",
            "sum by (service) (rate(model_envelope_batch_rows_sum{%s}[2m])) / "
            "sum by (service) (rate(model_envelope_batch_rows_count{%s}[2m]))",
            "{{service}}",
        ),
        _panel(
            "Model seconds a second",
            "short",
            "sum by (service) (rate(model_envelope_predict_seconds_sum{%s}[2m]))",
            "{{service}}",
        ),
        _panel("Memory", "bytes", "process_resident_memory_bytes{%s}", "{{instance}}"),
        _panel(
            "Answers by status",
            "reqps",
            "sum by (service, status) (rate(model_envelope_requests_total{%s,"
            + PREDICTIONS
            + "}[2m]))",
            "{{service}} {{status}}",
        ),
    ]
    for i, panel in enumerate(panels):
        row, column = divmod(i, _COLUMNS)
        panel["id"] = i + 1
        panel["gridPos"] = {
            "x": column * _WIDTH,
            "y": row * _HEIGHT,
            "w": _WIDTH,
            "h": _HEIGHT,
        }
    return {
        "uid": "model-envelope",
        "title": "Model services",
        "schemaVersion": 39,
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "10s",
        "templating": {"list": [_data_source(), _service()]},
        "annotations": {"list": [_deployments()]},
        "panels": panels,
    }


def _panel(title: str, unit: str, expression: str, legend: str) -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": title,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": "A",
                "datasource": _SOURCE,
                "expr": expression.replace("%s", _HERE),
                "legendFormat": legend,
            }
        ],
    }


def _data_source() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus"}


def _service() -> dict[str, Any]:
    return {
        "name": "service",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": "label_values(model_envelope_queued_rows, service)"},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
    }


def _deployments() -> dict[str, Any]:
    """A line where another release went live."""
    return {
        "name": "Deployments",
        "datasource": _SOURCE,
        "enable": True,
        "expr": f"model_envelope_started_timestamp_seconds{{{_HERE}}} * 1000",
        "useValueForTime": "on",
        "titleFormat": "{{service}}",
        "textFormat": "{{envelope_id}}",
        "iconColor": "blue",
    }
