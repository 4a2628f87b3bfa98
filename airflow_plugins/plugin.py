"""What this package adds to Airflow's web server, and to its tasks."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from model_envelope.airflow_plugins import task_context

PREFIX = "model-envelope"


class ModelEnvelopePlugin(AirflowPlugin):
    """The API, the pages that are drawn with it, and what tasks tell of themselves.

    Every Airflow process loads plugins; only the web server asks for their apps, so the
    API is imported then. Addresses are relative: Airflow may be served below any path.
    """

    name = "model_envelope"
    listeners = [task_context]  # noqa: RUF012
    react_apps = [  # noqa: RUF012
        {
            "name": "Models",
            "bundle_url": f"{PREFIX}/static/models.js",
            "destination": "nav",
            "url_route": "models",
            "nav_top_level": True,
        },
        {
            "name": "Envelopes",
            "bundle_url": f"{PREFIX}/static/run.js",
            "destination": "dag_run",
            "url_route": "envelopes",
        },
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The app of the API and of the pages' files."""
        from model_envelope.airflow_plugins.web import app

        return [{"app": app, "url_prefix": f"/{PREFIX}", "name": "Model Envelope"}]
