"""The right to change a service: held by one process at a time, and kept while it works."""

from __future__ import annotations

import logging
import math
import os
import socket
import time
from datetime import timedelta
from threading import Event, Thread
from types import TracebackType
from typing import Self

from model_envelope import names
from model_envelope.errors import FenceLost, StoreError
from model_envelope.store.store import Store

LENGTH = timedelta(seconds=30)
"""How long the others wait for a holder that has died."""

_BEATS = 4
_SURE = 10
_log = logging.getLogger(__name__)


class Lease:
    """A claimed service; a context manager that renews the claim in a thread of its own.

    A process that was stopped for longer than the lease finds out when it goes on: `check`,
    and every call to the store with the fence, raise `FenceLost`.
    """

    def __init__(self, store: Store, service: str, fence: int, length: timedelta) -> None:
        self.service = service
        self.fence = fence
        self._store = store
        self._length = length
        self._renewed = -math.inf
        self._done = Event()
        self._beating = Thread(target=self._beat, name=f"lease-{service}", daemon=True)

    @classmethod
    def take(cls, store: Store, service: str, length: timedelta = LENGTH) -> Lease | None:
        """Claim a service; None while another process holds it.

        Raises:
            ServiceNotFound: there is none of this name.
        """
        owner = f"{socket.gethostname()}:{os.getpid()}:{names.new_id()}"
        fence = store.claim(service, owner, length)
        return None if fence is None else cls(store, service, fence, length)

    def check(self) -> None:
        """See that it is still ours. Asks the store only where it could be otherwise.

        Raises:
            FenceLost: another process has taken the service over.
        """
        # Also a process that was stopped sees how late it is.
        if time.monotonic() - self._renewed > self._length.total_seconds() / _SURE:
            self._renew()

    def _renew(self) -> None:
        began = time.monotonic()
        self._store.renew(self.service, self.fence, self._length)
        self._renewed = began

    def __enter__(self) -> Self:
        self._beating.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._done.set()
        self._beating.join()
        try:
            self._store.release_claim(self.service, self.fence)
        except FenceLost:
            _log.info("The service %s was taken over by another process.", self.service)
        except StoreError as failure:
            _log.warning("The lease of %s runs out by itself: %s", self.service, failure)

    def _beat(self) -> None:
        while not self._done.wait(self._length.total_seconds() / _BEATS):
            try:
                self._renew()
            except FenceLost:
                return
            except StoreError as error:
                _log.warning("The lease of %s could not be renewed yet: %s", self.service, error)
