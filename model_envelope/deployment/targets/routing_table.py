"""Who has the traffic of which service, who shares it, and the highest fence that ever had it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from model_envelope.deployment.targets.protocol import Route, Split
from model_envelope.errors import FenceLost, TargetFailed


@dataclass(slots=True)
class RoutingTable:
    """A file of routes. Read, change and save it with a lock held.

    `splits` are of the services whose live release shares its traffic with a candidate.
    """

    file: Path
    routes: dict[str, Route]
    fences: dict[str, int]
    splits: dict[str, Split] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> RoutingTable:
        """The table in a file; empty if there is none."""
        try:
            body = json.loads(file.read_text())
        except FileNotFoundError:
            return cls(file, {}, {})
        routes = {entry["service"]: Route(**entry) for entry in body["routes"]}
        splits = {service: Split(**split) for service, split in body.get("splits", {}).items()}
        return cls(file, routes, body["fences"], splits)

    def save(self) -> None:
        """Write it, whole or not at all."""
        body = {
            "routes": [asdict(route) for route in self.routes.values()],
            "fences": self.fences,
            "splits": {service: asdict(split) for service, split in self.splits.items()},
        }
        staging = self.file.with_suffix(".new")
        staging.write_text(json.dumps(body, indent=1))
        staging.replace(self.file)

    def check_fence(self, service: str, fence: int, *, at_least: int = 0) -> None:
        """See that nobody with a higher fence was here before.

        Raises:
            FenceLost: somebody was.
        """
        newest = max(self.fences.get(service, 0), at_least)
        if fence < newest:
            raise FenceLost(
                f"Service {service} was taken over: fence {newest} was here, {fence} is late."
            )

    def check_live(self, route: Route) -> None:
        """See that a release has its service's traffic.

        Raises:
            FenceLost: a later one has it.
            TargetFailed: it has not.
        """
        self.check_fence(route.service, route.fence)
        if self.routes.get(route.service) != route:
            raise TargetFailed(f"Release {route.release} does not have {route.service}'s traffic.")

    def replace(self, routes: Iterable[Route]) -> None:
        """These routes, and no others."""
        before, self.routes = self.routes, {route.service: route for route in routes}
        same = {service for service, route in self.routes.items() if before.get(service) == route}
        self.splits = {name: split for name, split in self.splits.items() if name in same}
        for route in self.routes.values():
            self.fences[route.service] = max(route.fence, self.fences.get(route.service, 0))

    def remove(self, release: str) -> bool:
        """Take a release off; whether it had traffic."""
        kept = {name: route for name, route in self.routes.items() if route.release != release}
        changed = len(kept) < len(self.routes)
        self.routes = kept
        self.splits = {name: split for name, split in self.splits.items() if name in kept}
        return changed

    def end_split(self, candidate: str) -> Route | None:
        """End the split with a candidate; gives whose traffic it was, if there was one."""
        for service, split in list(self.splits.items()):
            if split.candidate == candidate:
                del self.splits[service]
                return self.routes[service]
        return None
