"""What sensors, triggers and watchers ask a store: the answer of a tag query, and its age."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from model_envelope.errors import InvalidInput

if TYPE_CHECKING:
    from model_envelope.store.rows import Change
    from model_envelope.store.store import Store
    from model_envelope.tag_query import TagQuery

Since = int | datetime | None
"""A revision (exclusive) or a time (inclusive); None: ever."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """The latest match of a tag query.

    `revision` and `at` tell when the envelope was saved or something that the query looks
    at was last changed: another tag's edit makes no new match, so a DAG that tags what it
    has used does not wake itself up.
    """

    envelope_id: str
    revision: int
    at: datetime
    tags: Mapping[str, str]

    @property
    def key(self) -> str:
        """Equal for equal answers."""
        return f"{self.envelope_id}@{self.revision}"

    @property
    def payload(self) -> dict[str, Any]:
        """What a trigger event says: natively JSON."""
        return {
            "envelope_id": self.envelope_id,
            "revision": self.revision,
            "tags": dict(self.tags),
        }

    def is_since(self, since: Since) -> bool:
        """Whether it is a new match, or changed, since a revision or time."""
        if since is None:
            return True
        if isinstance(since, datetime):
            return self.at >= since
        return self.revision > since


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What deployment rules want that does not run yet, by service."""

    by_service: Mapping[str, str]

    @property
    def key(self) -> str:
        """Equal for equal wishes."""
        told = "\n".join(self.by_service.values())
        return hashlib.sha256(told.encode()).hexdigest()

    @property
    def payload(self) -> dict[str, Any] | None:
        """What a trigger event says; None where nothing is wanted."""
        return {"services": [*self.by_service]} if self.by_service else None


def find_wishes(store: Store) -> Wishes:
    """What rules would change now.

    Raises:
        StoreError: the store cannot be read.
    """
    from model_envelope.deployment.planning import plan

    wishes = {
        change.service: f"{change.service} {change.envelope_id} {change.rule}@{change.revision}"
        for change in plan(store).changes
    }
    return Wishes(by_service=wishes)


def read_since(value: int | str | datetime | None) -> Since:
    """A revision or time as templates render it: `42`, `2026-01-31T06:00:00+00:00`, or empty.

    Raises:
        InvalidInput: it is neither, or a time without zone.
    """
    if value is None or value in ("", "None"):
        return None
    if isinstance(value, str):
        try:
            value = int(value) if value.isdecimal() else datetime.fromisoformat(value)
        except ValueError:
            raise InvalidInput(
                f"since={value!r} is neither a revision nor a time in ISO form."
            ) from None
    if isinstance(value, datetime) and value.tzinfo is None:
        raise InvalidInput(f"since={value.isoformat()!r} lacks a time zone: add one, e.g. +00:00.")
    return value


def find_match(store: Store, query: TagQuery) -> Match | None:
    """The latest match of a query, and since when it is what it is; None without any.

    Raises:
        StoreError: the store cannot be read.
    """
    record = store.latest(query)
    if record is None:
        return None
    last = [c for c in store.history(record.id) if _concerns(c, query)][-1]
    return Match(envelope_id=record.id, revision=last.revision, at=last.at, tags=record.tags)


def _concerns(change: Change, query: TagQuery) -> bool:
    match change.kind:
        case "saved" | "archived" | "unarchived" | "deleted" | "undeleted":
            return True
        case "tags":
            return not query.keys.isdisjoint({*change.data["before"], *change.data["after"]})
        case "metrics":
            return not query.metrics.isdisjoint(change.data["names"])
        case _:
            return False
