"""What whoever runs a service may ask of it: its state, a split, a drain. Needs the token."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from model_envelope.errors import InvalidInput
from model_envelope.serving.exchange import JSON, Exchange
from model_envelope.serving.refusals import Refusal
from model_envelope.serving.splitting import Split, SplitOrder

if TYPE_CHECKING:
    from model_envelope.serving.application import Application

_MAX_BODY = 64 << 10
_SECONDS = 10.0


class Control:
    """The routes below `/-/`."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._expected = f"Bearer {application.plan.control_token}".encode()
        self._actions: dict[tuple[str, str], Callable[[Exchange], Awaitable[None]]] = {
            ("GET", "/-/state"): self._state,
            ("PUT", "/-/split"): self._put_split,
            ("DELETE", "/-/split"): self._delete_split,
            ("POST", "/-/drain"): self._drain,
            ("POST", "/-/accept"): self._accept,
            ("POST", "/-/cease"): self._cease,
        }
        self.paths = tuple(dict.fromkeys(path for _, path in self._actions))

    async def __call__(self, exchange: Exchange) -> None:
        """Answer a request to one of `paths`.

        Raises:
            Refusal: 401 without the token; 405.
        """
        shown = hmac.compare_digest(exchange.headers.get(b"authorization", b""), self._expected)
        if not self._application.plan.control_token or not shown:
            raise Refusal(401, "Show the control token.", (b"www-authenticate", b"Bearer"))
        action = self._actions.get((exchange.method, exchange.path))
        if action is None:
            raise Refusal(405, f"{exchange.path} does not take {exchange.method}.")
        await action(exchange)

    async def _state(self, exchange: Exchange) -> None:
        body = msgspec.json.encode(self._application.state())
        await self._application.respond(exchange, 200, body, JSON)

    async def _put_split(self, exchange: Exchange) -> None:
        body = await exchange.body(_MAX_BODY, _SECONDS)
        application = self._application
        try:
            order = msgspec.json.decode(body, type=SplitOrder)
            if application.split is None or not application.split.change(order):
                seconds = application.plan.limits.deadline_seconds / 2
                application.set_split(Split(order, seconds=seconds))
        except (msgspec.DecodeError, UnicodeDecodeError, InvalidInput) as error:
            raise Refusal(422, str(error)) from error
        await self._state(exchange)

    async def _delete_split(self, exchange: Exchange) -> None:
        body = msgspec.json.encode(self._application.state())
        self._application.set_split(None)
        await self._application.respond(exchange, 200, body, JSON)

    async def _drain(self, exchange: Exchange) -> None:
        self._application.drain()
        await self._state(exchange)

    async def _accept(self, exchange: Exchange) -> None:
        """Take the traffic of the socket that is shared with other releases."""
        if self._application.traffic is None:
            raise Refusal(409, "This process was started without --traffic-fd.")
        self._application.traffic.accept()
        self._application.ceased = False
        await self._application.respond(exchange, 200, b'{"accepting":true}', JSON)

    async def _cease(self, exchange: Exchange) -> None:
        """Leave the traffic to others; who is connected is told with the next answer."""
        if self._application.traffic is not None:
            self._application.traffic.cease()
            self._application.ceased = True
        await self._application.respond(exchange, 200, b'{"accepting":false}', JSON)
