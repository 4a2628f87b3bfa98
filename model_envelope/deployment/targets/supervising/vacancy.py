"""What answers at the URL of a service that runs nothing: that it does."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress

_BODY = b'{"error":"NotDeployed","message":"No model is deployed to this service."}'
_REPLY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
    b"Retry-After: 5\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)
_SECONDS = 5.0


class Vacancy:
    """Answers 503 to whoever connects to a socket, while it is open."""

    def __init__(self, traffic: socket.socket) -> None:
        self._traffic = traffic
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Begin to answer."""
        if self._server is None:
            own = socket.socket(fileno=os.dup(self._traffic.fileno()))
            own.setblocking(False)
            self._server = await asyncio.start_server(_refuse, sock=own, backlog=2048)

    async def close(self) -> None:
        """Leave the socket to others."""
        if self._server is not None:
            self._server.close()
            self._server = None


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, TimeoutError, asyncio.LimitOverrunError, asyncio.IncompleteReadError):
        async with asyncio.timeout(_SECONDS):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(_REPLY)
            writer.write_eof()
            # Closing with a body unread would reset the connection, and lose the answer.
            while await reader.read(1 << 16):
                pass
    writer.close()
