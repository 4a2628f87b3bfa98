"""One trigger for sensors and asset watchers: a tag query has another answer."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from model_envelope.errors import EnvelopeError
from model_envelope.operators.hook import DEFAULT_CONNECTION
from model_envelope.operators.matches import Match, find_match, read_since
from model_envelope.operators.revision_poll import RevisionPoll, Tick
from model_envelope.tag_query import parse

if TYPE_CHECKING:
    from airflow.sdk.execution_time.context import AssetStateStoreAccessors

log = logging.getLogger(__name__)

CLASS_PATH = "model_envelope.operators.triggers.TagQueryTrigger"
"""Written out, because Airflow stores it: a restart must find the class by this name."""


class TagQueryTrigger(BaseEventTrigger):
    """Fires when the latest match of a tag query is another envelope, or changed.

    In a task it fires once. In an `AssetWatcher` it fires for the match that it finds at
    first, and then at every new answer; what it announced last is kept with the asset, so
    that a restart neither loses nor repeats it. Events only wake up: each comes at least
    once, several changes between two polls give one, and the payload
    `{"envelope_id", "revision", "tags"}` is the match at that time. When nothing matches
    any more there is no event: what runs should keep running.

    All triggers of one connection and interval share one poll of the store's revision,
    and ask their own queries only when it has moved.

    Args:
        tag_query: text or dict, as everywhere.
        conn_id: connection of type `model_envelope`.
        poll_interval: seconds between two looks at the store.
        since: a revision, or a time in ISO form: older matches do not count.
    """

    def __init__(
        self,
        tag_query: str | Mapping[str, Any],
        conn_id: str = DEFAULT_CONNECTION,
        poll_interval: float = 10.0,
        since: int | str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tag_query = tag_query
        self.conn_id = conn_id
        self.poll_interval = poll_interval
        self.since = since

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, the query in its canonical form.

        Raises:
            TagQueryError: so that a wrong query fails where the DAG is parsed, not in
                the triggerer, where nobody looks.
        """
        return CLASS_PATH, {
            "tag_query": parse(self.tag_query).text,
            "conn_id": self.conn_id,
            "poll_interval": self.poll_interval,
            "since": self.since,
        }

    def shared_stream_key(self) -> Hashable:
        """Triggers of one connection and interval share one poll."""
        return (CLASS_PATH, self.conn_id, self.poll_interval)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> RevisionPoll:
        """The poll that triggers of one key share."""
        return RevisionPoll(kwargs["conn_id"], kwargs["poll_interval"])

    async def filter_shared_stream(
        self, shared_stream: AsyncIterator[Tick]
    ) -> AsyncIterator[TriggerEvent]:
        """Ask the query whenever the store has moved: one event for each new answer."""
        query, since = parse(self.tag_query), read_since(self.since)
        memory = AssetMemory(self.asset_state_store, f"{self.conn_id}\n{query.text}")
        announced = await memory.recall()
        asked_at = None
        async for tick in shared_stream:
            if tick.revision == asked_at:
                continue
            try:
                match = await asyncio.to_thread(find_match, tick.store, query)
            except EnvelopeError as error:
                log.warning("%s Asking again in %g s.", error, self.poll_interval)
                continue
            asked_at = tick.revision
            if match is None or match.key == announced or not match.is_since(since):
                continue
            yield TriggerEvent(match.payload)
            if self.asset_state_store is None:
                return
            announced = match.key
            tick.when_persisted.append(memory.keeping(match))

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """The same for a trigger that runs alone, outside Airflow's shared streams."""
        poll = RevisionPoll(self.conn_id, self.poll_interval)

        async def ticks() -> AsyncIterator[Tick]:
            async for tick, _ in poll.open_stream():
                yield tick
                await tick.persisted()

        try:
            async for event in self.filter_shared_stream(ticks()):
                yield event
        finally:
            await poll.aclose()


class AssetMemory:
    """What a watcher announced last, kept with its assets over restarts of the triggerer.

    Assets of one trigger get the same events. When they remember different things, one
    of them was added later, and the present match is announced again to all.

    Args:
        state: what Airflow gives a watcher; None in a task, which needs no memory.
        watcher: tells the watchers of one asset apart.
    """

    def __init__(self, state: AssetStateStoreAccessors | None, watcher: str) -> None:
        # Airflow offers the state of all assets only when there is one.
        self._assets = [] if state is None else [*state._by_name.values(), *state._by_uri.values()]
        self._key = f"model_envelope.{hashlib.sha256(watcher.encode()).hexdigest()[:16]}"

    async def recall(self) -> str | None:
        """The `Match.key` that all assets know, empty at first; None when they differ."""
        known = {str(await asset.aget(self._key, "")) for asset in self._assets}
        return known.pop() if len(known) == 1 else None

    def keeping(self, match: Match) -> Callable[[], Awaitable[None]]:
        """Remembers `match` when it is called."""

        async def keep() -> None:
            for asset in self._assets:
                await asset.aset(self._key, match.key)

        return keep
