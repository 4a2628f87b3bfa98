"""What the shell offers for an argument. Never fails, and never makes a store."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import typer

from model_envelope import config
from model_envelope.errors import EnvelopeError

if TYPE_CHECKING:
    from model_envelope.envelope import EnvelopeRecord
    from model_envelope.store.store import Store

T = TypeVar("T")

RECENT = 200
"""Ids and tags of so many of the newest envelopes are offered."""

# Typer's script for zsh evaluates what it gets: offer nothing that a shell would read.
_HARMLESS = re.compile(r"[\w.+@%/-]{1,80}")


def ids(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Ids of the newest envelopes, with some of their tags."""
    found = _newest(context)
    return [(record.id, _summary(record)) for record in found if record.id.startswith(incomplete)]


def tag_keys(context: typer.Context, incomplete: str) -> list[str]:
    """Keys of tags: what a query starts with."""
    keys = {key for record in _newest(context) for key in record.tags}
    return sorted(key for key in keys if key.startswith(incomplete) and _HARMLESS.fullmatch(key))


def assignments(context: typer.Context, incomplete: str) -> list[str]:
    """Keys of tags, to give a value to."""
    return [f"{key}=" for key in tag_keys(context, incomplete)]


def targets(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Ids, and keys of tags."""
    return ids(context, incomplete) + [(key, "tag") for key in tag_keys(context, incomplete)]


def rules(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Names of deployment rules, with their services."""
    found = _read(context, lambda store: store.rules())
    return [(r.name, r.service) for r in found or () if r.name.startswith(incomplete)]


def services(context: typer.Context, incomplete: str) -> list[str]:
    """Names of services."""
    found = _read(context, lambda store: store.services())
    return [record.name for record in found or () if record.name.startswith(incomplete)]


def _summary(record: EnvelopeRecord) -> str:
    values = [value for value in record.tags.values() if _HARMLESS.fullmatch(value)]
    return " ".join(values[:4]) or "envelope"


def _newest(context: typer.Context) -> tuple[EnvelopeRecord, ...]:
    from model_envelope.tag_query import parse

    return _read(context, lambda store: store.query(parse("True"), limit=RECENT).records) or ()


def _read(context: typer.Context, read: Callable[[Store], T]) -> T | None:
    """What a store says; None if there is none."""
    from model_envelope.store.opening import open_store

    url = context.find_root().params.get("store") or config.store_url()
    try:
        with open_store(url, create=False) as store:
            return read(store)
    except EnvelopeError:
        return None
