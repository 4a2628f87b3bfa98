"""What the three charts ask alike: times, tags, and how much is too much."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from model_envelope import names
from model_envelope.errors import InvalidInput, TooMuch
from model_envelope.metrics.checks import moment
from model_envelope.metrics.trends import NO_TAG
from model_envelope.store.measured import Matches
from model_envelope.tag_query import TagQuery, parse

MAX_ROWS = 1_000_000
"""Of a file or a frame."""

Query = str | Mapping[str, Any] | TagQuery
When = str | datetime | None


def query_of(q: Query) -> TagQuery:
    """A query; an empty text is every envelope."""
    return parse("True" if q == "" else q)


def time_of(when: When, what: str) -> datetime | None:
    """A moment, or the text of one in ISO format; with a time zone.

    Raises:
        InvalidInput: it is none, or has no zone.
    """
    if isinstance(when, str):
        try:
            when = datetime.fromisoformat(when)
            # Times of the years 1 and 9999 may be in none in UTC.
            when = when.astimezone(UTC) if when.tzinfo else when
        except (ValueError, OverflowError):
            raise InvalidInput(
                f"{what}={when!r:.60} is no time: write 2026-03-01T00:00:00Z."
            ) from None
    return None if when is None else moment(when, what)


def tag_of(key: str | None) -> str | None:
    """A tag's key, as given; None for an empty one."""
    return names.check_tag_keys((key,))[0] if key else None


def labels(matches: Matches, key: str | None) -> list[str]:
    """What each model has of a tag; nothing at all where no tag is asked for."""
    if key is None:
        return [""] * len(matches)
    return [NO_TAG if value is None else value for value in matches.tags[key]]


def is_finite(value: float | None) -> bool:
    """Whether it is there and is a number."""
    return value is not None and math.isfinite(value)


def check_series(n: int, most: int, what: str) -> None:
    """See that series can be told apart.

    Raises:
        TooMuch: they cannot.
    """
    if n > most:
        raise TooMuch(
            f"{n:,} {what} are too many to tell apart: at most {most} are drawn. "
            "Take a tag with fewer values, or narrow the query."
        )


def check_rows(n: int) -> None:
    """See that a frame is of a size to be sent.

    Raises:
        TooMuch: it is not.
    """
    if n > MAX_ROWS:
        raise TooMuch(f"{n:,} rows are too many: at most {MAX_ROWS:,} are sent. Narrow the query.")


def iso(at: datetime) -> str:
    """A time as charts read it."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def counted(n: int, what: str) -> str:
    """`1 model`, `2 models`."""
    return f"{n:,} {what}{'s' * (n != 1)}"


def call(function: str, *given: Any, **options: Any) -> str:
    """A program that draws the chart, and reads its rows.

    Options that are None are left out.
    """
    lines = [*map(_literal, given)]
    lines += [f"{name}={_literal(value)}" for name, value in options.items() if value is not None]
    inner = "".join(f"    {line},\n" for line in lines)
    return (
        "import model_envelope as me\n\n"
        f"chart = me.{function}(\n{inner})\n"
        "frame = chart.frame()  # every row it stands for\n"
        "chart\n"
    )


def _literal(value: Any) -> str:
    if isinstance(value, TagQuery):
        return repr(value.text)
    if isinstance(value, datetime):
        return repr(value.isoformat())
    return repr(list(value) if isinstance(value, tuple) else value)


def unique(found: Sequence[str] | Collection[str]) -> list[str]:
    """Each once, in the order of their first places."""
    return list(dict.fromkeys(found))
