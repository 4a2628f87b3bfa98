"""Parameters that several routes have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Path, Query
from pydantic import ConfigDict

from model_envelope.errors import InvalidInput

MAX_QUERY = 20_000

BODY = ConfigDict(extra="forbid")
"""Of bodies: nothing that is not known is ignored."""

Q = Annotated[
    str, Query(max_length=MAX_QUERY, description="A tag query; every envelope if it is empty.")
]
Limit = Annotated[int, Query(ge=1, le=200, description="At most so many.")]
Cursor = Annotated[
    str | None, Query(max_length=2_000, description="`next` of the page before, for the same rest.")
]
EnvelopeId = Annotated[
    str,
    Path(pattern="^[0-9a-f]{4,20}$", description="An id, or its first digits: at least four."),
]
ServiceName = Annotated[str, Path(pattern="^[a-z][a-z0-9-]{0,62}$", description="A service.")]
RuleName = Annotated[
    str, Path(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$", description="A deployment rule.")
]


def names_in(text: str, check: Callable[[str], str], most: int) -> list[str]:
    """Names that are separated by commas, each once.

    Raises:
        InvalidInput: one is no name, or there are too many.
    """
    found = [check(name) for name in dict.fromkeys(text.split(",")) if name]
    if len(found) > most:
        raise InvalidInput(f"{len(found)} names are too many: give at most {most}.")
    return found
