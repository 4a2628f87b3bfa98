"""What every request and every answer has: an id, bounds, and headers that keep browsers safe."""

from __future__ import annotations

import secrets

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 4 << 20
"""Bytes of a request's body."""

HEADERS = {
    "Cache-Control": "private, no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Frame:
    """Gives each request an id, refuses bodies that are too large, and adds our headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Frame a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        # Not shared with other requests, as `state` of the server may be.
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, _bounded(scope, receive), sending)


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """What receives a body, and no more of it than may be."""
    left = LARGEST_BODY
    said = Headers(scope=scope).get("content-length", "0")
    told = int(said) if said.isdecimal() and len(said) < 20 else LARGEST_BODY + 1

    async def receiving() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0 or told > LARGEST_BODY:
            raise HTTPException(413, f"A request may have {LARGEST_BODY >> 20} MB.")
        return message

    return receiving
