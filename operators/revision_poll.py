"""One poll of a store's revision, shared by all triggers that wait for it to move."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowException
from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer

from model_envelope.errors import EnvelopeError
from model_envelope.operators.hook import ModelEnvelopeHook

if TYPE_CHECKING:
    from model_envelope.store.store import Store

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Tick:
    """One look at the store.

    A trigger that fires on it adds to `when_persisted` what must wait until Airflow has
    its event in the database.
    """

    store: Store
    revision: int
    when_persisted: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def persisted(self) -> None:
        """Do what waited. A failure costs a repeated event later, not the poll."""
        for action in self.when_persisted:
            try:
                await action()
            except Exception:
                log.exception("What was announced could not be kept with the asset.")
        self.when_persisted.clear()


class RevisionPoll(SharedStreamProducer):
    """Gives a `Tick` every `interval` seconds, for as long as anybody listens.

    A store that cannot be reached, or that awaits its upgrade, is logged and asked again:
    Airflow starts a failed watcher anew at once, so failing would only be a busy loop.

    Args:
        conn_id: connection of type `model_envelope`.
        interval: seconds between two looks.
    """

    def __init__(self, conn_id: str, interval: float) -> None:
        self._conn_id = conn_id
        self._interval = interval
        self._store: Store | None = None

    async def open_stream(self) -> AsyncIterator[tuple[Tick, Tick]]:
        """Pairs of event and what `advance` gets for it: both the tick."""
        while True:
            try:
                if self._store is None:
                    self._store = await ModelEnvelopeHook(self._conn_id).astore()
                revision = await asyncio.to_thread(self._store.head)
            except (EnvelopeError, AirflowException) as error:
                log.warning("%s Trying again in %g s.", error, self._interval)
            else:
                tick = Tick(self._store, revision)
                yield tick, tick
            await asyncio.sleep(self._interval)

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Every event that came of these ticks is in Airflow's database, unless it failed."""
        for tick, outcome in batch:
            if not outcome.failed:
                await tick.persisted()

    async def aclose(self) -> None:
        """Close the connections to the store."""
        if self._store is not None:
            await asyncio.to_thread(self._store.close)
