"""A share of the requests goes to a candidate too, or instead; its failures cost nothing.

A canary's requests are answered by the candidate where it answers well in time, else by
this process. A shadow's are answered here; a copy is sent afterwards and the answers are
compared. Whatever the candidate does, the client gets an answer that a service without a
split would have given, or the candidate's good one.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal

import msgspec
import pyarrow as pa

from model_envelope.errors import InvalidInput
from model_envelope.serving.exchange import Exchange, Headers, Reply
from model_envelope.serving.upstream import Answer, Upstream, UpstreamFailed

_log = logging.getLogger(__name__)

Mode = Literal["canary", "shadow"]
Predict = Callable[[], Awaitable[Reply]]

_TOLERANCE = 1e-9
_AT_ONCE = 64
_SHADOW_BYTES = 64 << 20
# A candidate that failed so often in a row gets one request at a time, to see if it recovers.
_FAILURES_IN_A_ROW = 3
_ABOUT = (b"x-envelope-id", b"x-release")
_NOT_FORWARDED = frozenset(
    b"authorization connection content-length expect host keep-alive proxy-authorization "
    b"te trailer transfer-encoding upgrade x-request-id".split()
)
# What tells releases apart and is no prediction.
_NAMES_OF_RELEASES = ("id", "model_name", "model_version")


class SplitOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `PUT /-/split` takes. `seconds` is how long the candidate may take."""

    mode: Mode
    address: str
    share: float
    token: str = ""
    seconds: float | None = None


@dataclass(slots=True)
class Counts:
    """What a split has shown. Requests are those that reached the candidate."""

    requests: int = 0
    failures: int = 0
    different: int = 0
    skipped: int = 0
    live_requests: int = 0
    live_seconds: float = 0.0
    candidate_seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As `/-/state` tells it.

        `live_seconds` is what this process takes for as many requests as the candidate had.
        """
        mean = self.live_seconds / self.live_requests if self.live_requests else 0.0
        return {
            "requests": self.requests,
            "failures": self.failures,
            "different": self.different,
            "skipped": self.skipped,
            "live_seconds": mean * self.requests,
            "candidate_seconds": self.candidate_seconds,
        }


class Split:
    """One split, from its order to its end."""

    def __init__(self, order: SplitOrder, *, seconds: float) -> None:
        if not 0 <= order.share <= 1:
            raise InvalidInput(f"share is a number from 0 to 1, not {order.share!r}.")
        self.order = order
        self.counts = Counts()
        self._seconds = order.seconds or seconds
        self._upstream = Upstream(order.address)
        self._at_once = 0
        self._bytes = 0
        self._failed_in_a_row = 0
        self._comparisons: set[asyncio.Task[None]] = set()

    def change(self, order: SplitOrder) -> bool:
        """Take another share of the same split; False where it would be another split."""
        if (order.mode, order.address) != (self.order.mode, self.order.address):
            return False
        if not 0 <= order.share <= 1:
            raise InvalidInput(f"share is a number from 0 to 1, not {order.share!r}.")
        self.order = order
        return True

    def to_json(self) -> dict[str, Any]:
        """What it does, and what it has shown."""
        order = self.order
        about = {"mode": order.mode, "address": order.address, "share": order.share}
        return {**about, **self.counts.to_json()}

    async def answer(self, exchange: Exchange, body: bytes, predict: Predict) -> Reply:
        """Answer a request, here or there. Raises what `predict` raises."""
        if not self._takes():
            return await self._timed(predict)
        if self.order.mode == "canary":
            return await self._canary(exchange, body, predict)
        return await self._shadow(exchange, body, predict)

    def close(self) -> None:
        """Send nothing more."""
        for task in self._comparisons:
            task.cancel()
        self._upstream.close()

    def _takes(self) -> bool:
        if random.random() >= self.order.share:  # noqa: S311
            return False
        most = 1 if self._failed_in_a_row >= _FAILURES_IN_A_ROW else _AT_ONCE
        if self._at_once >= most:
            self.counts.skipped += 1
            return False
        return True

    async def _timed(self, predict: Predict) -> Reply:
        begun = perf_counter()
        reply = await predict()
        self.counts.live_requests += 1
        self.counts.live_seconds += perf_counter() - begun
        return reply

    async def _canary(self, exchange: Exchange, body: bytes, predict: Predict) -> Reply:
        answer = await self._ask(exchange, body)
        if answer is not None and 200 <= answer.status < 300:
            self._failed_in_a_row = 0
            return _as_reply(answer)
        reply = await predict()  # what it raises is the request's fault, not the candidate's
        self._failed()
        return reply

    async def _shadow(self, exchange: Exchange, body: bytes, predict: Predict) -> Reply:
        reply = await self._timed(predict)
        if self._bytes + len(body) > _SHADOW_BYTES:
            self.counts.skipped += 1
            return reply
        task = asyncio.get_running_loop().create_task(self._compare(exchange, body, reply))
        self._comparisons.add(task)
        task.add_done_callback(self._comparisons.discard)
        return reply

    async def _compare(self, exchange: Exchange, body: bytes, reply: Reply) -> None:
        self._bytes += len(body)
        try:
            answer = await self._ask(exchange, body)
            if answer is None or answer.status != reply.status:
                self._failed()
                return
            self._failed_in_a_row = 0
            # In a thread: large bodies must not hold up the event loop.
            if not await asyncio.to_thread(same_answer, reply.media_type, reply.body, answer.body):
                self.counts.different += 1
        finally:
            self._bytes -= len(body)

    async def _ask(self, exchange: Exchange, body: bytes) -> Answer | None:
        begun = perf_counter()
        self._at_once += 1
        self.counts.requests += 1
        try:
            return await self._upstream.post(
                exchange.target, self._headers(exchange), body, seconds=self._seconds
            )
        except UpstreamFailed as error:
            _log.warning("The candidate failed: %s", error)
            return None
        finally:
            self._at_once -= 1
            self.counts.candidate_seconds += perf_counter() - begun

    def _headers(self, exchange: Exchange) -> Headers:
        headers = [pair for pair in exchange.scope["headers"] if pair[0] not in _NOT_FORWARDED]
        headers.append((b"x-request-id", exchange.request_id))
        if self.order.token:
            headers.append((b"authorization", f"Bearer {self.order.token}".encode()))
        return headers

    def _failed(self) -> None:
        self.counts.failures += 1
        self._failed_in_a_row += 1


def same_answer(media_type: str, live: bytes, candidate: bytes) -> bool:
    """Whether two bodies hold the same predictions; numbers to 9 digits."""
    if live == candidate:
        return True
    try:
        return _same(_values(media_type, live), _values(media_type, candidate))
    except (msgspec.DecodeError, pa.ArrowException, ValueError):
        return False


def _values(media_type: str, body: bytes) -> Any:
    if "arrow" in media_type:
        return pa.ipc.open_stream(body).read_all().to_pylist()
    if "json" not in media_type:
        return body
    found = msgspec.json.decode(body)
    if isinstance(found, dict):
        return {name: found[name] for name in found if name not in _NAMES_OF_RELEASES}
    return found


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        close = math.isclose(a, b, rel_tol=_TOLERANCE, abs_tol=1e-12)
        return close or (a != a and b != b)  # noqa: PLR0124 - both NaN
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[name], b[name]) for name in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)


def _as_reply(answer: Answer) -> Reply:
    media_type = answer.headers.get(b"content-type", b"").decode("latin-1")
    about = [(name, answer.headers[name]) for name in _ABOUT if name in answer.headers]
    return Reply(answer.status, answer.body, media_type, about)
