"""Deploy, roll back and undeploy from DAGs: whoever starts the run has done it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from model_envelope.errors import DeploymentFailed, InvalidInput
from model_envelope.operators.hook import DEFAULT_CONNECTION, ModelEnvelopeHook
from model_envelope.operators.links import EnvelopeLink, ServiceLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from model_envelope.client.client import Client
    from model_envelope.client.services import Deployed
    from model_envelope.deployment.reconciling import Outcome
    from model_envelope.store.rows import StepState


class _ServiceOperator(BaseOperator):
    """What operators on one service have in common."""

    template_fields: Sequence[str] = ("service", "reason", "conn_id")
    operator_extra_links = (EnvelopeLink(), ServiceLink())
    ui_color = "#e8def4"

    def __init__(
        self,
        *,
        service: str,
        reason: str = "",
        conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.service = service
        self.reason = reason
        self.conn_id = conn_id

    def _client(self, context: Context) -> Client:
        """A client that acts for who started the run."""
        client = ModelEnvelopeHook(self.conn_id).client()
        run = context["dag_run"]
        client.actor = getattr(run, "triggering_user_name", None) or f"airflow:{run.dag_id}"
        return client

    def _tell(self, service: str, step: str, state: StepState) -> None:
        self.log.info("%s: %s %s", service, step, state)

    def _answer(self, found: Deployed | Outcome, context: Context) -> str | None:
        """Push what was done; gives the id of the envelope that is live."""
        self.envelope_id = found.envelope_id
        self.service_url = found.url
        for key, value in (("deployment", found.deployment), ("url", found.url)):
            context["ti"].xcom_push(key, value)
        note = getattr(found, "note", "")
        if note:
            self.log.warning("%s", note)
        self.log.info("%s runs %s at %s", found.service, found.envelope_id, found.url)
        return found.envelope_id


class ModelDeployOperator(_ServiceOperator):
    """Has a service run an envelope, and waits until it does; see `Client.deploy`.

    With a tag query its latest match is deployed and the service pinned to it, as when a
    person does it. Without one the service is brought to what is wanted of it: by its rule,
    or by whoever deployed to it last. That is what continuous deployment does.

    A refusal by a gate fails the task without a retry: nothing would be otherwise. What a
    gate holds because there is too little to judge by is skipped, and is tried again by a
    later run. All else is left to the task's retries.

    Returns the envelope's id; `deployment` and `url` are XComs of these keys.

    Args:
        service: its name. Templated, as all below are.
        tag_query: text or dict, or an envelope's id; None for what is wanted.
        target: where it runs: a kind, or a dict of kind and options.
        options: of the target: a dict, or JSON.
        reason: for the ledger.
        conn_id: connection of type `model_envelope`.
        **kwargs: of `BaseOperator`.
    """

    template_fields: Sequence[str] = (
        "service",
        "tag_query",
        "target",
        "options",
        "reason",
        "conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"options": "json"}

    def __init__(
        self,
        *,
        service: str,
        tag_query: str | Mapping[str, Any] | None = None,
        target: str | Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | str | None = None,
        reason: str = "",
        conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(service=service, reason=reason, conn_id=conn_id, **kwargs)
        self.tag_query = tag_query
        self.target = target
        self.options = options

    def execute(self, context: Context) -> str | None:
        """Deploy; gives the envelope's id."""
        client = self._client(context)
        if self.tag_query is None:
            return self._follow(client, context)
        try:
            done = client.deploy(
                self.tag_query,
                self.service,
                target=self.target or None,
                options=self._options(),
                reason=self.reason,
                tell=self._tell,
            )
        except DeploymentFailed as error:
            raise AirflowFailException(str(error)) from error
        return self._answer(done, context)

    def _options(self) -> Mapping[str, Any] | None:
        if not isinstance(self.options, str):
            return self.options or None
        found = json.loads(self.options or "null")
        if found is not None and not isinstance(found, dict):
            raise InvalidInput(f"options must be a JSON object, not {self.options:.80}.")
        return found

    def _follow(self, client: Client, context: Context) -> str | None:
        outcome = client.bring_about(self.service, tell=self._tell)
        if outcome.good:
            return self._answer(outcome, context)
        if outcome.action == "held":
            raise AirflowSkipException(outcome.reason)
        if outcome.action == "refused":
            raise AirflowFailException(outcome.reason)
        raise AirflowException(outcome.reason)


class ModelRollbackOperator(_ServiceOperator):
    """Puts back what a service ran before, and pauses the rule that would undo it.

    Returns the id of the envelope that is live now.

    Args:
        service: its name. Templated, as all below are.
        reason: for the ledger.
        conn_id: connection of type `model_envelope`.
        **kwargs: of `BaseOperator`.
    """

    def execute(self, context: Context) -> str | None:
        """Roll back; gives the envelope's id."""
        client = self._client(context)
        try:
            done = client.rollback(self.service, reason=self.reason, tell=self._tell)
        except DeploymentFailed as error:
            raise AirflowFailException(str(error)) from error
        return self._answer(done, context)


class ModelUndeployOperator(_ServiceOperator):
    """Ends a service, and pauses the rule that would bring it back.

    Args:
        service: its name. Templated, as all below are.
        reason: for the ledger.
        conn_id: connection of type `model_envelope`.
        **kwargs: of `BaseOperator`.
    """

    def execute(self, context: Context) -> None:
        """Undeploy."""
        done = self._client(context).undeploy(self.service, reason=self.reason, tell=self._tell)
        self._answer(done, context)
