"""Values as text that is safe to show: what a user saved cannot steer the terminal."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_UNSAFE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def shown(text: str) -> str:
    r"""The text on one line; characters that do not show, or steer, as `\x1b` and the like."""
    return "".join(_shown(c) for c in " ".join(text.split()))


def shown_lines(text: str) -> str:
    """The text with its line breaks; see `shown`."""
    return "\n".join("".join(map(_shown, line)) for line in text.split("\n"))


def cell(value: Any) -> str:
    """A value for a person."""
    match value:
        case None:
            text = ""
        case bool():
            text = "yes" if value else "no"
        case float():
            text = number(value)
        case datetime():
            text = f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
        case Mapping():
            text = ", ".join(f"{key}={cell(item)}" for key, item in value.items())
        case list() | tuple():
            text = f"[{', '.join(map(cell, value))}]"
        case _:
            text = str(value)
    return shown(text)


def number(value: float) -> str:
    """A number with six digits that count."""
    return f"{value:.6g}"


def plain(value: Any) -> Any:
    """A value as JSON has it: times in ISO 8601, NaN and infinities by their names."""
    match value:
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case datetime():
            return value.astimezone(UTC).isoformat()
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case _:
            return value


def _shown(character: str) -> str:
    if unicodedata.category(character) in _UNSAFE:
        return character.encode("unicode_escape").decode()
    return character
