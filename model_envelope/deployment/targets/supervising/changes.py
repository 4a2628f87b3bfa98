"""How the tasks of a supervisor wait for each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Changes:
    """Something has changed; then it was seen to; then whoever waited looks again."""

    def __init__(self) -> None:
        self._something = asyncio.Event()
        self._seen_to = asyncio.Condition()

    def tell(self) -> None:
        """Something has changed."""
        self._something.set()

    def tell_in(self, seconds: float) -> None:
        """It is to be looked at again."""
        asyncio.get_running_loop().call_later(seconds, self._something.set)

    async def wait(self) -> None:
        """Wait until something has changed that was not waited for yet."""
        await self._something.wait()
        self._something.clear()

    async def done(self) -> None:
        """What has changed was seen to."""
        async with self._seen_to:
            self._seen_to.notify_all()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until this holds after changes were seen to."""
        async with self._seen_to:
            await self._seen_to.wait_for(holds)
