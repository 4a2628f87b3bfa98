"""Requests that the service itself turns away, whatever the model is."""

from __future__ import annotations


class Refusal(Exception):
    """A request that gets an error instead of an answer.

    Attributes:
        status: of the answer.
        headers: further ones, e.g. `Retry-After`.
    """

    def __init__(self, status: int, message: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(message)
        self.status = status
        self.headers = list(headers)


class Disconnected(Exception):
    """The client has gone; there is nobody to answer."""


RETRY_SOON = (b"retry-after", b"1")
