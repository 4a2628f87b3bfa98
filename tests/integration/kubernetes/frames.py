"""A node's end of a port-forward."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection

PROTOCOL = "v4.channel.k8s.io"


def carry(connection: ServerConnection, address: str, port: int) -> None:
    """Carry one port: frames of channel 0 are its bytes, channel 1 would be errors."""
    for channel in (b"\0", b"\1"):
        connection.send(channel + port.to_bytes(2, "little"))
    with socket.create_connection((address, port)) as pod:
        back = threading.Thread(target=_carry_back, args=(pod, connection))
        back.start()
        with suppress(ConnectionClosed, OSError):
            for frame in connection:
                assert isinstance(frame, bytes)
                pod.sendall(frame[1:])
        with suppress(OSError):
            pod.shutdown(socket.SHUT_RDWR)
        back.join()


def _carry_back(pod: socket.socket, connection: ServerConnection) -> None:
    with suppress(OSError, ConnectionClosed):
        while content := pod.recv(1 << 16):
            connection.send(b"\0" + content)
    connection.close()
