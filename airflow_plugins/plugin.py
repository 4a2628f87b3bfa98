"""What this package adds to Airflow's web server."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin


class ModelEnvelopePlugin(AirflowPlugin):
    """The pages that links of our tasks lead to.

    Every Airflow process loads plugins; only the web server asks for their apps, so the
    pages are imported then.
    """

    name = "model_envelope"

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The app of all pages."""
        from model_envelope.airflow_plugins.pages import app

        return [{"app": app, "url_prefix": "/model-envelope", "name": "Model Envelope"}]
