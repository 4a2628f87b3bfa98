"""The paths of a service, and what answers them.

Each function is a model of the Open Inference Protocol, called as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from model_envelope.serving.control import Control
from model_envelope.serving.examples import read_examples
from model_envelope.serving.exchange import JSON, TEXT, Exchange, Headers
from model_envelope.serving.formats import Codec, v2
from model_envelope.serving.functions import Function
from model_envelope.serving.instruments import CONTENT_TYPE
from model_envelope.serving.refusals import Refusal

if TYPE_CHECKING:
    from model_envelope.serving.application import Application

Handler = Callable[[Exchange], Awaitable[None]]

_GET = ("GET", "HEAD")
_POST = ("POST",)
_READY = (b'{"ready":true}', b'{"ready":false}')
_VARY = (b"vary", b"x-forwarded-prefix")
ALL = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Route:
    """What answers a path; `name` is how metrics and logs call it."""

    name: str
    methods: tuple[str, ...]
    handler: Handler


def routes(application: Application) -> dict[str, Route]:
    """Every path of a service."""
    found: dict[str, Route] = {}
    for function in application.functions.values():
        found |= _of_function(application, function)
    # Last: a function that is called `metrics` must not hide what watches the service.
    control = Control(application)
    found |= {path: Route(path, ALL, control) for path in control.paths}
    live, ready = _live(application), _ready(application, b"ok\n", b"draining\n")
    found |= {
        "/livez": Route("/livez", _GET, live),
        "/readyz": Route("/readyz", _GET, ready),
        "/health": Route("/health", _GET, ready),  # as MLflow's server calls it
        "/ping": Route("/ping", _GET, ready),
        "/metrics": Route("/metrics", _GET, _metrics(application)),
        "/openapi.json": Route("/openapi.json", _GET, _made(application, _openapi, _with_server)),
        "/": Route("/", _GET, _made(application, _page, _with_base)),
        "/v2": Route("/v2", _GET, _document(application, _about(application))),
        "/v2/health/live": Route("/v2/health/live", _GET, _document(application, b'{"live":true}')),
        "/v2/health/ready": Route("/v2/health/ready", _GET, _ready(application, *_READY)),
    }
    return found


def not_found(application: Application) -> Route:
    """What answers all other paths."""
    known = ", ".join(f"/{name}" for name in application.functions)

    async def refuse(exchange: Exchange) -> None:
        raise Refusal(404, f"There is no such path here. Predictions: POST {known}; see /.")

    return Route("(none)", ALL, refuse)


def not_allowed(route: Route) -> Handler:
    """What answers a method that a path does not take."""
    allowed = ", ".join(route.methods)

    async def refuse(exchange: Exchange) -> None:
        raise Refusal(405, f"{route.name} takes {allowed}.", (b"allow", allowed.encode()))

    return refuse


def _of_function(application: Application, function: Function) -> dict[str, Route]:
    native = f"/{function.name}"
    found = {native: Route(native, _POST, application.prediction(function, "native"))}
    if function is next(iter(application.functions.values())):
        mlflow = application.prediction(function, "mlflow")
        found["/invocations"] = Route("/invocations", _POST, mlflow)
    model = f"/v2/models/{function.name}"
    metadata = _document(application, msgspec.json.encode(function.codec.v2.metadata()))
    infer = application.prediction(function, "v2")
    name = b'"%s"' % function.name.encode()
    ready = _ready(application, *(b'{"name":%s,%s' % (name, body[1:]) for body in _READY))
    for start in (model, f"{model}/versions/{application.plan.envelope_id}"):
        found[start] = Route(model, _GET, metadata)
        found[f"{start}/ready"] = Route(f"{model}/ready", _GET, ready)
        found[f"{start}/infer"] = Route(f"{model}/infer", _POST, infer)
    return found


def _about(application: Application) -> bytes:
    return msgspec.json.encode(v2.server_metadata(application.plan.envelope_id))


def _live(application: Application) -> Handler:
    async def answer(exchange: Exchange) -> None:
        await application.respond(exchange, 200, b"ok\n", TEXT)

    return answer


def _ready(application: Application, ready: bytes, going: bytes) -> Handler:
    media_type = JSON if ready.startswith(b"{") else TEXT

    async def answer(exchange: Exchange) -> None:
        status, body = (503, going) if application.draining else (200, ready)
        await application.respond(exchange, status, body, media_type)

    return answer


def _metrics(application: Application) -> Handler:
    content_type = (b"content-type", CONTENT_TYPE)

    async def answer(exchange: Exchange) -> None:
        await application.respond(exchange, 200, application.instruments.text(), content_type)

    return answer


def _document(
    application: Application, body: bytes, media_type: tuple[bytes, bytes] = JSON
) -> Handler:
    async def answer(exchange: Exchange) -> None:
        await application.respond(exchange, 200, body, media_type)

    return answer


def _made(
    application: Application,
    make: Callable[[Application], tuple[bytes, Headers]],
    place: Callable[[bytes, bytes], bytes],
) -> Handler:
    """Answers with what is made when it is first asked for: a service starts without it.

    `place` puts the prefix of a proxy's path into it.
    """
    cached: list[tuple[bytes, Headers]] = []

    async def answer(exchange: Exchange) -> None:
        if not cached:
            cached.append(await asyncio.to_thread(make, application))
        body, headers = cached[0]
        if exchange.prefix:
            body = place(body, exchange.prefix)
        await application.respond(exchange, 200, body, _VARY, *headers)

    return answer


def _with_server(document: bytes, prefix: bytes) -> bytes:
    return b'{"servers":[{"url":"%s"}],%s' % (prefix, document[1:])


def _with_base(page: bytes, prefix: bytes) -> bytes:
    return page.replace(b"<head>", b'<head>\n<base href="%s/">' % prefix, 1)


def _openapi(application: Application) -> tuple[bytes, Headers]:
    from model_envelope.serving import openapi

    found = openapi.document(
        application.plan, _codecs(application), read_examples(application.plan)
    )
    return msgspec.json.encode(found), [JSON]


def _page(application: Application) -> tuple[bytes, Headers]:
    from model_envelope.serving import page

    examples = read_examples(application.plan)
    found = page.page(application.plan, _codecs(application), examples)
    return found.body, [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", found.policy.encode()),
        (b"x-content-type-options", b"nosniff"),
    ]


def _codecs(application: Application) -> dict[str, Codec]:
    return {name: function.codec for name, function in application.functions.items()}
