"""The supervisor of one service: who runs, who has the traffic, and what happens next.

Commands change what is wanted; `_settle` then makes it so, over and over, because
processes die in between. The traffic only ever goes from processes that answer to
processes that answer.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from model_envelope.deployment.targets.supervising import control
from model_envelope.deployment.targets.supervising.log_file import rotate
from model_envelope.deployment.targets.supervising.replica import Replica
from model_envelope.deployment.targets.supervising.requesting import NoAnswer
from model_envelope.deployment.targets.supervising.state import (
    Launch,
    ServiceState,
    write_private,
)
from model_envelope.deployment.targets.supervising.vacancy import Vacancy
from model_envelope.errors import FenceLost, TargetFailed

_log = logging.getLogger(__name__)

LOG = "supervisor.log"

_TICK = 1.0
_UNUSED_SECONDS = 60.0
_ROUTE_SECONDS = 20.0
_DRAIN_SECONDS = 30.0
_MARK_SECONDS = 3600.0
_COUNTS = ("requests", "failures", "different", "live_seconds", "candidate_seconds")


def releases(folder: Path) -> Path:
    """Where the releases of a service have their folders."""
    return folder / "releases"


class Supervisor:
    """Runs the releases of one service, and gives the traffic of its socket to one of them.

    Args:
        folder: the service's own, with its state.
        traffic: the listening socket of the service's URL.
    """

    def __init__(self, folder: Path, traffic: socket.socket) -> None:
        self._folder = folder
        self._traffic = traffic
        self._state = ServiceState.read(folder)
        self._replicas: dict[str, list[Replica]] = {}
        self._ending: set[Replica] = set()
        self._split: dict[str, Any] | None = None
        self._split_of: dict[Replica, dict[str, Any] | None] = {}
        self._vacancy = Vacancy(traffic)
        self._wake = asyncio.Event()
        self._settled = asyncio.Condition()
        self._done = asyncio.Event()
        self._asked_at = time.monotonic()
        self._lifeline, self._held = os.pipe()

    async def run(self) -> None:
        """Be there until there is nothing to run any more, or until SIGTERM."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        loop.add_signal_handler(signal.SIGTERM, self._done.set)
        for launch in self._state.launches.values():
            self._fill(launch)
        server = await control.listen(self._folder, self._answer)
        work = [asyncio.create_task(job) for job in (self._settle_always(), self._keep_house())]
        await self._done.wait()
        server.close()
        for task in work:
            task.cancel()
        await self._end(self._all(), _DRAIN_SECONDS)
        # A last command's answer may still be on its way.
        await asyncio.sleep(0.05)

    async def _answer(self, request: Mapping[str, Any]) -> Any:
        self._asked_at = time.monotonic()
        given = {**request}
        return await getattr(self, f"do_{given.pop('do')}")(**given)

    async def do_start(self, launch: Mapping[str, Any], plan: str) -> dict[str, Any]:
        """Start a release off-traffic, or start at once what waits for its next try."""
        wanted = Launch.from_json(launch)
        self._check_fence(wanted.fence, self._state.fence)
        folder = releases(self._folder) / wanted.release
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(folder / "plan.json", plan)
        known = self._state.launches.get(wanted.release)
        if known is not None:
            # How many there are is `do_scale`'s from then on.
            wanted = replace(wanted, replicas=known.replicas)
        self._state.fence = wanted.fence
        self._state.launches[wanted.release] = wanted
        self._save()
        self._fill(wanted)
        for replica in self._replicas[wanted.release]:
            replica.launch = wanted
            replica.retry()
        return self._tell(wanted)

    async def do_route(self, release: str, fence: int, wait: float) -> str | None:
        """Give the traffic to a release; says what it lacks if it has it not in time."""
        if release != self._state.live:
            if release not in self._state.launches:
                raise TargetFailed(f"Release {release} is not here: start it first.")
            self._check_fence(fence, self._state.live_fence)
            self._state.live, self._split = release, None
        self._state.live_fence = max(fence, self._state.live_fence)
        self._save()
        self._wake.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(wait), self._settled:
                await self._settled.wait_for(lambda: self._serves(release))
        if self._serves(release):
            return None
        replicas = self._replicas.get(release, [])
        details = (replica.detail for replica in replicas if not replica.ready)
        return next(details, "What had it before has not let go of it yet.")

    async def do_unroute(self) -> None:
        """Give the traffic to nobody."""
        self._state.live = self._split = None
        self._save()
        self._wake.set()
        async with asyncio.timeout(_ROUTE_SECONDS), self._settled:
            await self._settled.wait_for(lambda: not any(r.accepting for r in self._all()))

    async def do_split(self, route: Mapping[str, Any], split: dict[str, Any] | None) -> None:
        """Begin, change or end a split of the live release's traffic."""
        self._check_live(**route)
        if split is not None and not self._ready(split["candidate"]):
            raise TargetFailed(f"Candidate {split['candidate']} is not ready: wait for it.")
        self._split = split
        for replica in self._ready(route["release"]):
            await self._apply_split(replica)

    async def do_counts(self, route: Mapping[str, Any]) -> dict[str, Any]:
        """What the live release's processes have counted of the split, together."""
        self._check_live(**route)
        states = [await r.ask("GET", "/-/state") for r in self._ready(route["release"])]
        found = [state["split"] for state in states if state["split"]]
        return {name: sum(counts[name] for counts in found) for name in _COUNTS}

    async def do_scale(self, route: Mapping[str, Any], replicas: int) -> None:
        """Have so many processes of the live release."""
        self._check_live(**route)
        launch = replace(self._state.launches[route["release"]], replicas=replicas)
        self._state.launches[launch.release] = launch
        self._save()
        self._fill(launch)
        surplus = self._replicas[launch.release][replicas:]
        del self._replicas[launch.release][replicas:]
        for replica in surplus:
            if replica.ready:
                await replica.cease()
        await self._end(surplus, _DRAIN_SECONDS)

    async def do_stop(self, release: str, drain: float) -> None:
        """End a release and remove all that it left; the last one's end is ours too."""
        if self._state.live == release:
            await self.do_unroute()
        if self._split is not None and self._split["candidate"] == release:
            self._split = None
            self._wake.set()
        await self._end(self._replicas.pop(release, []), drain)
        if self._state.launches.pop(release, None) is not None:
            self._save()
        shutil.rmtree(releases(self._folder) / release, ignore_errors=True)
        if not self._state.launches:
            self._done.set()

    async def do_state(self) -> list[dict[str, Any]]:
        """Every release there is."""
        return [self._tell(launch) for launch in self._state.launches.values()]

    def _tell(self, launch: Launch) -> dict[str, Any]:
        replicas = self._replicas[launch.release]
        return {
            "release": launch.release,
            "fence": launch.fence,
            "ready": all(replica.ready for replica in replicas),
            "addresses": [f"http://127.0.0.1:{replica.port}" for replica in replicas],
            "restarts": sum(replica.restarts for replica in replicas),
            "detail": next((r.detail for r in replicas if r.detail), ""),
        }

    def _check_fence(self, fence: int, seen: int) -> None:
        if fence < seen:
            raise FenceLost(
                f"Service {self._folder.name} was taken over since: fence {fence} is older "
                f"than {seen}."
            )

    def _check_live(self, release: str, fence: int) -> None:
        if release != self._state.live or fence < self._state.live_fence:
            raise FenceLost(
                f"Service {self._folder.name} runs {self._state.live or 'nothing'} by fence "
                f"{self._state.live_fence}, not {release} by fence {fence}."
            )

    def _save(self) -> None:
        self._state.write(self._folder)

    def _all(self) -> list[Replica]:
        return [replica for replicas in self._replicas.values() for replica in replicas]

    def _ready(self, release: str | None) -> list[Replica]:
        return [r for r in self._replicas.get(release or "", []) if r.ready]

    def _serves(self, release: str) -> bool:
        others = [r for name, rs in self._replicas.items() if name != release for r in rs]
        mine = self._replicas.get(release, [])
        return any(r.accepting for r in mine) and not any(r.accepting for r in others)

    def _reap(self) -> None:
        for replica in (*self._all(), *self._ending):
            replica.reap()

    def _fill(self, launch: Launch) -> None:
        """Start what a release lacks of its replicas."""
        replicas = self._replicas.setdefault(launch.release, [])
        log = releases(self._folder) / launch.release / "log"
        while len(replicas) < launch.replicas:
            replicas.append(
                Replica(
                    launch,
                    traffic=self._traffic,
                    lifeline=self._lifeline,
                    log=log,
                    changed=self._wake.set,
                )
            )

    async def _end(self, replicas: Iterable[Replica], drain: float) -> None:
        ending = set(replicas)
        self._ending |= ending
        await asyncio.gather(*(replica.stop(drain) for replica in ending))
        self._ending -= ending
        for replica in ending:
            self._split_of.pop(replica, None)

    async def _settle_always(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._settle()
            except NoAnswer as error:
                _log.warning("It is tried again: %s", error)
                await asyncio.sleep(_TICK)
                self._wake.set()
            async with self._settled:
                self._settled.notify_all()

    async def _settle(self) -> None:
        live = self._state.live
        takers = self._ready(live)
        for replica in takers:
            await replica.accept()
            await self._apply_split(replica)
        await (self._vacancy.open() if live is None else self._vacancy.close())
        if takers or live is None:
            for replica in self._all():
                if replica not in takers:
                    await replica.cease()

    async def _apply_split(self, replica: Replica) -> None:
        """Have a live process split its traffic as wanted, also one that was started again."""
        wanted = self._split
        if self._split_of.get(replica) == wanted:
            return
        if wanted is None:
            await replica.ask("DELETE", "/-/split")
        else:
            candidates = self._ready(wanted["candidate"])
            if not candidates:
                return
            candidate = candidates[
                self._replicas[self._state.live or ""].index(replica) % len(candidates)
            ]
            body = {
                "mode": wanted["mode"],
                "share": wanted["share"],
                "address": f"http://127.0.0.1:{candidate.port}",
                "token": candidate.launch.token,
            }
            await replica.ask("PUT", "/-/split", body)
        self._split_of[replica] = wanted

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            for launch in self._state.launches.values():
                rotate(releases(self._folder) / launch.release / "log")
                _mark(launch.in_use)
            rotate(self._folder / LOG)
            unused = time.monotonic() - self._asked_at > _UNUSED_SECONDS
            if unused and not self._state.launches:
                self._done.set()


def _mark(in_use: Iterable[str]) -> None:
    """Say that files are in use, now and then."""
    for name in in_use:
        with suppress(OSError):
            if time.time() - Path(name).stat().st_mtime > _MARK_SECONDS:
                os.utime(name)
