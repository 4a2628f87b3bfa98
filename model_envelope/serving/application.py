"""The routes of a service, on bare ASGI: frameworks cost more than the model does."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from model_envelope.errors import SchemaError
from model_envelope.serving.exchange import JSON, Exchange, Headers, Receive, Reply, Scope, Send
from model_envelope.serving.formats import (
    BadRequest,
    Codec,
    Dialect,
    Request,
    error_body,
    v2_error_body,
)
from model_envelope.serving.functions import Function
from model_envelope.serving.instruments import Instruments
from model_envelope.serving.listening import Traffic
from model_envelope.serving.plan import ServicePlan
from model_envelope.serving.queueing import Job, ModelQueue
from model_envelope.serving.refusals import RETRY_SOON, Disconnected, Refusal
from model_envelope.serving.routing import Handler, Route, not_allowed, not_found, routes
from model_envelope.serving.splitting import Split

if TYPE_CHECKING:
    from model_envelope.serving.recording import Recorder

_log = logging.getLogger(__name__)

_LARGE = 64 << 10
# Bodies of the largest size that may be under way at once.
_LARGEST_BODIES = 16


class Application:
    """A loaded service."""

    def __init__(
        self,
        plan: ServicePlan,
        functions: dict[str, Function],
        *,
        access_log: float = 0.0,
    ) -> None:
        self.plan = plan
        self.functions = functions
        self.draining = False
        self.ceased = False
        self.traffic: Traffic | None = None
        self.split: Split | None = None
        self.in_progress = 0
        """Predictions that were begun and not answered yet."""
        self._body_bytes = 0
        self.instruments = Instruments(plan)
        self._access_log = access_log
        self._about: Headers = [
            (b"x-envelope-id", plan.envelope_id.encode()),
            (b"x-release", plan.release.encode()),
        ]
        self._recorder: Recorder | None = None
        self._heads: dict[str, bytes] = {}
        self._routes = routes(self)
        self._unknown = not_found(self)

    def start(self) -> None:
        """Start the model's thread; to be called in the running loop."""
        self.queue = ModelQueue(self.plan.limits, self.functions.values(), self)
        if self.plan.log.mode != "off":
            from model_envelope.serving.recording import Recorder

            self._recorder = Recorder(self.plan.log, self.plan.release, self.instruments)
        self.instruments.measure(lambda: self.in_progress, lambda: self.queue.rows)

    def close(self) -> None:
        """End the threads beside the event loop; waits for what is to be logged."""
        self.queue.close()
        if self._recorder is not None:
            self._recorder.close()

    def drain(self) -> None:
        """Say that this process is going: not ready, and connections end with an answer."""
        self.draining = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"A {scope['type']} connection is not served.")
        begun = perf_counter()
        exchange = Exchange(scope, receive, send)
        route = self._routes.get(exchange.path, self._unknown)
        try:
            handler = route.handler if exchange.method in route.methods else not_allowed(route)
            await handler(exchange)
        except Disconnected:
            pass
        except Exception as error:
            await self._fail(exchange, error)
        finally:
            seconds = perf_counter() - begun
            self.instruments.answered(route.name, exchange.status, seconds)
            if self._access_log and random.random() < self._access_log:  # noqa: S311
                self._write_access(exchange, route, seconds)

    def predicted(self, batch: Sequence[Job], output: pa.Table, seconds: float) -> None:
        """Count a batch, and log it if that is wanted."""
        name = batch[0].function.name
        self.instruments.predicted(name, output.num_rows, seconds)
        if self._recorder is None:
            return
        start = 0
        for job in batch:
            rows = job.request.rows
            self._recorder.offer(name, job.request, job.request_id, output.slice(start, rows))
            start += rows

    async def respond(
        self, exchange: Exchange, status: int, body: bytes, *headers: tuple[bytes, bytes]
    ) -> None:
        """Answer, and end the connection if this process is going."""
        await exchange.respond(status, body, [*headers, *self._about], close=self._closes(exchange))

    def set_split(self, split: Split | None) -> None:
        """Begin a split, or end the one there is."""
        if self.split is not None:
            self.split.close()
        self.split = split

    def state(self) -> dict[str, Any]:
        """What `/-/state` tells."""
        return {
            "service": self.plan.service,
            "release": self.plan.release,
            "envelope_id": self.plan.envelope_id,
            "in_flight": self.in_progress,
            "queued_rows": self.queue.rows,
            "draining": self.draining,
            "split": self.split and self.split.to_json(),
        }

    def _closes(self, exchange: Exchange) -> bool:
        # A request that was sent along behind this one is still to be answered.
        going = self.draining or self.ceased
        return going and (exchange.passage is None or exchange.passage.is_last)

    def prediction(self, function: Function, dialect: Dialect) -> Handler:
        """What answers the requests to a function in one of its dialects."""
        limits = self.plan.limits

        async def answer(exchange: Exchange) -> None:
            if exchange.headers.get(b"content-encoding", b"") not in (b"", b"identity"):
                raise Refusal(415, "Send the body as it is, not compressed.")
            size = exchange.size(limits.body_bytes)
            if self._body_bytes + size > _LARGEST_BODIES * limits.body_bytes:
                raise Refusal(429, "Too many large bodies are under way. Try again.", RETRY_SOON)
            self._body_bytes += size
            self.in_progress += 1
            try:
                body = await exchange.body(limits.body_bytes, limits.deadline_seconds)
                self._body_bytes += len(body) - size  # of chunks it is known only now
                size = len(body)
                split = self.split
                if split is None:
                    reply = await self._predict(function, exchange, body, dialect)
                else:
                    here = partial(self._predict, function, exchange, body, dialect)
                    reply = await split.answer(exchange, body, here)
                await self._send(exchange, reply)
            finally:
                self.in_progress -= 1
                self._body_bytes -= size

        return answer

    async def _predict(
        self, function: Function, exchange: Exchange, body: bytes, dialect: Dialect
    ) -> Reply:
        if len(body) < _LARGE:
            request = _read(function.codec, exchange.headers, body, dialect)
        else:  # it would hold up everybody's answers while it is read
            request = await asyncio.to_thread(
                _read, function.codec, exchange.headers, body, dialect
            )
        found = await self.queue.put(function, request, exchange.request_id)
        if not found.headers:
            return Reply(found.status, found.body, found.media_type)
        headers = [(name.encode(), value.encode()) for name, value in found.headers]
        return Reply(found.status, found.body, found.media_type, headers=headers)

    async def _send(self, exchange: Exchange, reply: Reply) -> None:
        if reply.status == 200 and reply.about is None and not reply.headers:
            head = self._heads.get(reply.media_type) or self._make_head(reply.media_type)
            if exchange.answer(head, reply.body, close=self._closes(exchange)):
                return
        headers = [
            (b"content-type", reply.media_type.encode("latin-1")),
            *reply.headers,
            *(self._about if reply.about is None else reply.about),
        ]
        await exchange.respond(reply.status, reply.body, headers, close=self._closes(exchange))

    def _make_head(self, media_type: str) -> bytes:
        lines = [(b"content-type", media_type.encode("latin-1")), *self._about]
        head = b"HTTP/1.1 200 OK\r\n" + b"".join(b"%s: %s\r\n" % line for line in lines)
        self._heads[media_type] = head
        return head

    async def _fail(self, exchange: Exchange, error: Exception) -> None:
        status, text = 500, "The model failed on this request; the log tells why."
        details: tuple[Mapping[str, Any], ...] = ()
        headers: Headers = []
        if isinstance(error, BadRequest):
            status, text, details = error.status, str(error), error.details
        elif isinstance(error, Refusal):
            status, text, headers = error.status, str(error), error.headers
        elif isinstance(error, SchemaError):
            status, text = 422, str(error)
        else:
            fields = {"request_id": exchange.request_id.decode(), "path": exchange.path}
            _log.error("A prediction failed", exc_info=error, extra={"fields": fields})
        if exchange.path.startswith("/v2"):
            body = v2_error_body(text, details)
        else:
            request_id = exchange.request_id.decode()
            body = error_body(status, text, details=details, request_id=request_id)
        await self.respond(exchange, status, body, JSON, *headers)

    def _write_access(self, exchange: Exchange, route: Route, seconds: float) -> None:
        fields = {
            "request_id": exchange.request_id.decode(),
            "method": exchange.method,
            "route": route.name,
            "status": exchange.status,
            "milliseconds": round(seconds * 1000, 3),
        }
        _log.info("request", extra={"fields": fields})


def _read(codec: Codec, headers: Mapping[bytes, bytes], body: bytes, dialect: Dialect) -> Request:
    length = headers.get(b"inference-header-content-length", b"")
    return codec.read(
        body,
        headers.get(b"content-type", b"").decode("latin-1"),
        dialect,
        accept=headers.get(b"accept", b"").decode("latin-1"),
        header_length=int(length[:12]) if length.isdigit() else None,
    )
