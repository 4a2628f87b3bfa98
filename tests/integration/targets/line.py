"""The way to a Docker engine, which can end in the middle of what is asked of it."""

from __future__ import annotations

import re
import socket
import socketserver
from contextlib import suppress
from pathlib import Path
from threading import Thread
from types import TracebackType

ENGINE = "/var/run/docker.sock"


class Line(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Carries what is sent to it to this machine's engine, and back, while its block runs.

    From outside it is an engine: when it is cut, that one has stopped.
    """

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _Carrier)
        self._path, self._away = path, path.with_suffix(".away")
        self._end: re.Pattern[bytes] | None = None
        self._thread = Thread(target=self.serve_forever)

    @property
    def is_cut(self) -> bool:
        """Whether there is nobody to connect to."""
        return not self._path.exists()

    def cut_at(self, request: bytes) -> None:
        """End when something is asked that the pattern finds; the engine is not told of it."""
        self._end = re.compile(request)

    def ends_at(self, data: bytes) -> bool:
        """Whether it ends, and does not carry these bytes."""
        if self._end is not None and self._end.search(data):
            self._end = None
            self._path.rename(self._away)
        return self.is_cut

    def mend(self) -> None:
        """Be as before."""
        self._away.rename(self._path)

    def __enter__(self) -> Line:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Carrier(socketserver.BaseRequestHandler):
    server: Line
    request: socket.socket

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as engine, suppress(OSError):
            engine.connect(ENGINE)
            back = Thread(target=self._back, args=(engine,), daemon=True)
            back.start()
            while data := self.request.recv(1 << 16):
                if self.server.ends_at(data):
                    break
                engine.sendall(data)
            engine.shutdown(socket.SHUT_RDWR)
            back.join()

    def _back(self, engine: socket.socket) -> None:
        with suppress(OSError):
            while data := engine.recv(1 << 16):
                self.request.sendall(data)
            self.request.shutdown(socket.SHUT_RDWR)
