"""Connections to pods through the API server, from wherever it is reached."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

from model_envelope.deployment.cluster.api import open_cluster
from model_envelope.errors import TargetFailed

SCHEME = "pod:"


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

    def connect(self) -> None:
        """Open the forward.

        Raises:
            OSError: the API server, or the pod's node, refuses.
        """
        try:
            self.sock = open_cluster().forward(self._pod, self._pod_port)
        except TargetFailed as error:
            raise ConnectionError(str(error)) from error
        self.sock.settimeout(self.timeout)
