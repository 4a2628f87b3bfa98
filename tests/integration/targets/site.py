"""A platform with one target, and how tests look at what runs there."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pandas as pd

import model_envelope as me
from model_envelope.deployment.engine import connected
from model_envelope.deployment.targets.opening import open_target
from model_envelope.deployment.targets.protocol import Platform, Release, Route, Running, Target
from model_envelope.names import new_id
from tests.integration.targets.traffic import HEADERS, PATIENCE

T = TypeVar("T")

SAMPLE = pd.DataFrame({"a": [1.0, 2.0, 3.0]})


@dataclass(frozen=True)
class Answer:
    """What came back: the first row's only value, where it was a prediction."""

    status: int
    release: str
    body: bytes

    @property
    def value(self) -> Any:
        (row,) = json.loads(self.body)
        (value,) = row.values()
        return value


@dataclass
class Site:
    """One target of one platform; what was started is stopped at the end."""

    kind: str
    platform: Platform
    service: str
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.target: Target = self.again()

    def again(self) -> Target:
        """The same target, as another process would open it."""
        return open_target(self.kind, self.platform)

    def release(self, model: Any, *, fence: int = 1, **fields: Any) -> Release:
        """A saved model as a release that was not started yet."""
        envelope = me.save_model(model, tags={"canonical_name": "m"}, api_input=SAMPLE)
        options = self.target.check_options({**self.options, **fields.pop("options", {})})
        values = {"id": new_id(), "service": self.service, "record": envelope.record, **fields}
        return Release(fence=fence, options=options, **values)

    def start(self, model: Any, *, fence: int = 1, **fields: Any) -> Release:
        """A release off-traffic that is ready."""
        release = self.release(model, fence=fence, **fields)
        self.target.prepare(release)
        self.target.start(release)
        self.wait_ready(release)
        return release

    def route(self, release: Release) -> Route:
        """Give a release its service's traffic, and all other services none."""
        route = Route(service=release.service, release=release.id, fence=release.fence)
        self.target.route([route])
        return route

    def stop(self, release: Release, *, drain: float = 10) -> None:
        self.target.stop(release.id, drain=timedelta(seconds=drain))

    def running(self, release: Release) -> Running:
        (found,) = (r for r in self.target.running() if r.release == release.id)
        return found

    def wait_ready(self, release: Release) -> Running:
        return self.wait(lambda: self.running(release), lambda found: found.ready)

    def process(self, release: str) -> int:
        """A process of one of a release's replicas."""
        if self.kind == "docker":
            with connected() as engine:
                chosen = {"label": f"io.model-envelope.release={release}"}
                container = engine.containers.list(filters=chosen)[0]
                return int(container.attrs["State"]["Pid"])
        marker = f"{release}/plan.json".encode()
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if marker in file.read_bytes():
                    return int(file.parent.name)
        raise AssertionError(f"{release} has no process")

    def wait(self, look: Callable[[], T], fits: Callable[[T], object]) -> T:
        """Look again until what is seen fits."""
        end = time.monotonic() + PATIENCE
        while not fits(seen := look()):
            assert time.monotonic() < end, f"this is how it stayed: {seen}"
            time.sleep(0.05)
        return seen

    @property
    def url(self) -> str:
        return self.target.url(self.service, self.options)

    def ask(self, a: float = 1.0, *, url: str = "") -> Answer:
        """Predict one row; whatever comes back."""
        place = urlsplit(url or self.url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        try:
            path = f"{place.path.rstrip('/')}/predict"
            connection.request("POST", path, json.dumps([{"a": a}]), HEADERS)
            response = connection.getresponse()
            return Answer(response.status, response.headers.get("x-release", ""), response.read())
        finally:
            connection.close()

    def serves(self) -> str:
        """The release that answers at the URL; empty when none does."""
        try:
            answer = self.ask()
        except OSError:
            return ""
        return answer.release if answer.status == 200 else ""

    def close(self) -> None:
        self.target.route([])
        for found in self.target.running():
            self.target.stop(found.release, drain=timedelta(0))
