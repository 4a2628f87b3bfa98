"""All processes of a service, by their release."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Iterable
from pathlib import Path

from model_envelope.deployment.targets.supervising.changes import Changes
from model_envelope.deployment.targets.supervising.replica import Replica
from model_envelope.deployment.targets.supervising.state import Launch, log_of

_log = logging.getLogger(__name__)

DRAIN_SECONDS = 30.0


class Fleet:
    """Starts and ends the processes of a service's releases.

    Args:
        folder: the service's own.
        traffic: the listening socket of the service's URL.
        changes: is told whenever one has become ready, or ended.
    """

    def __init__(self, folder: Path, traffic: socket.socket, changes: Changes) -> None:
        self._folder = folder
        self._traffic = traffic
        self._changes = changes
        self._replicas: dict[str, list[Replica]] = {}
        self._apart: set[Replica] = set()
        self._renewals: dict[Replica, asyncio.Task[None]] = {}
        self._lifeline, self._held = os.pipe()

    def of(self, release: str | None) -> tuple[Replica, ...]:
        """The processes of a release."""
        return tuple(self._replicas.get(release or "", ()))

    def ready(self, release: str | None) -> tuple[Replica, ...]:
        """Those of a release that answer."""
        return tuple(replica for replica in self.of(release) if replica.ready)

    def everyone(self) -> tuple[Replica, ...]:
        """All, with those that are no release's any more, or not yet."""
        released = (replica for replicas in self._replicas.values() for replica in replicas)
        return (*released, *self._apart)

    def reap(self) -> None:
        """See who has ended."""
        for replica in self.everyone():
            replica.reap()

    def start(self, launch: Launch) -> None:
        """Start what a release lacks of its processes, and at once what waits for its next try."""
        replicas = self._replicas.setdefault(launch.release, [])
        for replica in replicas:
            replica.launch = launch
            replica.retry()
        while len(replicas) < launch.replicas:
            replicas.append(self._new(launch))

    async def shrink(self, launch: Launch) -> None:
        """End what a release has too many of its processes."""
        replicas = self._replicas[launch.release]
        surplus = replicas[launch.replicas :]
        del replicas[launch.replicas :]
        await self._end(surplus, DRAIN_SECONDS)

    async def stop(self, release: str, drain: float) -> None:
        """End all processes of a release; they may finish what they have for so many seconds."""
        ending = self._replicas.pop(release, [])
        self._changes.tell()
        await self._end(ending, drain)

    async def stop_all(self) -> None:
        """End all processes of all releases."""
        await asyncio.gather(*(self.stop(name, DRAIN_SECONDS) for name in list(self._replicas)))

    def renew_exhausted(self) -> None:
        """Begin to replace those that have used up their memory."""
        for replicas in self._replicas.values():
            for replica in replicas:
                if replica not in self._renewals and replica.is_exhausted():
                    self._renewals[replica] = asyncio.create_task(self._renew(replica))

    async def _renew(self, old: Replica) -> None:
        release = old.launch.release
        _log.warning("Release %s: a process has used up its memory and is replaced", release)
        new = self._new(old.launch)
        new.restarts = old.restarts + 1
        self._apart.add(new)
        await self._changes.until(lambda: new.ready or old not in self.of(release))
        ending = new
        if old in self.of(release):
            ending = old
            replicas = self._replicas[release]
            replicas[replicas.index(old)] = new
            self._apart.remove(new)
            self._apart.add(old)
            self._changes.tell()
            await self._changes.until(lambda: not old.may_accept)
        await self._end([ending], DRAIN_SECONDS)
        del self._renewals[old]

    async def _end(self, replicas: Iterable[Replica], drain: float) -> None:
        ending = set(replicas)
        self._apart |= ending
        await asyncio.gather(*(replica.stop(drain) for replica in ending))
        self._apart -= ending

    def _new(self, launch: Launch) -> Replica:
        return Replica(
            launch,
            traffic=self._traffic,
            lifeline=self._lifeline,
            log=log_of(self._folder, launch.release),
            changed=self._changes.tell,
        )
