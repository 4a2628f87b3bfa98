"""Wait in a DAG for a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.exceptions import TaskDeferred

from model_envelope.operators.hook import DEFAULT_CONNECTION, ModelEnvelopeHook
from model_envelope.operators.links import EnvelopeLink
from model_envelope.operators.matches import find_match, read_since
from model_envelope.operators.triggers import TagQueryTrigger
from model_envelope.tag_query import parse

if TYPE_CHECKING:
    from airflow.sdk import Context

SINCE_INTERVAL = "{{ dag_run.data_interval_start or dag_run.run_after }}"


class TagQuerySensor(BaseSensorOperator):
    """Waits for a tag query to have a new or changed latest match; gives its envelope id.

    Changed means: in something that the query looks at. While it waits it holds no worker
    slot; the triggerer looks after it.

    Args:
        tag_query: text or dict, as everywhere. Templated.
        since: older matches do not count: a revision, or a time with zone in ISO form.
            By default the start of the run's data interval; None for any match. Templated.
        conn_id: connection of type `model_envelope`.
        poke_interval: seconds between two looks at the store.
        deferrable: False to wait on a worker.
        **kwargs: of `BaseSensorOperator`, such as `timeout` and `soft_fail`.
    """

    template_fields: Sequence[str] = ("tag_query", "since", "conn_id")
    operator_extra_links = (EnvelopeLink(),)
    ui_color = "#e3e8f7"

    def __init__(
        self,
        *,
        tag_query: str | Mapping[str, Any],
        since: int | str | datetime | None = SINCE_INTERVAL,
        conn_id: str = DEFAULT_CONNECTION,
        poke_interval: timedelta | float = 10.0,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.tag_query = tag_query
        self.since = since
        self.conn_id = conn_id
        self.deferrable = deferrable

    def execute(self, context: Context) -> str:
        """Look once, then leave the waiting to the triggerer."""
        if not self.deferrable:
            return self._found(super().execute(context))
        found = self.poke(context)
        if found:
            return self._found(found.xcom_value)
        since = read_since(self.since)
        trigger = TagQueryTrigger(
            tag_query=self.tag_query,
            conn_id=self.conn_id,
            poll_interval=self.poke_interval,
            since=since.isoformat() if isinstance(since, datetime) else since,
        )
        raise TaskDeferred(
            trigger=trigger, method_name="resume", timeout=timedelta(seconds=self.timeout)
        )

    def poke(self, context: Context) -> PokeReturnValue:
        """Whether there is a match since then; its envelope id."""
        with ModelEnvelopeHook(self.conn_id).store() as store:
            match = find_match(store, parse(self.tag_query))
        if match is None or not match.is_since(read_since(self.since)):
            return PokeReturnValue(False)
        return PokeReturnValue(True, match.envelope_id)

    def resume(self, context: Context, event: Mapping[str, Any]) -> str:
        """The trigger has fired."""
        return self._found(event["envelope_id"])

    def _found(self, envelope_id: Any) -> str:
        self.log.info("Envelope %s matches.", envelope_id)
        self.envelope_id = str(envelope_id)
        return self.envelope_id
