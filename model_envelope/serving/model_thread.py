"""The one thread that predicts, and how batches get there and back.

A model is always called in this thread, whatever it keeps for itself there, and the event
loop never runs it. But to hand over costs more than a small model does: two threads that
both want the interpreter wake each other for every batch. So the event loop waits for a
batch that will be quick, a millisecond at most, and goes on with the answers in hand.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")

PATIENCE_SECONDS = 0.001
"""How long the event loop may stand still for a batch."""


class ModelThread(Generic[Given, Made]):
    """Makes one thing at a time, outside the event loop that it is made in.

    Args:
        make: called in the thread; must not raise.
        deliver: called in the event loop with what `begin` did not wait for.
    """

    def __init__(
        self, make: Callable[[Given], Made], deliver: Callable[[Given, Made], None]
    ) -> None:
        self._make = make
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._given: queue.SimpleQueue[tuple[Given] | None] = queue.SimpleQueue()
        self._made: queue.SimpleQueue[tuple[Given, Made]] = queue.SimpleQueue()
        self._is_awaited = False
        threading.Thread(target=self._work, name="model", daemon=True).start()

    def begin(self, given: Given, *, wait: bool) -> Made | None:
        """Hand something over; the last thing must have come back.

        Returns:
            What was made of it, if that came while the caller waited; else `deliver` gets it.
        """
        self._is_awaited = wait
        self._given.put((given,))
        if not wait:
            return None
        try:
            return self._made.get(timeout=PATIENCE_SECONDS)[1]
        except queue.Empty:
            self._is_awaited = False
        try:
            # Put there before the thread could see that nobody waits any more.
            return self._made.get_nowait()[1]
        except queue.Empty:
            return None

    def close(self) -> None:
        """End the thread once it has made what it was given."""
        self._given.put(None)

    def _work(self) -> None:
        while (order := self._given.get()) is not None:
            self._made.put((order[0], self._make(order[0])))
            if self._is_awaited:
                continue
            try:
                self._loop.call_soon_threadsafe(self._fetch)
            except RuntimeError:  # the loop has ended: nobody waits for it any more
                return

    def _fetch(self) -> None:
        try:
            given, made = self._made.get_nowait()
        except queue.Empty:  # `begin` was faster
            return
        self._deliver(given, made)
