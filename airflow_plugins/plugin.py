"""What this package adds to Airflow's web server, and to its tasks."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from model_envelope.airflow_plugins import task_context


class ModelEnvelopePlugin(AirflowPlugin):
    """The pages that links of our tasks lead to.

    Every Airflow process loads plugins; only the web server asks for their apps, so the
    pages are imported then.
    """

    name = "model_envelope"
    listeners = [task_context]  # noqa: RUF012

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The app of all pages."""
        from model_envelope.airflow_plugins.pages import app

        return [{"app": app, "url_prefix": "/model-envelope", "name": "Model Envelope"}]
