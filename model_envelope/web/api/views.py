"""Saved views: what a page's URL searches for, under a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Path

from model_envelope.store.views import MAX_NAME, SavedView
from model_envelope.web.access import Acting, ClientOf
from model_envelope.web.problems import NotHere
from model_envelope.web.routing import router

reads = router("Views")
changes = router("Views")

Name = Annotated[str, Path(max_length=MAX_NAME)]


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """A saved view, and who kept it last."""

    name: str
    search: str
    at: datetime
    by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewList:
    """All saved views, by name."""

    items: Sequence[View]
    next: None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """The search part of a page's URL."""

    search: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Removed:
    """What there is no more."""

    name: str


@reads.get("/views")
def list_views(client: ClientOf) -> ViewList:
    """List the saved views."""
    return ViewList(items=[_view(one) for one in client.store.views()])


@changes.put("/views/{name:path}")
def put_view(client: Acting, name: Name, body: Search) -> View:
    """Keep a view under a name, in the place of another of that name."""
    return _view(client.store.put_view(name, body.search, client.actor))


@changes.delete("/views/{name:path}")
def remove_view(client: Acting, name: Name) -> Removed:
    """Forget a view."""
    if not client.store.remove_view(name):
        raise NotHere(f"There is no saved view {name!r}.")
    return Removed(name=name)


def _view(found: SavedView) -> View:
    return View(name=found.name, search=f"?{found.search}", at=found.at, by=found.actor)
