"""Become the supervisor of a service: `python -m … FOLDER --host H --port P`.

The process that is started ends at once; what goes on is nobody's child. It says so on
its standard output, with one line of JSON: `{}`, or `{"error": …}` and nothing goes on.

Two processes go on: a keeper, which owns the socket of the service's URL and does
nothing but start the other one again; and the supervisor, which does everything else.

On SIGHUP the keeper becomes one of the code that `successor.json` names: with the same
process, lock and socket. Its supervisor is started anew, as after a crash, and no request is
lost by it.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import logging
import os
import resource
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from model_envelope.deployment.targets.supervising.replica import BACKLOG
from model_envelope.deployment.targets.supervising.state import LOG, SUCCESSOR, ServiceState
from model_envelope.deployment.targets.supervising.supervisor import Supervisor

_log = logging.getLogger("model_envelope.supervisor")

_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0
_BIND_SECONDS = 10.0
_OPEN_FILES = 1 << 16
_FORMAT = "%(asctime)s %(process)d %(levelname)s %(message)s"


@dataclass(frozen=True)
class Keeping:
    """What a keeper owns: the folder of its service, a lock on it, and the URL's socket."""

    folder: Path
    lock: int
    traffic: socket.socket


def main() -> None:
    """Detach, take the service's lock and socket, and keep a supervisor running."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--inherited", type=int, nargs=2, metavar=("LOCK", "SOCKET"))
    given = parser.parse_args()
    folder: Path = given.folder
    if given.inherited:
        lock_handle, traffic_handle = given.inherited
        logging.basicConfig(level=logging.INFO, format=_FORMAT)
        _keep(Keeping(folder, lock_handle, socket.socket(fileno=traffic_handle)))
        return
    if os.fork():
        os._exit(0)
    os.umask(0o077)
    lock = (folder / "lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _say({})  # There is one already, which is as good.
        return
    try:
        traffic = _bind(folder, given.host, given.port)
    except OSError as error:
        reason = error.strerror or str(error)
        _say(
            {
                "error": f"{given.host}:{given.port}, where service {folder.name} answers, cannot "
                f"be had ({reason}). `ss -ltnp` tells who listens there: end it, or give "
                "the service another port."
            }
        )
        return
    _say({})
    _let_go(folder / LOG)
    _raise_limit()
    _keep(Keeping(folder, lock.fileno(), traffic))


def _bind(folder: Path, host: str, port: int) -> socket.socket:
    """The socket of the service's URL."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The processes of a keeper that was killed may have theirs for a moment yet.
    patience = _BIND_SECONDS if ServiceState.read(folder).launches else 0.0
    end = time.monotonic() + patience
    while True:
        try:
            return socket.create_server((host, port), family=family, backlog=BACKLOG)
        except OSError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.1)


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _let_go(log: Path) -> None:
    """Leave the streams of whoever started this; what is printed goes to the log."""
    with Path(os.devnull).open("r+b") as nothing, log.open("ab") as file:
        for stream, target in ((0, nothing), (1, file), (2, file)):
            os.dup2(target.fileno(), stream)
    logging.basicConfig(level=logging.INFO, format=_FORMAT)


def _raise_limit() -> None:
    """Allow as many open connections as this user may have: the usual 1024 are few."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = _OPEN_FILES if most == resource.RLIM_INFINITY else min(most, _OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))


def _keep(own: Keeping) -> None:
    """Have a supervisor until one ends on purpose."""
    supervisor = 0
    renewed = False

    def end(number: int, frame: FrameType | None) -> None:
        if supervisor:
            os.kill(supervisor, number)

    def renew(number: int, frame: FrameType | None) -> None:
        nonlocal renewed
        renewed = True
        if supervisor:
            os.kill(supervisor, signal.SIGKILL)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, renew)
    delay = _FIRST_DELAY
    while True:
        if renewed:
            renewed = False
            _succeed(own)  # where that cannot be, it goes on as it is
        began = time.monotonic()
        supervisor = os.fork()
        if not supervisor:
            _supervise(own.folder, own.traffic)
        _, status = os.waitpid(supervisor, 0)
        supervisor = 0
        if renewed:
            continue
        if status == 0:
            return
        _log.error("The supervisor ended with %d: another is started", status)
        delay = _FIRST_DELAY if time.monotonic() - began > _LONGEST_DELAY else delay
        time.sleep(delay)
        delay = min(2 * delay, _LONGEST_DELAY)


def _succeed(own: Keeping) -> None:
    """Become a keeper of other code; comes back only where that cannot be."""
    try:
        successor = json.loads((own.folder / SUCCESSOR).read_text())
        handles = (own.lock, own.traffic.fileno())
        for handle in handles:
            os.set_inheritable(handle, True)
        command = [*successor["command"], "--inherited", *map(str, handles)]
        _log.info("Going on as %s", command)
        os.execve(command[0], command, successor["environment"])  # noqa: S606
    except (OSError, ValueError, KeyError):
        _log.exception("The other code cannot be run")


def _supervise(folder: Path, traffic: socket.socket) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        asyncio.run(Supervisor(folder, traffic).run())
    except BaseException:
        _log.exception("The supervisor failed")
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
