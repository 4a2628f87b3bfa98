"""Links from a task to what it worked with."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class EnvelopeLink(BaseOperatorLink):
    """The page of the envelope that a task found; Airflow computes it on the worker.

    Relative, so that it holds wherever Airflow is served. Empty while a task has none.
    """

    name = "Envelope"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address of what `operator.envelope_id` names, in the store of its `conn_id`."""
        envelope_id = getattr(operator, "envelope_id", None)
        connection = urlencode({"connection": getattr(operator, "conn_id", "")})
        return f"model-envelope/m/{envelope_id}?{connection}" if envelope_id else ""


class ServiceLink(BaseOperatorLink):
    """The URL at which the service of a task answers. Empty while it has none."""

    name = "Service"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """What `operator.service_url` says."""
        return getattr(operator, "service_url", None) or ""
