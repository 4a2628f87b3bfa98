"""One serving process of a release, started again whenever it ends by itself."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from model_envelope.deployment.targets.supervising import requesting
from model_envelope.deployment.targets.supervising.log_file import tail
from model_envelope.deployment.targets.supervising.state import Launch

_log = logging.getLogger(__name__)

BACKLOG = 2048
_READY = b"ready\n"
_LOAD_SECONDS = 900.0
_FIRST_DELAY, _LONGEST_DELAY = 0.25, 30.0
# Who lived that long did not die of its start: the next delay is the shortest again.
_STABLE_SECONDS = 60.0


class _Hangs(Exception):
    """A process is there and does not answer."""


class Replica:
    """A process with a port of its own, which takes the service's traffic when told to.

    Its port's queue and that of the traffic are this supervisor's, so that connections
    wait while the process is started again.

    Args:
        launch: how to start it.
        traffic: the listening socket of the service, which it inherits.
        lifeline: the read end of a pipe that ends when this supervisor does.
        log: the file for what it prints.
        changed: called whenever `ready` may have become another.
    """

    def __init__(
        self,
        launch: Launch,
        *,
        traffic: socket.socket,
        lifeline: int,
        log: Path,
        changed: Callable[[], None],
    ) -> None:
        self.launch = launch
        self.ready = False
        self.accepting = False
        self.may_accept = False
        """Whether it was told to take the traffic; it may do so before it says so."""
        self.split: Mapping[str, Any] | None = None
        """The split it does; empty while that is uncertain."""
        self.restarts = 0
        self.detail = "It is being started."
        self._traffic = traffic
        self._lifeline = lifeline
        self._log = log
        self._changed = changed
        self._private = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self._process: subprocess.Popen[bytes] | None = None
        self._loaded_bytes = 0
        self._ended = asyncio.Event()
        self._hurry = asyncio.Event()
        self._life = asyncio.create_task(self._live())

    @property
    def port(self) -> int:
        """Its own port, the same over restarts."""
        return int(self._private.getsockname()[1])

    @property
    def is_alive(self) -> bool:
        """Whether its process runs, ready or not."""
        return self._process is not None and self._process.returncode is None

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """A request to one of its control endpoints.

        Raises:
            NoAnswer: it did not do it.
        """
        return await requesting.request(self.port, method, path, self.launch.token, body)

    async def accept(self) -> None:
        """Have it take the service's traffic, beside whoever else does."""
        if not self.accepting:
            self.may_accept = True
            await self.ask("POST", "/-/accept")
            # It may have died since.
            self.accepting = self.ready

    async def cease(self) -> None:
        """Have it take no new connections, and close those it has with their next answer."""
        if self.may_accept:
            await self.ask("POST", "/-/cease")
            self.accepting = self.may_accept = False

    async def divide(self, split: Mapping[str, Any] | None) -> None:
        """Have it do a split of the traffic it takes, or none."""
        if split != self.split:
            self.split = {}
            await (self.ask("PUT", "/-/split", split) if split else self.ask("DELETE", "/-/split"))
            self.split = split if self.ready else None

    def reap(self) -> None:
        """Look whether the process has ended: some process of this supervisor has."""
        if self._process is not None and self._process.poll() is not None:
            self._ended.set()

    def is_exhausted(self) -> bool:
        """Whether it has nearly all the memory it may have, and did not need that to load."""
        limit = self.launch.memory_bytes
        if limit is None or not self.ready or self._process is None:
            return False
        return self._loaded_bytes < 0.8 * limit and _data_bytes(self._process.pid) > 0.9 * limit

    def retry(self) -> None:
        """Start it at once if it waits for its next try."""
        self._hurry.set()

    async def stop(self, seconds: float) -> None:
        """End it: it may finish what it has for so long, then it is killed."""
        self._life.cancel()
        await asyncio.wait([self._life])
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                await asyncio.wait_for(self._ended.wait(), seconds)
            except TimeoutError:
                _log.warning("Process %d is killed: it has not ended in time", process.pid)
                await self._kill(process)
        if process is not None:
            _kill_group(process.pid)
        self._private.close()

    async def _live(self) -> None:
        delay = _FIRST_DELAY
        while True:
            began = monotonic()
            try:
                await self._run()
            except OSError as error:
                self.detail = f"It cannot be started: {error}."
            _log.warning("Release %s: %s", self.launch.release, self.detail)
            self.restarts += 1
            delay = _FIRST_DELAY if monotonic() - began > _STABLE_SECONDS else delay
            self._hurry.clear()
            try:
                await asyncio.wait_for(self._hurry.wait(), delay)
            except TimeoutError:
                delay = min(2 * delay, _LONGEST_DELAY)

    async def _run(self) -> None:
        """Start the process and be with it until it ends."""
        self._ended.clear()
        process, report = self._start()
        _log.info("Release %s: process %d on port %d", self.launch.release, process.pid, self.port)
        said = b""
        try:
            async with asyncio.timeout(_LOAD_SECONDS):
                said = await _first_line(report)
                if said != _READY:
                    await self._ended.wait()
            if said == _READY:
                self.ready, self.detail = True, ""
                self._loaded_bytes = _data_bytes(process.pid)
                self._changed()
                await self._attend()
            self.detail = self._obituary(process.returncode, said)
        except TimeoutError:
            self.detail = f"It was not ready within {_LOAD_SECONDS:.0f} seconds: it is killed."
            await self._kill(process)
        except _Hangs:
            hung = self.launch.hang_seconds
            self.detail = f"It did not answer for {hung:g} seconds: it is killed."
            await self._kill(process)
        finally:
            self.ready = self.accepting = self.may_accept = False
            self.split = None
            self._changed()

    async def _attend(self) -> None:
        """Be with a process that is ready until it ends.

        Raises:
            _Hangs: it does not answer any more.
        """
        seconds = self.launch.hang_seconds / 4
        answered = monotonic()
        while not self._ended.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), seconds)
                return
            if await requesting.lives(self.port, seconds):
                answered = monotonic()
            elif monotonic() - answered > self.launch.hang_seconds:
                raise _Hangs

    async def _kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        await self._ended.wait()

    def _start(self) -> tuple[subprocess.Popen[bytes], int]:
        report, ready = os.pipe()
        handles = {
            "--fd": self._private.fileno(),
            "--traffic-fd": self._traffic.fileno(),
            "--ready-fd": ready,
            "--parent-fd": self._lifeline,
        }
        options = [text for name, handle in handles.items() for text in (name, str(handle))]
        try:
            with self._log.open("ab") as log:
                process = subprocess.Popen(
                    [*self.launch.command, *options],
                    env=dict(self.launch.environment),
                    cwd=self._log.parent,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=list(handles.values()),
                    start_new_session=True,
                )
        except OSError:
            os.close(report)
            raise
        finally:
            os.close(ready)
        self._process = process
        self._limit(process.pid)
        return process, report

    def _limit(self, process: int) -> None:
        # From here rather than between fork and exec, where little may be done safely.
        with suppress(ProcessLookupError):
            if self.launch.nice:
                os.setpriority(os.PRIO_PROCESS, process, self.launch.nice)
            if self.launch.memory_bytes is not None:
                limit = (self.launch.memory_bytes, self.launch.memory_bytes)
                resource.prlimit(process, resource.RLIMIT_DATA, limit)

    def _obituary(self, code: int, said: bytes) -> str:
        with suppress(ValueError, KeyError, TypeError):
            body = json.loads(said)
            return f"{body['error']}: {body['message']}"
        how = f"with exit code {code}"
        if code < 0:
            how = f"by signal {-code} ({signal.strsignal(-code)})"
        last = tail(self._log, 5).strip()
        return f"Its process ended {how}" + (f"; its log ends with:\n{last}" if last else ".")


async def _first_line(handle: int) -> bytes:
    """The first line that comes through a pipe; empty when it ends before."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(handle, "rb", 0)
    )
    try:
        return await reader.readline()
    finally:
        transport.close()


def _data_bytes(process: int) -> int:
    """What counts against RLIMIT_DATA; 0 where it cannot be known."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "VmData":
                return int(value.split()[0]) << 10
    return 0


def _kill_group(leader: int) -> None:
    """What a model's process started must not outlive it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
