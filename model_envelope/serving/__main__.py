"""Serve an envelope: `python -m model_envelope.serving PLAN.json --port 8080`.

PLAN.json is a `ServicePlan`. The process writes `ready` to --ready-fd when it can answer,
or one line of JSON, `{"error": type, "message": …}`, and ends with 1 when it cannot be
loaded. SIGTERM drains: requests under way and those on open connections are answered.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import signal
import socket
import stat
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from model_envelope.serving import threads

if TYPE_CHECKING:
    from model_envelope.serving.application import Application

_log = logging.getLogger("model_envelope.serving")

# Of requests under way; by default Python looks through them all for cycles many times over.
_YOUNG_OBJECTS = 5_000


def main(arguments: list[str] | None = None) -> int:
    """Run the service; 0 after a drain."""
    options = _parser().parse_args(arguments)
    if options.parent_fd is not None:
        threading.Thread(target=_end_with, args=(options.parent_fd,), daemon=True).start()
    count = threads.limit()
    try:
        application = _load(Path(options.plan), options.access_log)
        listener = _listener(options)
    except Exception as error:
        _log.exception("The service cannot start")
        _report(options.ready_fd, error)
        return 1
    from model_envelope.serving.server import serve

    fields = {"address": str(listener.getsockname()), "threads": count}
    _log.info("serving", extra={"fields": fields})
    traffic = None if options.traffic_fd is None else socket.socket(fileno=options.traffic_fd)
    serve(application, listener, traffic=traffic, ready_fd=options.ready_fd)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="model_envelope.serving", description=__doc__)
    parser.add_argument("plan", help="a file with a service plan")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--fd", type=int, help="a listening socket that was handed down")
    place.add_argument("--port", type=int, help="a TCP port; 0 for any")
    place.add_argument("--uds", help="the path of a Unix socket")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--traffic-fd", type=int, help="another one, taken from between /-/accept and /-/cease"
    )
    parser.add_argument("--ready-fd", type=int)
    parser.add_argument("--parent-fd", type=int, help="a pipe; at its end this process drains")
    parser.add_argument(
        "--access-log",
        nargs="?",
        const=1.0,
        default=0.0,
        type=float,
        metavar="SHARE",
        help="log this share of the requests, all if no number is given",
    )
    return parser


def _load(path: Path, access_log: float) -> Application:
    from model_envelope.serving import logs
    from model_envelope.serving.plan import ServicePlan

    plan = ServicePlan.from_json(json.loads(path.read_text()))
    logs.configure(service=plan.service, release=plan.release)
    from model_envelope.serving.application import Application
    from model_envelope.serving.functions import load

    application = Application(plan, load(plan), access_log=access_log)
    # What is here now stays: collections need not look at it, and forks may share it.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)
    return application


def _listener(options: argparse.Namespace) -> socket.socket:
    if options.fd is not None:
        return socket.socket(fileno=options.fd)
    if options.uds is None:
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        return socket.create_server((options.host, options.port), family=family, backlog=2048)
    path = Path(options.uds)
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        path.unlink()  # left by a process that was killed; else nobody could bind it again
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(2048)
    return listener


def _end_with(parent_fd: int) -> None:
    os.read(parent_fd, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _report(ready_fd: int | None, error: Exception) -> None:
    if ready_fd is not None:
        line = json.dumps({"error": type(error).__name__, "message": str(error)})
        os.write(ready_fd, line.encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
