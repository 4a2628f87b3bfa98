"""What a service answers when it cannot take a request: one form for every error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec

from model_envelope.errors import EnvelopeError, SchemaError

SHOWN = 20
"""How many problems of one body are told."""

_EXCERPT = 60


class BadRequest(EnvelopeError):
    """A body that cannot be predicted.

    Attributes:
        status: 400 what is no JSON or Arrow at all, 413 too large, 415 an unknown media
            type, 422 values that do not fit the model.
        details: `{"column", "row", "expected", "found"}` of each problem, at most `SHOWN`;
            `column` and `row` are None where the problem has none.
    """

    def __init__(
        self, message: str, *, status: int = 422, details: Iterable[Mapping[str, Any]] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.details = tuple(details)

    def to_json(self, request_id: str = "") -> bytes:
        """The body of the answer."""
        return error_body(self.status, str(self), details=self.details, request_id=request_id)


def error_body(
    status: int,
    message: str,
    *,
    details: Iterable[Mapping[str, Any]] = (),
    request_id: str = "",
) -> bytes:
    """`{"error": {"code", "message", "details", "request_id"}}`; `code` is named for the status."""
    error = {
        "code": HTTPStatus(status).phrase.lower().replace(" ", "_").replace("-", "_"),
        "message": message,
        "details": list(details),
        "request_id": request_id,
    }
    return msgspec.json.encode({"error": error})


def v2_error_body(message: str, details: Iterable[Mapping[str, Any]] = ()) -> bytes:
    """`{"error": text}`, as the Open Inference Protocol has it."""
    lines = [f"{problem['column']}: {problem['found']}" for problem in details]
    return msgspec.json.encode({"error": "\n".join((message, *lines))})


def problem(column: str | None, row: int | None, expected: str, found: str) -> dict[str, Any]:
    """One entry of `details`."""
    name = None if column is None else shortened(column)
    return {"column": name, "row": row, "expected": expected, "found": found}


def shortened(text: str, limit: int = 200) -> str:
    """Text of a client's, cut where it would fill the answer."""
    return text if len(text) <= limit else f"{text[:limit]}…"


class Problems:
    """What is wrong in a body, until that is enough."""

    def __init__(self) -> None:
        self._found: list[dict[str, Any]] = []

    def add(self, column: str | None, row: int | None, expected: str, found: str) -> None:
        """One more.

        Raises:
            BadRequest: there are as many as are told at once.
        """
        self._found.append(problem(column, row, expected, found))
        if len(self._found) == SHOWN:
            raise unfit(self._found)

    def raise_if_any(self) -> None:
        """Refuse the body.

        Raises:
            BadRequest: 422 with all that was found.
        """
        if self._found:
            raise unfit(self._found)


def unfit(problems: list[dict[str, Any]]) -> BadRequest:
    """A 422 that says the first problem in words and lists them all."""
    first = problems[0]
    column, row = first["column"], first["row"]
    place = ([] if column is None else [f"column {column!r}"]) + (
        [] if row is None else [f"row {row}"]
    )
    where = f"{', '.join(place)}: " if place else ""
    more = " (see details for more)" if len(problems) > 1 else ""
    text = f"{where}expected {first['expected']}, found {first['found']}{more}"
    return BadRequest(text, details=problems)


def from_schema_error(error: SchemaError, columns: Mapping[str, str]) -> BadRequest:
    """A table that does not fit, as a 422. `columns` are expected types by name."""
    details = []
    for line in error.problems[:SHOWN]:
        named = [name for name in columns if line.startswith(f"column {name!r}")]
        name = max(named, key=len, default=None)
        details.append(problem(name, None, columns.get(name or "", ""), line))
    return BadRequest(str(error), details=details)


@dataclass(frozen=True, slots=True)
class Constant:
    """`NaN`, `Infinity` or a number that no double holds, where a body had it."""

    text: str

    def __str__(self) -> str:
        return self.text


def excerpt(value: Any) -> str:
    """A value as JSON, cut short."""
    if isinstance(value, Constant):
        return value.text[:_EXCERPT]
    try:
        text = msgspec.json.encode(value, enc_hook=str).decode()
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return shortened(text, _EXCERPT)
