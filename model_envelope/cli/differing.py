"""The differences of two envelopes, for people and for programs."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from model_envelope.cli import output
from model_envelope.cli.text import cell
from model_envelope.client.comparing import Changes, Differences

_SECTIONS = tuple(
    field.name for field in fields(Differences) if field.name not in ("first", "second")
)


def as_json(found: Differences) -> dict[str, Any]:
    """The differences as JSON values."""
    sections = {name: _section(name, getattr(found, name)) for name in _SECTIONS}
    return {"first": found.first, "second": found.second, **sections}


def write(found: Differences) -> None:
    """Write the differences, and of what is the same how much it is."""
    output.facts([("first", found.first), ("second", found.second)])
    same = []
    for name in _SECTIONS:
        changes = getattr(found, name)
        rows = _rows(name, changes)
        if rows:
            headings = ("", "first", "second", *(["difference"] if name == "metrics" else []))
            output.table(headings, rows, whole=(), title=name)
        elif changes.same and name != "about":
            same.append(f"{changes.same} {name}")
    if same:
        output.say(f"\nthe same: {', '.join(same)}")


def _section(name: str, changes: Changes) -> dict[str, Any]:
    changed = {key: {"first": a, "second": b} for key, (a, b) in changes.changed.items()}
    if name == "metrics":
        changed = {
            key: {**pair, "difference": pair["second"] - pair["first"]}
            for key, pair in changed.items()
        }
    return {
        "added": changes.added,
        "removed": changes.removed,
        "changed": changed,
        "same": changes.same,
    }


def _rows(name: str, changes: Changes) -> list[tuple[Any, ...]]:
    pairs = {key: (None, value) for key, value in changes.added.items()}
    pairs |= {key: (value, None) for key, value in changes.removed.items()}
    pairs |= changes.changed
    rows: list[tuple[Any, ...]] = []
    for key, (first, second) in sorted(pairs.items()):
        row = (key, *("-" if value is None else cell(value) for value in (first, second)))
        both = first is not None and second is not None
        rows.append((*row, f"{second - first:+.6g}" if both else "") if name == "metrics" else row)
    return rows
