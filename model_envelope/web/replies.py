"""Answers: JSON, with a tag by which a browser asks whether anything is new."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from fastapi import Depends, Request, Response
from fastapi.responses import StreamingResponse

from model_envelope._version import __version__
from model_envelope.web.access import ClientOf

JSON = "application/json"
OK = 200

_encode = msgspec.json.Encoder().encode


class Unchanged(Exception):
    """What was asked for is as the browser has it."""


def json_reply(body: Any, status: int = OK) -> Response:
    """Plain data as JSON. NaN and infinities, which that has not, are null."""
    return Response(_encode(body), status, media_type=JSON)


def by_revision(request: Request, client: ClientOf) -> None:
    """Answer from the store's revision alone where nothing was written since.

    A dependency of routes that tell nothing but what raises the revision.
    """
    store = client.store
    known = f"{store.address} {store.head()} {__version__} {request.url}"
    request.state.etag = _etag(known.encode())
    if _has(request, request.state.etag):
        raise Unchanged


BY_REVISION = Depends(by_revision)


def unchanged(request: Request) -> Response:
    """That what the browser has is what there is."""
    return Response(status_code=304, headers={"ETag": request.state.etag})


def tagged(request: Request, answer: Response) -> Response:
    """A good answer with its tag; nothing but the tag where the browser has it already."""
    if answer.status_code != OK or isinstance(answer, StreamingResponse):
        return answer
    tag = getattr(request.state, "etag", None) or _etag(bytes(answer.body))
    if _has(request, tag):
        request.state.etag = tag
        return unchanged(request)
    answer.headers["ETag"] = tag
    return answer


def _etag(body: bytes) -> str:
    # Weak: the same answer may be compressed, or not.
    return f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def _has(request: Request, tag: str) -> bool:
    given = request.headers.get("If-None-Match", "")
    return tag in {one.strip() for one in given.split(",")}
