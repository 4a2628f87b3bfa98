"""The supervisor of one service: who runs, who has the traffic, and what happens next.

Commands change what is wanted; `_settle` then makes it so, over and over, because
processes die in between. The traffic only ever goes from processes that answer to
processes that answer.

Supervisors outlive upgrades of this package: a later version may add commands and optional
arguments, and must leave those that there are as they are.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from model_envelope._version import __version__
from model_envelope.deployment.targets.supervising import control
from model_envelope.deployment.targets.supervising.changes import Changes
from model_envelope.deployment.targets.supervising.fleet import Fleet
from model_envelope.deployment.targets.supervising.log_file import rotate
from model_envelope.deployment.targets.supervising.replica import Replica
from model_envelope.deployment.targets.supervising.requesting import NoAnswer
from model_envelope.deployment.targets.supervising.state import (
    LOG,
    Launch,
    ServiceState,
    left_over,
    log_of,
    release_folder,
    remove,
    write_private,
)
from model_envelope.deployment.targets.supervising.vacancy import Vacancy
from model_envelope.deployment.targets.supervising.version import CODE
from model_envelope.errors import FenceLost, TargetFailed

_log = logging.getLogger(__name__)

_TICK = 1.0
_UNUSED_SECONDS = 60.0
_UNROUTE_SECONDS = 20.0
_MARK_SECONDS = 3600.0
_COUNTS = ("requests", "failures", "different", "live_seconds", "candidate_seconds")


class Supervisor:
    """Runs the releases of one service, and gives the traffic of its socket to one of them.

    Args:
        folder: the service's own, with its state.
        traffic: the listening socket of the service's URL.
    """

    def __init__(self, folder: Path, traffic: socket.socket) -> None:
        self._folder = folder
        self._state = ServiceState.read(folder)
        self._changes = Changes()
        self._fleet = Fleet(folder, traffic, self._changes)
        self._vacancy = Vacancy(traffic)
        self._split: dict[str, Any] | None = None
        self._stops: dict[str, asyncio.Task[None]] = {}
        self._asked_at = time.monotonic()
        self._done = asyncio.Event()
        self._keeper = os.getppid()

    async def run(self) -> None:
        """Be there until there is nothing to run any more, or until SIGTERM."""
        for item in left_over(self._folder):
            remove(item)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._fleet.reap)
        loop.add_signal_handler(signal.SIGTERM, self._done.set)
        for launch in self._state.launches.values():
            if launch.can_start:
                self._fleet.start(launch)
        self._changes.tell()
        server = await control.listen(self._folder, self._answer)
        work = [asyncio.create_task(job) for job in (self._settle_always(), self._keep_house())]
        await self._done.wait()
        server.close()
        for task in work:
            task.cancel()
        await asyncio.gather(self._fleet.stop_all(), *self._stops.values())
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
        if wanted.release in self._stops:
            raise TargetFailed(f"Release {wanted.release} is being stopped: start another one.")
        folder = release_folder(self._folder, wanted.release)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(folder / "plan.json", plan)
        known = self._state.launches.get(wanted.release)
        if known is not None:
            # How many there are is `do_scale`'s from then on.
            wanted = replace(wanted, replicas=known.replicas)
        self._state.fence = wanted.fence
        self._state.launches[wanted.release] = wanted
        self._save()
        self._fleet.start(wanted)
        return self._tell(wanted)

    async def do_route(self, release: str, fence: int) -> bool:
        """Give the traffic to a release; whether that is a change."""
        is_change = release != self._state.live
        if is_change:
            if release not in self._state.launches:
                raise TargetFailed(f"Release {release} is not here: start it first.")
            self._check_fence(fence, self._state.live_fence)
            self._state.live, self._split = release, None
        self._state.live_fence = max(fence, self._state.live_fence)
        self._save()
        self._changes.tell()
        return is_change

    async def do_lacks(self, release: str, seconds: float) -> str | None:
        """What a release lacks to have the traffic, if it does not get it in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changes.until(lambda: self._serves(release))
                return None
        details = (r.detail for r in self._fleet.of(release) if not r.ready)
        return next(details, "What had it before has not let go of it yet.")

    async def do_unroute(self) -> None:
        """Give the traffic to nobody."""
        self._state.live = self._split = None
        self._save()
        self._changes.tell()
        with suppress(TimeoutError):
            async with asyncio.timeout(_UNROUTE_SECONDS):
                await self._changes.until(lambda: not self._takers())
                return
        raise TargetFailed("A process does not let go of the traffic; see its log.")

    async def do_split(self, route: Mapping[str, Any], split: dict[str, Any] | None) -> None:
        """Begin, change or end a split of the live release's traffic."""
        self._check_live(**route)
        if split is not None and not self._fleet.ready(split["candidate"]):
            raise TargetFailed(f"Candidate {split['candidate']} is not ready: wait for it.")
        self._split = split
        for replica in self._fleet.ready(route["release"]):
            await replica.divide(self._share_of(replica))

    async def do_counts(self, route: Mapping[str, Any]) -> dict[str, Any]:
        """What the live release's processes have counted of the split, together."""
        self._check_live(**route)
        states = [await r.ask("GET", "/-/state") for r in self._fleet.ready(route["release"])]
        found = [state["split"] for state in states if state["split"]]
        return {name: sum(counts[name] for counts in found) for name in _COUNTS}

    async def do_scale(self, route: Mapping[str, Any], replicas: int) -> None:
        """Have so many processes of the live release."""
        self._check_live(**route)
        launch = replace(self._state.launches[route["release"]], replicas=replicas)
        self._state.launches[launch.release] = launch
        self._save()
        self._fleet.start(launch)
        await self._fleet.shrink(launch)

    async def do_stop(self, release: str, drain: float) -> None:
        """End a release and remove all that it left; the last one's end is ours too."""
        if release not in self._stops:
            self._stops[release] = asyncio.create_task(self._stop(release, drain))
        await self._stops[release]

    async def do_about(self) -> dict[str, Any]:
        """Which code this is, and the process that can start another; None if it has gone."""
        keeper = self._keeper if os.getppid() == self._keeper else None
        return {"version": __version__, "code": CODE, "keeper": keeper}

    async def do_state(self) -> list[dict[str, Any]]:
        """Every release there is."""
        launches = self._state.launches.values()
        return [self._tell(launch) for launch in launches if self._is_there(launch)]

    async def _stop(self, release: str, drain: float) -> None:
        if self._state.live == release:
            with suppress(TargetFailed):
                await self.do_unroute()
        if self._split is not None and self._split["candidate"] == release:
            self._split = None
        await self._fleet.stop(release, drain)
        if self._state.launches.pop(release, None) is not None:
            self._save()
        remove(release_folder(self._folder, release))
        del self._stops[release]
        if not self._state.launches:
            self._done.set()

    def _tell(self, launch: Launch) -> dict[str, Any]:
        replicas = self._fleet.of(launch.release)
        stopping = "" if replicas else "It is being stopped."
        return {
            "release": launch.release,
            "fence": launch.fence,
            "ready": bool(replicas) and all(replica.ready for replica in replicas),
            "addresses": [f"http://127.0.0.1:{replica.port}" for replica in replicas],
            "restarts": sum(replica.restarts for replica in replicas),
            "detail": next((r.detail for r in replicas if r.detail), stopping),
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

    def _is_there(self, launch: Launch) -> bool:
        """Whether anything of a release runs, or could."""
        return launch.can_start or any(r.is_alive for r in self._fleet.of(launch.release))

    def _save(self) -> None:
        self._state.write(self._folder)

    def _takers(self) -> list[Replica]:
        return [replica for replica in self._fleet.everyone() if replica.may_accept]

    def _serves(self, release: str) -> bool:
        takers = self._takers()
        mine = [taker for taker in takers if taker.launch.release == release]
        return mine == takers and any(taker.accepting for taker in mine)

    async def _settle_always(self) -> None:
        while True:
            await self._changes.wait()
            try:
                await self._settle()
            except NoAnswer as error:
                _log.warning("It is tried again: %s", error)
                self._changes.tell_in(_TICK)
            except Exception:
                _log.exception("It is tried again")
                self._changes.tell_in(_TICK)
            await self._changes.done()

    async def _settle(self) -> None:
        live = self._state.live
        takers = self._fleet.ready(live)
        for replica in takers:
            await replica.divide(self._share_of(replica))
            await replica.accept()
        await (self._vacancy.open() if live is None else self._vacancy.close())
        if takers or live is None:
            for replica in self._fleet.everyone():
                if replica not in takers:
                    await replica.cease()

    def _share_of(self, replica: Replica) -> dict[str, Any] | None:
        """The split that a live process is to do, with one process of the candidate."""
        if self._split is None:
            return None
        # Also with one that has just died: its port waits, and what failed is to be counted.
        candidates = self._fleet.of(self._split["candidate"])
        siblings = self._fleet.of(replica.launch.release)
        if not candidates or replica not in siblings:
            return None
        number = siblings.index(replica)
        candidate = candidates[number % len(candidates)]
        return {
            "mode": self._split["mode"],
            "share": self._split["share"],
            "address": f"http://127.0.0.1:{candidate.port}",
            "token": candidate.launch.token,
        }

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            try:
                self._tidy()
            except OSError as error:
                _log.warning("Logs cannot be looked after: %s", error)
            self._fleet.renew_exhausted()
            self._give_up_lost()
            unused = time.monotonic() - self._asked_at > _UNUSED_SECONDS
            if unused and not self._state.launches:
                self._done.set()

    def _give_up_lost(self) -> None:
        for launch in self._state.launches.values():
            name = launch.release
            if not self._is_there(launch) and name not in self._stops:
                _log.error("Release %s has lost what it needs: it is given up", name)
                self._stops[name] = asyncio.create_task(self._stop(name, 0.0))

    def _tidy(self) -> None:
        rotate(self._folder / LOG)
        for launch in self._state.launches.values():
            rotate(log_of(self._folder, launch.release))
            _mark(launch.in_use)


def _mark(in_use: Iterable[str]) -> None:
    """Say that files are in use, now and then."""
    for name in in_use:
        with suppress(OSError):
            if time.time() - Path(name).stat().st_mtime > _MARK_SECONDS:
                os.utime(name)
