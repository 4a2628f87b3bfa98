"""What a foreign chart may not do: fetch, link away, or carry settings of the viewer."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from model_envelope.errors import InvalidInput

MAX_SPEC = 100_000
"""Characters of JSON of a chart without its data."""

_DROPPED = ("$schema", "usermeta", "datasets")


def screen(spec: Any) -> dict[str, Any]:
    """A copy of a Vega-Lite spec that is safe to draw in somebody's browser.

    `usermeta`, `$schema` and `datasets` are taken out. Data come from the named dataset
    `data` or stand in the spec (`values`).

    Raises:
        InvalidInput: it is no JSON object, is larger than 100,000 characters, names a
            `url`, links anywhere but to a fixed relative address, or binds a control to
            an element of the page.
    """
    if not isinstance(spec, dict):
        raise InvalidInput(f"A chart must be a dict of Vega-Lite, not {type(spec).__name__}.")
    try:
        copy: dict[str, Any] = json.loads(_dump(spec))
        for key in _DROPPED:
            copy.pop(key, None)
        _check(copy, "spec")
    except RecursionError as error:
        raise InvalidInput("This chart is nested too deeply.") from error
    return copy


def _dump(spec: dict[str, Any]) -> str:
    try:
        body = json.dumps(spec, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"This chart is no JSON: {error}") from error
    if len(body) > MAX_SPEC:
        raise InvalidInput(
            f"This chart has {len(body):,} characters; at most {MAX_SPEC:,} are accepted. "
            "Data belong in rows(), not in spec()."
        )
    return body


def _check(node: Any, where: str) -> None:
    if isinstance(node, list):
        for i, item in enumerate(node):
            _check(item, f"{where}[{i}]")
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        here = f"{where}.{key}"
        if key == "url":
            raise InvalidInput(f"{here}: a chart must not load anything.")
        if key == "href" and not _is_relative(value):
            raise InvalidInput(f"{here}: only a fixed relative address may be linked to.")
        if key == "element":
            raise InvalidInput(f"{here}: a chart must not reach for the page around it.")
        if key == "usermeta":
            raise InvalidInput(f"{here}: settings of the viewer are not the chart's.")
        if not (key == "values" and isinstance(value, list)):
            _check(value, here)


def _is_relative(href: Any) -> bool:
    """Whether it is a text, or `{"value": text}`, without scheme and host."""
    if isinstance(href, dict) and href.keys() == {"value"}:
        href = href["value"]
    if not isinstance(href, str) or any(c <= " " or c == "\\" for c in href):
        return False
    try:
        parts = urlsplit(href)
    except ValueError:
        return False
    return not parts.scheme and not parts.netloc and not href.startswith("//")
