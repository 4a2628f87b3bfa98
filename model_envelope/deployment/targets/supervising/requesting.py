"""Requests from a supervisor to the control endpoints of its own processes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

_SECONDS = 15.0


class NoAnswer(Exception):
    """A process did not do what it was told; says what came instead."""


async def request(port: int, method: str, path: str, token: str, body: Any = None) -> Any:
    """Send one request to a port of this machine and give the JSON that comes back.

    Raises:
        NoAnswer: it does not answer in time, or with another status than 2xx.
    """
    try:
        async with asyncio.timeout(_SECONDS):
            reply = await _exchange(port, _message(method, path, token, body))
    except (OSError, TimeoutError) as error:
        raise NoAnswer(f"{method} {path}: {type(error).__name__} {error}") from error
    head, _, content = reply.partition(b"\r\n\r\n")
    status = head.partition(b"\r\n")[0].decode("latin-1")
    if not status.startswith("HTTP/1.1 2"):
        raise NoAnswer(f"{method} {path}: {status} {content[:500].decode('utf-8', 'replace')}")
    return json.loads(content) if content else None


async def lives(port: int, seconds: float) -> bool:
    """Whether the process at a port of this machine answers at all."""
    try:
        async with asyncio.timeout(seconds):
            return bool(await _exchange(port, _message("GET", "/livez", "", None)))
    except (OSError, TimeoutError):
        return False


async def _exchange(port: int, message: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(message)
        return await reader.read()
    finally:
        writer.close()


def _message(method: str, path: str, token: str, body: Any) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {token}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        "Connection: close",
    )
    return "\r\n".join((*head, "", "")).encode() + content
