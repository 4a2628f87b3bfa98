"""Triggers for sensors and asset watchers: the store has another answer than before."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from model_envelope.errors import EnvelopeError
from model_envelope.operators.hook import DEFAULT_CONNECTION
from model_envelope.operators.matches import (
    Match,
    Wishes,
    find_match,
    find_wishes,
    read_since,
)
from model_envelope.operators.revision_poll import RevisionPoll, Tick
from model_envelope.tag_query import parse

if TYPE_CHECKING:
    from airflow.sdk.execution_time.context import AssetStateStoreAccessors

    from model_envelope.store.store import Store

log = logging.getLogger(__name__)

CLASS_PATH = "model_envelope.operators.triggers.TagQueryTrigger"
"""Written out, because Airflow stores it: a restart must find the class by this name."""


class Answer(Protocol):
    """What a trigger found in the store; equal answers have equal keys."""

    @property
    def key(self) -> str:
        """Tells it from other answers."""

    @property
    def payload(self) -> dict[str, Any] | None:
        """What the event says: natively JSON. None where the answer wakes nobody up."""


class StoreTrigger(BaseEventTrigger):
    """Fires when the store has another answer than before; what is asked is a subclass's.

    In a task it fires once. In an `AssetWatcher` it fires for the answer that it finds at
    first, and then at every new one; what it announced last is kept with the asset, so that
    a restart neither loses nor repeats it. Events only wake up: each comes at least once,
    and several changes between two polls give one.

    All triggers of one class, connection and interval share one poll of the store's
    revision, and ask only when it has moved.
    """

    class_path: ClassVar[str]
    """Written out, because Airflow stores it: a restart must find the class by this name."""

    def __init__(self, conn_id: str, poll_interval: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.conn_id = conn_id
        self.poll_interval = poll_interval

    @abstractmethod
    def question(self) -> tuple[str, Callable[[Store], Answer | None]]:
        """A name for what is asked, and what finds the answer; None where there is none."""

    def shared_stream_key(self) -> Hashable:
        """Triggers of one connection and interval share one poll."""
        return (self.class_path, self.conn_id, self.poll_interval)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> RevisionPoll:
        """The poll that triggers of one key share."""
        return RevisionPoll(kwargs["conn_id"], kwargs["poll_interval"])

    async def filter_shared_stream(
        self, shared_stream: AsyncIterator[Tick]
    ) -> AsyncIterator[TriggerEvent]:
        """Ask whenever the store has moved: one event for each new answer."""
        name, ask = self.question()
        memory = AssetMemory(self.asset_state_store, f"{self.conn_id}\n{name}")
        announced = await memory.recall()
        asked_at = None
        async for tick in shared_stream:
            if tick.revision == asked_at:
                continue
            try:
                answer = await asyncio.to_thread(ask, tick.store)
            except EnvelopeError as error:
                log.warning("%s Asking again in %g s.", error, self.poll_interval)
                continue
            asked_at = tick.revision
            if answer is None or answer.key == announced:
                continue
            if answer.payload is not None:
                yield TriggerEvent(answer.payload)
                if self.asset_state_store is None:
                    return
            announced = answer.key
            tick.when_persisted.append(memory.keeping(answer))

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


class TagQueryTrigger(StoreTrigger):
    """Fires when the latest match of a tag query is another envelope, or changed.

    The payload `{"envelope_id", "revision", "tags"}` is the match at that time. When nothing
    matches any more there is no event: what runs should keep running. See `StoreTrigger`.

    Args:
        tag_query: text or dict, as everywhere.
        conn_id: connection of type `model_envelope`.
        poll_interval: seconds between two looks at the store.
        since: a revision, or a time in ISO form: older matches do not count.
    """

    class_path = CLASS_PATH

    def __init__(
        self,
        tag_query: str | Mapping[str, Any],
        conn_id: str = DEFAULT_CONNECTION,
        poll_interval: float = 10.0,
        since: int | str | None = None,
    ) -> None:
        super().__init__(conn_id, poll_interval)
        self.tag_query = tag_query
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

    def question(self) -> tuple[str, Callable[[Store], Match | None]]:
        """Asks for the latest match, if it is recent enough."""
        query, since = parse(self.tag_query), read_since(self.since)

        def ask(store: Store) -> Match | None:
            match = find_match(store, query)
            return match if match is not None and match.is_since(since) else None

        return query.text, ask


class RuleTrigger(StoreTrigger):
    """Fires when deployment rules want something else of services than before.

    It plans whenever the store has moved, as `model-envelope plan` does; every rule counts,
    also those that are made later. The payload `{"services"}` names the services as they
    were seen. What is wanted again after it was not wanted for a while, as when a paused rule
    is resumed, is told again. See `StoreTrigger`.

    Args:
        conn_id: connection of type `model_envelope`.
        poll_interval: seconds between two looks at the store.
    """

    class_path = "model_envelope.operators.triggers.RuleTrigger"

    def __init__(self, conn_id: str = DEFAULT_CONNECTION, poll_interval: float = 2.0) -> None:
        super().__init__(conn_id, poll_interval)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments."""
        return self.class_path, {"conn_id": self.conn_id, "poll_interval": self.poll_interval}

    def question(self) -> tuple[str, Callable[[Store], Wishes]]:
        """Asks what rules would change."""
        return "rules", find_wishes


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
        """The `Answer.key` that all assets know, empty at first; None when they differ."""
        known = {str(await asset.aget(self._key, "")) for asset in self._assets}
        return known.pop() if len(known) == 1 else None

    def keeping(self, answer: Answer) -> Callable[[], Awaitable[None]]:
        """Remembers `answer` when it is called."""

        async def keep() -> None:
            for asset in self._assets:
                await asset.aset(self._key, answer.key)

        return keep
