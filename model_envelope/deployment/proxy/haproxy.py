"""A HAProxy: started if need be, given a configuration, and watched until it lives by it."""

from __future__ import annotations

import logging
import os
import pwd
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from model_envelope import config
from model_envelope.deployment.proxy.rendering import Backend, Frame, render
from model_envelope.errors import InvalidInput, TargetFailed

_log = logging.getLogger(__name__)

_SECONDS = 20.0
_LEAVING_SECONDS = 3.0
_PAUSE = 0.02
_WORKER = re.compile(r"^(\d+)\s+worker\s", re.MULTILINE)
_MASTER = "master.sock"


class Haproxy:
    """The proxy before all services: this machine's own, or one that somebody else runs.

    Its own is a master process with workers, detached, in `folder`; the master's socket is
    what it is told by. One that somebody else runs is named by settings, see `config`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._admin = config.proxy_admin()
        self._file = config.proxy_config() if self._admin else folder / "haproxy.cfg"
        if self._file is None:
            raise InvalidInput(
                f"{config.PROXY_ADMIN} names a HAProxy, so {config.PROXY_CONFIG} must name the "
                "file that it reads."
            )
        self._bind = config.proxy_bind() or urlsplit(config.proxy_url()).netloc

    def check(self) -> None:
        """See that it can be had, before any work.

        Raises:
            TargetFailed: it is not installed, or does not answer.
        """
        if self._admin is None:
            _program()
        elif not self._answers():
            raise self._silent()

    def apply(self, backends: Iterable[Backend], *, resolve: bool = False) -> None:
        """Give each service's traffic to its replicas; when it returns, new requests go there.

        Requests under way are finished by the workers that have them. Call it with the lock
        of the folder held.

        Raises:
            TargetFailed: it does not run, or does not take the configuration; what it did
                before it still does.
        """
        own = self._admin is None
        user = _worker_user() if own else None
        frame = Frame(bind=self._bind, user=user, resolve=resolve)
        text, revision = render(frame, backends)
        if self._lives_by(revision):
            return
        self._write(text)
        if self._answers():
            self._tell("reload", patient=True)
        elif own:
            self._start()
        else:
            raise self._silent()
        self._await(revision)

    def settle(self, seconds: float) -> None:
        """Wait, so long at most, until requests of before the last change are answered."""
        end = time.monotonic() + seconds
        while self._answers() and self._old_workers() and time.monotonic() < end:
            time.sleep(_PAUSE)

    def _write(self, text: str) -> None:
        assert self._file is not None  # noqa: S101 - see __init__
        staging = self._file.with_suffix(".new")
        staging.write_text(text)
        if self._admin is None:
            self._run("-c", "-f", staging.name, failed="The configuration of HAProxy is refused")
        staging.replace(self._file)

    def _start(self) -> None:
        _log.info("Starting HAProxy at %s", self._bind)
        arguments = ["-W", "-D", "-S", f"unix@{_MASTER},mode,600", "-p", "pid"]
        arguments += ["-f", "haproxy.cfg"]
        end = time.monotonic() + _LEAVING_SECONDS
        while True:
            try:
                self._run(*arguments, failed=f"HAProxy does not start at {self._bind}")
            except TargetFailed:
                # The workers of a killed master hold the address for a moment.
                if time.monotonic() > end:
                    raise
                time.sleep(_PAUSE)
            else:
                return

    def _run(self, *arguments: str, failed: str) -> None:
        program = _program()
        with (self._folder / "haproxy.log").open("a+b") as log:
            start = log.seek(0, os.SEEK_END)
            done = subprocess.run(
                [program, *arguments],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=_SECONDS,
                check=False,
            )
            log.seek(start)
            said = log.read().decode(errors="replace")
        if done.returncode:
            problems = [line for line in said.splitlines() if "ALERT" in line]
            raise TargetFailed(f"{failed}: {' '.join(problems) or said}"[:2000])

    def _await(self, revision: str) -> None:
        end = time.monotonic() + _SECONDS
        while not (self._lives_by(revision) and self._old_ones_listen_no_more()):
            if time.monotonic() > end:
                raise TargetFailed(
                    "HAProxy did not take its new configuration; it goes on with the one before. "
                    f"Look at {self._folder / 'haproxy.log'}, and `haproxy -c -f {self._file}`."
                )
            time.sleep(_PAUSE)

    def _lives_by(self, revision: str) -> bool:
        return f"={revision}\n" in self._tell("@1 show env MODEL_ENVELOPE_REVISION")

    def _answers(self) -> bool:
        return bool(self._tell("show proc"))

    def _silent(self) -> TargetFailed:
        return TargetFailed(
            f"HAProxy does not answer at {self._admin}: start it with `-W -S`, so that its master "
            f"listens there, or unset {config.PROXY_ADMIN}."
        )

    def _old_workers(self) -> list[str]:
        _, _, old = self._tell("show proc").partition("# old workers")
        return _WORKER.findall(old)

    def _old_ones_listen_no_more(self) -> bool:
        told = (self._tell(f"@!{worker} show info") for worker in self._old_workers())
        return all("Stopping: 0" not in text for text in told)

    def _tell(self, command: str, *, patient: bool = False) -> str:
        """What the master says to a command; empty when it does not answer."""
        try:
            with self._connect() as connection:
                connection.settimeout(_SECONDS if patient else 5.0)
                connection.sendall(command.encode() + b"\n")
                connection.shutdown(socket.SHUT_WR)
                told = b""
                while part := connection.recv(1 << 16):
                    told += part
                return told.decode(errors="replace")
        except OSError:
            return ""

    def _connect(self) -> socket.socket:
        if self._admin is not None and not self._admin.startswith("unix:"):
            host, _, port = self._admin.rpartition(":")
            return socket.create_connection((host, int(port)), timeout=5.0)
        path = Path((self._admin or "").removeprefix("unix:") or self._folder / _MASTER)
        connection = socket.socket(socket.AF_UNIX)
        # The folder's path may be longer than the address of a socket can be.
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            connection.connect(f"/proc/self/fd/{folder}/{path.name}")
        except BaseException:
            connection.close()
            raise
        finally:
            os.close(folder)
        return connection


def _program() -> str:
    found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise TargetFailed(
            "HAProxy is not installed; it gives services their address: apt-get install haproxy, "
            f"or name a running one by {config.PROXY_ADMIN}."
        )
    return found


def _worker_user() -> str | None:
    """Whom the workers become where the master is root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("haproxy", "nobody") if name in known), None)
