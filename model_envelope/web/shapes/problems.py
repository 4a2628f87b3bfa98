"""What went wrong."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldProblem:
    """What is wrong with one field of what was sent; `position` is a 0-based column of it."""

    message: str
    position: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """An error.

    Attributes:
        code: what kind, for programs.
        message: for people.
        position: 0-based column of the query where reading it failed.
        hint: what to do next.
        fields: what is wrong with what was sent, by field.
    """

    code: str
    message: str
    position: int | None = None
    hint: str | None = None
    fields: dict[str, FieldProblem] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """What is answered instead; the server's log knows the request by its id."""

    error: Problem
    request_id: str
