"""A small HTTP client for one other service: kept-alive connections, and a deadline.

It speaks to services of this package only, which always say how long a body is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from model_envelope.errors import InvalidInput

_MAX_IDLE = 32
_MAX_HEAD = 64 << 10
_MAX_BODY = 1 << 30
_BROKEN = (
    OSError,
    ValueError,
    LookupError,
    asyncio.IncompleteReadError,
    asyncio.LimitOverrunError,
)


class UpstreamFailed(Exception):
    """No complete answer came."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; header names are lower-case."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


@dataclass(slots=True, eq=False)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Upstream:
    """The service at `http://host:port` or `unix:/path`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._idle: list[_Connection] = []
        self._socket = ""
        if address.startswith("unix:/"):
            self._socket, self._host, self._port = address.removeprefix("unix:"), "localhost", 0
            return
        parts = urlsplit(address)
        try:
            port = parts.port
        except ValueError:
            port = None
        if parts.scheme != "http" or not parts.hostname or not port or parts.path not in ("", "/"):
            raise InvalidInput(
                f"{address!r:.200} is no address of a service: give http://host:port or unix:/path."
            )
        self._host, self._port = parts.hostname, port

    async def post(
        self, path: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytes, *, seconds: float
    ) -> Answer:
        """Send a request and read the answer.

        Raises:
            UpstreamFailed: it could not be reached, ended early, or took longer than `seconds`.
        """
        lines = [b"POST %s HTTP/1.1\r\nhost: %s\r\n" % (path, self._host.encode())]
        lines += [b"%s: %s\r\n" % pair for pair in headers]
        lines.append(b"content-length: %d\r\n\r\n" % len(body))
        message = b"".join(lines) + body
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(message)
        except TimeoutError:
            raise UpstreamFailed(f"{self.address}: no answer in {seconds:g} s") from None
        except _BROKEN as error:
            raise UpstreamFailed(f"{self.address}: {type(error).__name__}: {error}") from error

    def close(self) -> None:
        """End the connections that nobody uses."""
        for connection in self._idle:
            connection.writer.close()
        self._idle.clear()

    async def _exchange(self, message: bytes) -> Answer:
        while self._idle:
            connection = self._idle.pop()
            try:
                return await self._use(connection, message)
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                # Closed while nobody used it: the request was never read. Try another.
                if isinstance(error, asyncio.IncompleteReadError) and error.partial:
                    raise
        return await self._use(await self._connect(), message)

    async def _connect(self) -> _Connection:
        if self._socket:
            return _Connection(*await asyncio.open_unix_connection(self._socket, limit=_MAX_HEAD))
        return _Connection(*await asyncio.open_connection(self._host, self._port, limit=_MAX_HEAD))

    async def _use(self, connection: _Connection, message: bytes) -> Answer:
        try:
            connection.writer.write(message)
            await connection.writer.drain()
            answer = await _read(connection.reader)
        except BaseException:
            connection.writer.close()
            raise
        if answer.headers.get(b"connection") == b"close" or len(self._idle) >= _MAX_IDLE:
            connection.writer.close()
        else:
            self._idle.append(connection)
        return answer


async def _read(reader: asyncio.StreamReader) -> Answer:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].split(b"\r\n")
    status = int(first.split(b" ", 2)[1])
    headers = {}
    for line in lines:
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip()
        if not value.isascii() or not value.decode().isprintable():
            raise ValueError("a header that cannot be passed on")
    length = int(headers[b"content-length"])
    if not 0 <= length <= _MAX_BODY:
        raise ValueError(f"a body of {length} bytes")
    body = await reader.readexactly(length)
    return Answer(status, headers, body)
