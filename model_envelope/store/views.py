"""Pages that people keep under a name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, func, select

from model_envelope.errors import InvalidInput
from model_envelope.names import check_text
from model_envelope.store.database import Database, upsert
from model_envelope.store.tables import saved_view

MAX_VIEWS = 500
MAX_NAME = 128
MAX_SEARCH = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedView:
    """The search part of a page's URL, under a name; `actor` kept it last, `at` that time."""

    name: str
    search: str
    at: datetime
    actor: str


def find(connection: Connection) -> tuple[SavedView, ...]:
    """All of them, by name."""
    rows = connection.execute(select(saved_view)).all()
    found = (SavedView(name=r.name, search=r.search, at=r.at, actor=r.actor) for r in rows)
    return tuple(sorted(found, key=lambda view: view.name))


def put(connection: Connection, view: SavedView) -> SavedView:
    """Keep one, in the place of another of that name."""
    others = select(func.count()).select_from(saved_view).where(saved_view.c.name != view.name)
    if (connection.scalar(others) or 0) >= MAX_VIEWS:
        raise InvalidInput(f"There are {MAX_VIEWS} saved views already: delete one.")
    row = {"name": view.name, "search": view.search, "at": view.at, "actor": view.actor}
    upsert(connection, saved_view, [row], ("search", "at", "actor"))
    return view


def remove(connection: Connection, name: str) -> bool:
    """Forget one; whether it was there."""
    return bool(connection.execute(delete(saved_view).where(saved_view.c.name == name)).rowcount)


class ViewBook:
    """Saved views; one transaction for each call, see `Store`."""

    _database: Database

    def views(self) -> tuple[SavedView, ...]:
        """All saved views, by name."""
        return self._database.read(find)

    def put_view(self, name: str, search: str, actor: str = "") -> SavedView:
        """Keep what a page's URL searches for; one of the same name is replaced.

        Args:
            name: up to 128 bytes of printable text.
            search: the search part of the URL, with or without `?`.
            actor: who says so.

        Raises:
            InvalidInput: of another form, or there are too many views.
        """
        check_text(name, "A saved view's name", MAX_NAME)
        search = search.removeprefix("?")
        if len(search) > MAX_SEARCH or not search.isprintable() or "#" in search:
            raise InvalidInput(
                f"{search!r:.60} is no search part of a URL of at most {MAX_SEARCH:,} characters."
            )
        view = SavedView(name=name, search=search, at=datetime.now(UTC), actor=actor)
        return self._database.write(lambda c: put(c, view))

    def remove_view(self, name: str) -> bool:
        """Forget a saved view; whether there was one."""
        return self._database.write(lambda c: remove(c, name))
