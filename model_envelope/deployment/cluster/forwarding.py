"""Connections to pods through the API server, from wherever it is reached."""

from __future__ import annotations

import http.client
import io
from typing import Any
from urllib.parse import urlsplit

from model_envelope.deployment.cluster.api import open_cluster
from model_envelope.errors import TargetFailed
from model_envelope.optional import require

SCHEME = "pod:"

_DATA, _ERROR = 0, 1
_FRAME = 1 << 16


def pod_address(pod: str, port: int) -> str:
    """The address of a pod's port, for `probing.ask`."""
    return f"{SCHEME}//{pod}:{port}"


class PodConnection(http.client.HTTPConnection):
    """HTTP by a port-forward: the pod sees requests to the letter, their headers included.

    The API server's `proxy` subresource would keep the Authorization header to itself.

    Args:
        address: see `pod_address`.
        timeout: seconds for each part of an answer.
    """

    def __init__(self, address: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        pod, _, port = urlsplit(address).netloc.partition(":")
        self._pod = pod
        self._pod_port = int(port)
        self._seconds = timeout

    def connect(self) -> None:
        """Open the forward.

        Raises:
            OSError: the API server, or the pod's node, refuses.
        """
        try:
            opened = open_cluster().forward(self._pod, self._pod_port, self._seconds)
        except TargetFailed as error:
            raise ConnectionError(str(error)) from error
        forward: Any = _Forward(opened)
        self.sock = forward


class _Forward(io.RawIOBase):
    """A forwarded port as http.client uses a socket: it sends, and reads from a file of it.

    Each frame of the WebSocket begins with its channel. The first one of a channel says which
    port it is.
    """

    def __init__(self, opened: Any) -> None:
        super().__init__()
        self._opened = opened
        self._errors = require("websocket", "kubernetes")
        self._began: set[int] = set()
        self._left = b""
        self._users = 1

    def sendall(self, content: Any) -> None:
        whole = memoryview(content).cast("B")
        for start in range(0, len(whole), _FRAME):
            try:
                self._opened.send_binary(bytes([_DATA]) + bytes(whole[start : start + _FRAME]))
            except self._errors.WebSocketException as error:
                raise ConnectionError(str(error)) from error

    def makefile(self, *_: Any) -> io.BufferedReader:
        self._users += 1
        return io.BufferedReader(self, _FRAME)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            received = self._receive()
            if received is None:
                return 0
            self._left = received
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size

    def close(self) -> None:
        # http.client closes the socket before it has read the file.
        self._users -= 1
        if self._users <= 0 and not self.closed:
            self._opened.shutdown()
            super().close()

    def _receive(self) -> bytes | None:
        """What comes next; None at the end."""
        try:
            kind, frame = self._opened.recv_data()
        except self._errors.WebSocketConnectionClosedException:
            return None
        except self._errors.WebSocketTimeoutException as error:
            raise TimeoutError("timed out") from error
        except self._errors.WebSocketException as error:
            raise ConnectionError(str(error)) from error
        if kind == self._errors.ABNF.OPCODE_CLOSE or not frame:
            return None
        channel, content = frame[0], bytes(frame[1:])
        if channel not in self._began:
            self._began.add(channel)
            return b""
        if channel == _ERROR:
            raise ConnectionError(content.decode(errors="replace"))
        return content
