"""uvicorn, with an end that fails no request."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from typing import Any

import uvicorn

from model_envelope.serving.application import Application
from model_envelope.serving.listening import Traffic

# Longer than the usual proxies and clients keep an idle connection, so that they, not we,
# end it: ending it just as a request comes would fail that request.
_KEEP_ALIVE_SECONDS = 75
_POLL_SECONDS = 0.02


def serve(
    application: Application,
    listener: socket.socket,
    *,
    traffic: socket.socket | None = None,
    ready_fd: int | None = None,
) -> None:
    """Answer requests until SIGTERM, and then until those under way are answered.

    Args:
        application: what answers.
        listener: where requests come, from the beginning.
        traffic: a socket that other processes have too; see `Traffic`.
        ready_fd: where to say that requests are answered now.
    """
    config = uvicorn.Config(
        application,
        http=_protocol(),
        ws="none",
        lifespan="off",
        interface="asgi3",
        proxy_headers=False,
        server_header=False,
        date_header=False,
        access_log=False,
        log_config=None,
        backlog=2048,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
    )
    _Server(config, application, traffic, ready_fd).run([listener])


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        application: Application,
        traffic: socket.socket | None,
        ready_fd: int | None,
    ) -> None:
        super().__init__(config)
        self._application = application
        self._traffic = traffic
        self._ready_fd = ready_fd

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            # Not uvicorn's own handlers: they end by killing the process with the signal.
            loop.add_signal_handler(number, self._stop)
        self._application.start()
        await super().startup(sockets)
        if self._traffic is not None:
            self._application.traffic = Traffic(self._traffic, self._speak)
        if self._ready_fd is not None:
            os.write(self._ready_fd, b"ready\n")
            os.close(self._ready_fd)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer whoever still has a connection, then end.

        uvicorn would close idle connections now, just when a request may be on its way.
        """
        self._application.drain()
        if self._application.traffic is not None:
            self._application.traffic.cease()
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        end = loop.time() + self._application.plan.limits.drain_seconds
        while self.server_state.connections and loop.time() < end and not self.force_exit:
            await asyncio.sleep(_POLL_SECONDS)
        await super().shutdown(sockets)
        self._application.set_split(None)
        await asyncio.to_thread(self._application.close)

    def _stop(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True

    def _speak(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


def _protocol() -> Any:
    try:
        from model_envelope.serving.connection import Connection
    except ImportError:
        return "auto"
    return Connection
