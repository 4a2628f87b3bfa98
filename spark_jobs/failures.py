"""Errors of tasks on their way to the driver.

Spark hands over a task's error as text with stack traces of three languages around it. A
line of JSON in that text says what it was.
"""

from __future__ import annotations

import json
import re
import traceback
from typing import Any

from model_envelope import errors
from model_envelope.errors import BatchPredictionFailed, EnvelopeError

_MARK = "model-envelope-failure:"
_LINE = re.compile(rf"{_MARK}(\{{.*\}})")
_LAST_LINES = 8
_SHOWN = 2_000


class TaskFailed(Exception):
    """Raised in a Python worker; its text is for `as_error`."""

    def __init__(self, error: EnvelopeError, message: str | None = None) -> None:
        super().__init__(_MARK + json.dumps(to_json(error, message)))


def to_json(error: EnvelopeError, message: str | None = None) -> dict[str, Any]:
    """An error as plain data, with the last lines of what caused it."""
    cause = traceback.format_exception(error.__cause__) if error.__cause__ else []
    told = "\n".join(getattr(error, "__notes__", ())) or "".join(cause)
    return {
        "type": type(error).__name__,
        "message": message or str(error),
        "traceback": "\n".join(told.splitlines()[-_LAST_LINES:]),
    }


def from_json(body: dict[str, Any]) -> EnvelopeError:
    """The error again, of its own class; the traceback is a note."""
    kind = getattr(errors, body["type"], BatchPredictionFailed)
    error: EnvelopeError = kind(body["message"])
    if body["traceback"]:
        error.add_note(body["traceback"])
    return error


def as_error(error: Exception) -> EnvelopeError:
    """What went wrong in a Spark job, in our words where we have them."""
    if isinstance(error, EnvelopeError):
        return error
    text = str(error)
    found = _LINE.search(text)
    if found:
        return from_json(json.loads(found[1]))
    return BatchPredictionFailed(f"Spark could not finish the job: {_gist(text)}")


def _gist(text: str) -> str:
    """The first lines of Spark's message, without the stack traces below them."""
    lines = [line for line in text.splitlines() if line.strip()]
    kept = [line for line in lines if not re.match(r"\s*(at |\.\.\. \d+ more)", line)]
    return "\n".join(kept)[:_SHOWN]
