"""The socket of a service's URL, which its releases share and hand on to each other."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

_log = logging.getLogger(__name__)

_PAUSE_SECONDS = 0.5


class Traffic:
    """Takes connections from an inherited listening socket between `accept` and `cease`.

    Other processes have the same socket: what is not taken here waits for them, or for
    the next `accept`. Connections are taken one at a time, so that replicas that are less
    busy get more of them.

    Args:
        listener: the socket; it is only ever accepted from.
        protocol: makes what speaks HTTP on a connection.
    """

    def __init__(self, listener: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> None:
        listener.setblocking(False)
        self.accepting = False
        self._listener = listener
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[object]] = set()

    def accept(self) -> None:
        """Begin to take connections."""
        if not self.accepting:
            self._loop.add_reader(self._listener, self._take)
            self.accepting = True

    def cease(self) -> None:
        """Take no more; those that were taken stay as they are."""
        if self.accepting:
            self._loop.remove_reader(self._listener)
            self.accepting = False

    def _take(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # Another process was faster, or the client has gone.
        except OSError as error:
            _log.error("No connection can be taken for a moment: %s", error)
            self._loop.remove_reader(self._listener)
            self._loop.call_later(_PAUSE_SECONDS, self._resume)
            return
        connection.setblocking(False)
        opening = self._loop.create_task(
            self._loop.connect_accepted_socket(self._protocol, connection)
        )
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    def _resume(self) -> None:
        if self.accepting:
            self._loop.add_reader(self._listener, self._take)
