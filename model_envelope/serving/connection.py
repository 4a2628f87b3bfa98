"""A shorter way through uvicorn for whole requests and whole answers.

By ASGI a request takes a receive and two sends, each send with a system call and a look at
every header: together more than a small model takes. Here the body is taken where it is
already complete, and an answer that is made of parts of our own is one write.
"""

from __future__ import annotations

from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# What of uvicorn's request is used here; without them requests go by ASGI alone.
_NEEDED = (
    "body",
    "disconnected",
    "keep_alive",
    "more_body",
    "on_response",
    "response_complete",
    "response_started",
)
_CLOSE = b"connection: close\r\n\r\n"
_HEAD_BYTES = 64 << 10


class Connection(HttpToolsProtocol):
    """One client's connection; each request's scope has its `Passage` as `connection`."""

    _is_known: ClassVar[bool | None] = None
    """Whether uvicorn's requests are as they are needed here; all are of one class."""

    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Refuse heads without an end, which the parser would keep whole."""
        before = self.scope
        super().data_received(data)
        if self.scope is not before:  # a head begins, and most end, within the same data
            self._head_bytes = 0
        elif self.scope is None or self.cycle is None or self.cycle.scope is not self.scope:
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The headers are too large.")

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if Connection._is_known is None:
            Connection._is_known = all(hasattr(cycle, name) for name in _NEEDED)
        cycle.scope["connection"] = Passage(self, cycle) if Connection._is_known else None
        super()._start_asgi_task(cycle, app)


class Passage:
    """One request of a connection."""

    __slots__ = ("_connection", "_cycle")

    def __init__(self, connection: HttpToolsProtocol, cycle: Any) -> None:
        self._connection = connection
        self._cycle = cycle

    @property
    def is_last(self) -> bool:
        """Whether no other request was sent along behind this one."""
        return not self._connection.pipeline

    @property
    def is_complete(self) -> bool:
        """Whether all of the request has come."""
        return not self._cycle.more_body

    def body(self) -> bytes | None:
        """The body, if all of it is there."""
        cycle = self._cycle
        return None if cycle.more_body or cycle.disconnected else bytes(cycle.body)

    def answer(self, head: bytes, body: bytes, *, close: bool) -> bool:
        """Send an answer at once; False where it must go by ASGI.

        Args:
            head: status line and headers, each with its line end.
            body: of the length that they say.
            close: whether the connection ends with it.
        """
        connection, cycle = self._connection, self._cycle
        if cycle.response_started or cycle.disconnected or connection.flow.write_paused:
            return False
        close = close or not cycle.keep_alive
        cycle.response_started = cycle.response_complete = True
        connection.transport.write(b"".join((head, _CLOSE if close else b"\r\n", body)))
        if close:
            connection.transport.close()
        cycle.on_response()
        return True
