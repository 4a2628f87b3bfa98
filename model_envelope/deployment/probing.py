"""Asking a release over HTTP, past whatever stands before it."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from model_envelope.deployment.cluster.forwarding import SCHEME, PodConnection
from model_envelope.errors import TargetFailed

ARROW = "application/vnd.apache.arrow.stream"
JSON = "application/json"
UNIX = "unix:"
LARGEST = 256 << 20
"""Bytes of an answer that are read at most."""

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back, and how long it took from connecting to the last byte."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    @property
    def text(self) -> str:
        """The body for a message: its first 500 characters."""
        return self.body[:2_000].decode(errors="replace")[:500]

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: it is none.
        """
        return json.loads(self.body)


class Unanswered(TargetFailed):
    """A release could not be reached, or hung up."""


def ask(
    address: str,
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    headers: Mapping[str, str] = _NOTHING,
    timeout: float = 10.0,
    largest: int = LARGEST,
) -> Answer:
    """Send one request on a connection of its own.

    Args:
        address: `http://host:port`, with a path or without, `unix:/path` of a socket, or
            `pod://name:port` of one in the cluster.
        method: of HTTP.
        path: below the address, starting with a slash.
        body: what to send.
        headers: beside those of HTTP itself.
        timeout: seconds to wait for each part of the answer.
        largest: bytes of its body that are read at most.

    Raises:
        Unanswered: nothing came, or something that is no HTTP.
    """
    began = time.monotonic()
    prefix = "" if address.startswith(UNIX) else urlsplit(address).path.rstrip("/")
    with closing(_connection(address, timeout)) as connection:
        try:
            connection.request(method, prefix + path, body, dict(headers) | {"Connection": "close"})
            response = connection.getresponse()
            found = response.read(largest)
        except (OSError, http.client.HTTPException) as error:
            told = str(error) or type(error).__name__
            raise Unanswered(f"{method} {path} at {address} was not answered: {told}.") from error
    return Answer(
        status=response.status,
        headers={name.lower(): value for name, value in response.getheaders()},
        body=found,
        seconds=time.monotonic() - began,
    )


def _connection(address: str, timeout: float) -> http.client.HTTPConnection:
    if address.startswith(UNIX):
        return _UnixConnection(address.removeprefix(UNIX), timeout)
    if address.startswith(SCHEME):
        return PodConnection(address, timeout)
    parts = urlsplit(address)
    if parts.scheme != "http" or parts.hostname is None:
        raise TargetFailed(f"{address!r} is no address of a release: http://host:port or unix:/….")
    return http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=timeout)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
