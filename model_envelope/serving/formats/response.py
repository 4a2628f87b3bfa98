"""An answer as it goes to the client."""

from __future__ import annotations

import msgspec


class Response(msgspec.Struct, frozen=True):
    """A body with its media type. `headers` are others than `Content-Type`."""

    body: bytes
    media_type: str
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
