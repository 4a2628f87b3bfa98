"""Telling the owner of a rule that its model could not be deployed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow.sdk import BaseNotifier

from model_envelope.operators.hook import DEFAULT_CONNECTION, ModelEnvelopeHook

if TYPE_CHECKING:
    from airflow.sdk import Context

Send = Callable[[str, str, "Context"], None]
"""Gets the owner, what happened, and the task's context."""

log = logging.getLogger(__name__)


def to_log(owner: str, message: str, context: Context) -> None:
    """Write it into the task's log, for want of a better place."""
    log.error("To %s: %s", owner, message)


class OwnerNotifier(BaseNotifier):
    """Tells the owner of the rule of a failed task's service, by whatever way is given.

    Any of Airflow's notifiers will do:

        def send(owner, message, context):
            SmtpNotifier(to=owner, subject=message).notify(context)

        on_failure_callback=OwnerNotifier(send)

    Args:
        send: sends it; to the task's log unless given.
        conn_id: connection of type `model_envelope`.
    """

    def __init__(self, send: Send = to_log, conn_id: str = DEFAULT_CONNECTION) -> None:
        super().__init__()
        self.send = send
        self.conn_id = conn_id

    def notify(self, context: Context) -> None:
        """Find the owner, and tell them."""
        service = getattr(context["task"], "service", "")
        with ModelEnvelopeHook(self.conn_id).store() as store:
            rules = [rule for rule in store.rules() if rule.service == service]
        for rule in rules:
            owner = rule.spec.get("owner") or context["dag"].owner
            message = f"Rule {rule.name!r} could not deploy to {service!r}"
            # One line, as the subject of a mail must be.
            reason = " ".join(str(context.get("exception") or "").split())
            self.send(owner, f"{message}: {reason}" if reason else f"{message}.", context)
