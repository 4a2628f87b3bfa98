"""The targets that services run at, opened once, and what they have."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import RLock

from model_envelope.deployment.targets.opening import open_target
from model_envelope.deployment.targets.protocol import Platform, Route, Running, Target
from model_envelope.errors import FenceLost, TargetFailed
from model_envelope.store.rows import DeploymentRecord, ServiceRecord

_TRIES = 5
_log = logging.getLogger(__name__)


class Places:
    """Targets by their kind. May be used by several threads."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._lock = RLock()
        self._targets: dict[str, Target] = {}
        self._seen: dict[str, tuple[Running, ...]] = {}

    def target(self, kind: str) -> Target:
        """The target of a kind.

        Raises:
            InvalidInput: there is none.
            MissingDependency: a package for it is not installed.
        """
        with self._lock:
            if kind not in self._targets:
                self._targets[kind] = open_target(kind, self._platform)
            return self._targets[kind]

    def kinds(self, record: ServiceRecord, ledger: Iterable[DeploymentRecord]) -> tuple[str, ...]:
        """Kinds of all targets at which a service may have something."""
        targets = [record.target, *(deployment.target for deployment in ledger)]
        return tuple(dict.fromkeys(str(target["kind"]) for target in targets if "kind" in target))

    def releases(self, service: str, kinds: Iterable[str], *, now: bool) -> tuple[Running, ...]:
        """What the targets have of a service: now, or when they were first asked."""
        found: list[Running] = []
        for kind in kinds:
            with self._lock:
                if now or kind not in self._seen:
                    self._seen[kind] = self.target(kind).running()
                found += [running for running in self._seen[kind] if running.service == service]
        return tuple(found)

    def route(self, kind: str) -> None:
        """Have the target of a kind give traffic as the store says.

        Processes of one machine take turns, from reading to giving: what one has read is
        never given after another has given what is newer, which could take the traffic of a
        service that went live in between. Those of other machines are seen to by reading
        again afterwards.

        Raises:
            TargetFailed: it cannot, or others change it all the time.
        """
        with self._turn(kind):
            self._route(kind)

    @contextmanager
    def _turn(self, kind: str) -> Iterator[None]:
        self._platform.state.mkdir(parents=True, exist_ok=True)
        with (self._platform.state / f"{kind}.routing").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _route(self, kind: str) -> None:
        store, target = self._platform.store, self.target(kind)
        for _ in range(_TRIES):
            live = store.routes(kind)
            # Routes to what is gone would keep the others from theirs.
            there = {running.release for running in target.running()}
            routes = [
                Route(service=route.service, release=route.deployment, fence=route.fence)
                for route in live
                if route.deployment in there
            ]
            try:
                target.route(routes)
            except FenceLost as error:
                _log.info("Reading the routes of %s again: %s", kind, error)
                continue
            if store.routes(kind) == live:
                return
        raise TargetFailed(
            f"The routes of target {kind!r} could not be set in {_TRIES} tries: other processes "
            "change them, or it has seen newer ones than this store has."
        )
