"""Whether a body has the columns that a function takes, and what is near to one that is not."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from model_envelope.serving.formats.columns import Layout
from model_envelope.serving.formats.refusals import Problems, excerpt

_COMPARED = 100
"""How many names of a body are looked at for near ones: looking takes time for each pair."""


def require(rows: Iterable[tuple[Mapping[str, Any], int | None]], layout: Layout) -> None:
    """All columns and no others. Missing and unknown ones are told together.

    Raises:
        BadRequest: 422.
    """
    expected = set(layout.names)
    problems = Problems()
    for row, place in rows:
        if row.keys() != expected:
            _compare(row, place, layout, problems)
    problems.raise_if_any()


def require_once(names: Sequence[str], layout: Layout) -> None:
    """The same for a list of names.

    Raises:
        BadRequest: 422.
    """
    counts = Counter(names)
    require([(counts, None)], layout)
    problems = Problems()
    for name, count in counts.items():
        if count > 1:
            problems.add(name, None, "one column", f"{count} of this name")
    problems.raise_if_any()


def _compare(row: Mapping[str, Any], place: int | None, layout: Layout, problems: Problems) -> None:
    unknown = [name for name in row if name not in layout.names]
    for i, name in enumerate(layout.names):
        if name not in row:
            near = difflib.get_close_matches(name, unknown[:_COMPARED], n=1)
            found = f"nothing; did you mean it by {near[0]!r}?" if near else "nothing"
            problems.add(name, place, layout.expected(i), found)
    for name in unknown:
        near = difflib.get_close_matches(name, layout.names, n=1)
        hint = f"no such column (there is {near[0]!r})" if near else "no such column"
        problems.add(name, place, hint, excerpt(row[name]))
