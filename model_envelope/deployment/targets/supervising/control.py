"""How a target talks to a supervisor: one JSON line there, one back, on a Unix socket.

Only the owner of the service's folder can reach the socket.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model_envelope import errors

_SOCKET = "control"
_LONGEST = 16 << 20

Answer = Callable[[Mapping[str, Any]], Awaitable[Any]]


class NoSupervisor(Exception):
    """Nobody listens, or whoever did has ended before it answered."""


def ask(folder: Path, request: Mapping[str, Any], *, timeout: float) -> Any:
    """Put a request to the supervisor of a service's folder.

    Raises:
        NoSupervisor: there is none.
        TimeoutError: there is one, which did not answer within `timeout` seconds.
        EnvelopeError: whatever it refused with.
    """
    with socket.socket(socket.AF_UNIX) as connection, _address(folder) as address:
        connection.settimeout(timeout)
        try:
            connection.connect(address)
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as replies:
                line = replies.readline()
        except (ConnectionError, FileNotFoundError) as error:
            raise NoSupervisor(str(folder)) from error
    if not line.endswith(b"\n"):
        raise NoSupervisor(str(folder))
    reply = json.loads(line)
    if "error" in reply:
        kind = getattr(errors, reply["error"], errors.TargetFailed)
        raise kind(reply["message"])
    return reply["answer"]


async def listen(folder: Path, answer: Answer) -> asyncio.Server:
    """Answer what is asked of a service's folder, each request on a connection of its own."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            if line:
                writer.write(json.dumps(await _reply(json.loads(line), answer)).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            pass  # Whoever asked has gone; what was asked is done all the same.
        finally:
            writer.close()

    (folder / _SOCKET).unlink(missing_ok=True)
    with _address(folder) as address:
        return await asyncio.start_unix_server(serve, address, limit=_LONGEST)


async def _reply(request: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    try:
        return {"answer": await answer(request)}
    except errors.EnvelopeError as error:
        return {"error": type(error).__name__, "message": str(error)}
    except Exception as error:
        return {"error": "TargetFailed", "message": f"{type(error).__name__}: {error}"}


@contextmanager
def _address(folder: Path) -> Iterator[str]:
    """A name of the socket that fits: a socket's address has room for about 100 bytes."""
    plain = str(folder / _SOCKET)
    if len(os.fsencode(plain)) < 100:
        yield plain
        return
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError as error:
        raise NoSupervisor(str(folder)) from error
    try:
        yield f"/proc/self/fd/{handle}/{_SOCKET}"
    finally:
        os.close(handle)
