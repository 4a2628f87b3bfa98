"""What went wrong, as JSON that a page can show: words, where, and what to do next."""

from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from model_envelope import errors
from model_envelope.errors import EnvelopeError, InvalidRule, TagQueryError
from model_envelope.web.replies import json_reply
from model_envelope.web.shapes.problems import FieldProblem, Problem, Refusal

_log = logging.getLogger(__name__)


class Conflict(EnvelopeError):
    """Somebody else has changed it since it was read."""


class NotHere(EnvelopeError):
    """There is nothing of the kind, or not in this host."""


# The first that fits.
_STATUS: tuple[tuple[type[EnvelopeError], int], ...] = (
    (NotHere, 404),
    (errors.EnvelopeNotFound, 404),
    (errors.DeploymentNotFound, 404),
    (errors.RuleNotFound, 404),
    (errors.ServiceNotFound, 404),
    (Conflict, 409),
    (errors.SaveConflict, 409),
    (errors.TargetFailed, 502),
    (errors.DeploymentError, 409),
    (errors.TooMuch, 413),
    (errors.InvalidInput, 422),
    (errors.MissingDependency, 501),
    (errors.StoreError, 503),
)
_NEXT_STEPS: tuple[tuple[type[EnvelopeError], str], ...] = (
    (errors.SchemaOutdated, "Run `model-envelope db upgrade`."),
    (errors.SchemaTooNew, "Upgrade the package model-envelope where this server runs."),
    (errors.StoreUnavailable, "See that the database runs and can be reached from this server."),
)


def install(app: FastAPI) -> None:
    """Have an app answer with a `Refusal` where no route is, too."""
    app.add_exception_handler(HTTPException, refusal)


def next_step(error: Exception) -> str | None:
    """What to do about an error, where that is always the same."""
    return next((told for kind, told in _NEXT_STEPS if isinstance(error, kind)), None)


def refusal(request: Request, error: Exception) -> Response:
    """The answer to an error."""
    match error:
        case HTTPException():
            status, problem = error.status_code, _of_http(error)
        case RequestValidationError():
            status, problem = 422, _of_request(error)
        case EnvelopeError():
            fitting = (status for kind, status in _STATUS if isinstance(error, kind))
            status, problem = next(fitting, 500), _of_ours(error)
        case _:
            # Nobody foresaw it. The log has the rest, by the request's id.
            name = type(error).__name__
            _log.error("%s: %s", request.state.request_id, request.url.path, exc_info=error)
            hint = "The server's log tells more under this request's id."
            status, problem = 500, Problem(code="internal", message=f"{name}.", hint=hint)
    answer = json_reply(Refusal(error=problem, request_id=request.state.request_id), status)
    answer.headers.update(getattr(error, "headers", None) or {})
    return answer


def _of_ours(error: EnvelopeError) -> Problem:
    told, position, fields = str(error), None, {}
    if isinstance(error, TagQueryError):
        told, position = error.message, error.position
    if isinstance(error, InvalidRule):
        fields = {key: _of_field(error, key, told) for key, told in error.problems}
    return Problem(
        code=_code(error), message=told, position=position, hint=next_step(error), fields=fields
    )


def _of_field(error: InvalidRule, key: str, told: str) -> FieldProblem:
    """What is wrong with a part of a rule: with its query, where, if that is the cause."""
    cause = error.__cause__
    if key == "when" and isinstance(cause, TagQueryError):
        return FieldProblem(message=cause.message, position=cause.position)
    return FieldProblem(message=told)


def _of_request(error: RequestValidationError) -> Problem:
    """A parameter or a body that is not of the form it must have."""
    fields = {}
    for one in error.errors()[:20]:
        where = ".".join(str(part) for part in one["loc"][1:]) or str(one["loc"][0])
        fields[where] = FieldProblem(message=str(one["msg"]))
    told = "; ".join(f"{where}: {problem.message}" for where, problem in fields.items())
    return Problem(code="invalid_request", message=told, fields=fields)


def _of_http(error: HTTPException) -> Problem:
    phrase = HTTPStatus(error.status_code).phrase
    return Problem(code=phrase.lower().replace(" ", "_"), message=str(error.detail))


def _code(error: Exception) -> str:
    """`EnvelopeNotFound` is `envelope_not_found`."""
    letters = (f"_{c.lower()}" if c.isupper() else c for c in type(error).__name__)
    return "".join(letters).lstrip("_")
