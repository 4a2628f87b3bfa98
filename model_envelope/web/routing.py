"""Routes whose functions give plain data."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from model_envelope.web.problems import refusal
from model_envelope.web.replies import OK, Unchanged, json_reply, tagged, unchanged


class Reply(APIRoute):
    """A route whose function gives plain data.

    It is encoded by msgspec as it is: what is sent is ours, so nothing has to check it.
    The function's documentation is the route's.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        summary, _, description = (inspect.getdoc(endpoint) or "").partition("\n")
        options |= {"summary": summary.rstrip("."), "description": description.strip()}
        # Routers make a router's routes once more when they take it in.
        replying = _replying(inspect.unwrap(endpoint), options.get("status_code") or OK)
        super().__init__(path, replying, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler: every answer has a tag, every error is a refusal."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                answer = await handle(request)
            except Unchanged:
                return unchanged(request)
            except Exception as error:
                return refusal(request, error)
            return tagged(request, answer) if request.method == "GET" else answer

        return handler


def router(noun: str) -> APIRouter:
    """A router of such routes."""
    return APIRouter(tags=[noun], route_class=Reply)


def _replying(endpoint: Callable[..., Any], status: int) -> Callable[..., Any]:
    @wraps(endpoint)
    def reply(*given: Any, **named: Any) -> Response:
        found = endpoint(*given, **named)
        return found if isinstance(found, Response) else json_reply(found, status)

    return reply
