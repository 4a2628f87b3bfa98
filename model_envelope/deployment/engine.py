"""The Docker engine."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from model_envelope.errors import TargetFailed
from model_envelope.optional import require

_SOCKET = "unix:///var/run/docker.sock"


@contextmanager
def connected(*, timeout: float = 600) -> Iterator[Any]:
    """A client of the engine that `DOCKER_HOST` names, or of this machine's.

    Raises:
        MissingDependency: the docker package is not installed.
        TargetFailed: the engine does not answer.
    """
    docker = require("docker", "docker")
    with failures("Docker does not answer"):
        _see_that_it_listens(docker.utils.kwargs_from_env().get("base_url", _SOCKET))
        client = docker.from_env(timeout=timeout)
    try:
        with failures("Docker does not answer"):
            client.ping()
        yield client
    finally:
        client.close()


def _see_that_it_listens(address: str) -> None:
    """Fail where docker-py would fail, too, but leave a socket open."""
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(address.removeprefix("unix://"))


@contextmanager
def failures(what: str) -> Iterator[None]:
    """Make `TargetFailed` of whatever the engine, or the way to it, raises.

    Raises:
        TargetFailed: says what could not be done, and why.
    """
    docker = require("docker", "docker")
    requests, urllib3 = require("requests", "docker"), require("urllib3", "docker")
    try:
        yield
    except docker.errors.APIError as error:
        raise TargetFailed(
            f"{what}; the Docker engine says: {error.explanation or error}"
        ) from error
    except (
        docker.errors.DockerException,
        docker.errors.StreamParseError,
        requests.exceptions.RequestException,
        # Neither of the two wraps what ends an answer that was being read.
        urllib3.exceptions.HTTPError,
        OSError,
    ) as error:
        raise TargetFailed(
            f"{what}: {error}. See that the engine runs (`docker info`), and that this user may "
            "use it; DOCKER_HOST names another one."
        ) from error
