"""Links from a task to what it worked with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

from model_envelope.operators.hook import DEFAULT_CONNECTION

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class EnvelopeLink(BaseOperatorLink):
    """The page of the envelope that a task found; Airflow computes it on the worker.

    Relative, so that it holds wherever Airflow is served. Empty while a task has none, and
    for other connections than the default one, of which there are no pages.
    """

    name = "Envelope"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address of the page of what `operator.envelope_id` names."""
        envelope_id = getattr(operator, "envelope_id", None)
        shown = getattr(operator, "conn_id", "") == DEFAULT_CONNECTION
        return f"plugin/models/m/{envelope_id}" if envelope_id and shown else ""


class ServiceLink(BaseOperatorLink):
    """The URL at which the service of a task answers. Empty while it has none."""

    name = "Service"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """What `operator.service_url` says."""
        return getattr(operator, "service_url", None) or ""
