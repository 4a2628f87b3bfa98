"""One request and its answer, on bare ASGI."""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from model_envelope.serving.refusals import Disconnected, Refusal

if TYPE_CHECKING:
    from model_envelope.serving.connection import Passage

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
TEXT = (b"content-type", b"text/plain; charset=utf-8")

_PATH_PREFIX = re.compile(rb"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,62}){1,8}")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}")
_PREFIX = secrets.token_hex(6).encode()
_numbers = itertools.count(1)

# How much of a refused body is read and thrown away, so that its sender sees the answer:
# closing at once would reset the connection under a client that is still sending.
_DISCARDED_BYTES = 64 << 20
_DISCARDED_SECONDS = 5.0
_SMALL_BYTES = 64 << 10


class Reply(msgspec.Struct, frozen=True):
    """An answer to be sent; `about` says which envelope gave it, if not this process's."""

    status: int
    body: bytes
    media_type: str
    about: Headers | None = None
    headers: Sequence[tuple[bytes, bytes]] = ()


class Exchange:
    """A request, and the way to answer it.

    `headers` are by their names in lower case; of several with one name, the last.
    """

    __slots__ = (
        "_length",
        "_receive",
        "_send",
        "headers",
        "method",
        "passage",
        "path",
        "request_id",
        "scope",
        "status",
        "unread",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.passage: Passage | None = scope.get("connection")
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.status = 0
        self.unread = True
        self._receive = receive
        self._send = send
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._length = self.headers.get(b"content-length", b"")
        self.request_id = self.headers.get(b"x-request-id", b"")
        if not (self.request_id and _REQUEST_ID.fullmatch(self.request_id)):
            self.request_id = b"%s-%x" % (_PREFIX, next(_numbers))

    @property
    def target(self) -> bytes:
        """Path and query, as they came."""
        raw: bytes = self.scope["raw_path"]
        query: bytes = self.scope["query_string"]
        return raw + b"?" + query if query else raw

    @property
    def prefix(self) -> bytes:
        """The path that a proxy took off before this one, as it says; empty for none.

        It gets into answers, so what is not plainly a path is taken for none.
        """
        said = self.headers.get(b"x-forwarded-prefix", b"").removesuffix(b"/")
        return said if _PATH_PREFIX.fullmatch(said) else b""

    def size(self, limit: int) -> int:
        """How many bytes the body will have at most.

        Raises:
            Refusal: 413, it will have more than `limit`.
        """
        if not self._length.isdigit():  # it comes in chunks, or there is none
            return limit
        size = int(self._length)
        if size > limit:
            raise _too_large(limit)
        return size

    async def body(self, limit: int, seconds: float) -> bytes:
        """The whole body.

        Raises:
            Refusal: 413, it is larger than `limit` bytes; 408, it took longer than `seconds`.
            Disconnected: the client has gone.
        """
        there = None if self.passage is None else self.passage.body()
        if there is not None:
            self.unread = False
            return _checked(there, limit)
        try:
            async with asyncio.timeout(seconds):
                message = await self._receive()
                if message.get("more_body"):
                    return await self._rest(message, limit)
        except TimeoutError:
            raise Refusal(408, f"The body took longer than {seconds:g} s.") from None
        if message["type"] == "http.disconnect":
            raise Disconnected
        self.unread = False
        return _checked(message["body"], limit)

    async def respond(
        self, status: int, body: bytes, headers: Headers, *, close: bool = False
    ) -> None:
        """Answer; `headers` without length and request id."""
        self.status = status
        unread = status >= 400 and self._has_unread()
        if unread and self._length.isdigit() and int(self._length) <= _SMALL_BYTES:
            unread = not await self._discard()  # it is on its way: the connection can go on
        headers = [
            *headers,
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", self.request_id),
        ]
        if close or unread:
            headers.append((b"connection", b"close"))
        send = self._send
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if unread:
            await send({"type": "http.response.body", "body": body, "more_body": True})
            await self._discard()
            body = b""
        await send({"type": "http.response.body", "body": body})

    def answer(self, head: bytes, body: bytes, *, close: bool) -> bool:
        """Answer at once, if it can be done so; `head` is a status line and own headers."""
        if self.passage is None:
            return False
        head = b"%scontent-length: %d\r\nx-request-id: %s\r\n" % (head, len(body), self.request_id)
        if not self.passage.answer(head, body, close=close):
            return False
        self.status = 200
        return True

    def _has_unread(self) -> bool:
        if self.passage is not None:
            return not self.passage.is_complete
        return self.unread and self.method not in ("GET", "HEAD")

    async def _rest(self, message: MutableMapping[str, Any], limit: int) -> bytes:
        chunks, size = [], 0
        while True:
            if message["type"] == "http.disconnect":
                raise Disconnected
            chunks.append(message["body"])
            size += len(chunks[-1])
            if size > limit:
                raise _too_large(limit)
            if not message["more_body"]:
                self.unread = False
                return b"".join(chunks)
            message = await self._receive()

    async def _discard(self) -> bool:
        """Read the rest of the body; whether its end came in time."""
        size = 0
        try:
            async with asyncio.timeout(_DISCARDED_SECONDS):
                while size < _DISCARDED_BYTES:
                    message = await self._receive()
                    size += len(message.get("body", b""))
                    if not message.get("more_body"):
                        return True
        except TimeoutError:
            pass
        return False


def _checked(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f"The body is larger than {limit} bytes.")
