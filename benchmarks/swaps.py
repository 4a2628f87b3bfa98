"""Requests that fail while releases of a service take over from each other under load.

    python -m benchmarks.swaps [--target process] [--swaps 20]

16 clients send single-row requests without a pause, 12 of them over connections that they
keep, 4 over a new one each time. Meanwhile one release after the other is started, given
the traffic, and its predecessor is stopped. What it must reach: no failed request.

The target `docker` needs an engine, HAProxy, and a base image that is there
(MODEL_ENVELOPE_BASE_IMAGE); its proxy listens at MODEL_ENVELOPE_PROXY_URL.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd

import model_envelope as me
from benchmarks import report
from model_envelope.deployment.targets.opening import open_target
from model_envelope.deployment.targets.protocol import Platform, Release, Route, Target
from model_envelope.names import new_id

_PATIENCE = 300.0


class Swaps:
    """A service whose releases follow each other."""

    def __init__(self, target: Target, envelope: me.Envelope, options: dict[str, Any]) -> None:
        self.target = target
        self.seconds: list[float] = []
        self._record = envelope.record
        self._options = target.check_options(options)
        self._live: Release | None = None
        self._fence = 0

    @property
    def url(self) -> str:
        """Where the service answers."""
        return self.target.url("swaps", self._options)

    def swap(self) -> None:
        """Put a new release in the place of the one there is."""
        self._fence += 1
        release = Release(
            id=new_id(),
            service="swaps",
            fence=self._fence,
            record=self._record,
            options=self._options,
        )
        begun = time.perf_counter()
        self.target.prepare(release)
        self.target.start(release)
        self._wait_ready(release)
        self.target.route([Route(service="swaps", release=release.id, fence=self._fence)])
        if self._live is not None:
            self.target.stop(self._live.id, drain=timedelta(seconds=60))
            self.seconds.append(time.perf_counter() - begun)
        self._live = release

    def close(self) -> None:
        """Remove everything."""
        self.target.route([])
        for running in self.target.running():
            self.target.stop(running.release, drain=timedelta(0))

    def _wait_ready(self, release: Release) -> None:
        end = time.monotonic() + _PATIENCE
        while True:
            (found,) = (r for r in self.target.running() if r.release == release.id)
            if found.ready:
                return
            if time.monotonic() > end:
                raise TimeoutError(found.detail)
            time.sleep(0.05)


@contextmanager
def load(url: str) -> Iterator[dict[str, Any]]:
    """Clients in a process of their own; what they counted is there at the end."""
    found: dict[str, Any] = {}
    command = [sys.executable, "-m", "benchmarks.swap_load", url]
    clients = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield found
    finally:
        said, _ = clients.communicate()
        found |= json.loads(said)


def end_proxy(state: Path) -> None:
    """End the proxy of the target `docker`, which outlives whoever started it."""
    pid = state / "docker" / "proxy" / "pid"
    if pid.exists():
        os.kill(int(pid.read_text()), signal.SIGTERM)


def main() -> None:
    """Swap and count."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--target", default="process")
    options.add_argument("--options", type=json.loads, default={}, help="the target's, as JSON")
    options.add_argument("--swaps", type=int, default=20)
    options.add_argument("--seconds", type=float, default=2.0, help="between two swaps")
    given = options.parse_args()
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0]})
    with tempfile.TemporaryDirectory(prefix="swaps-") as name:
        folder = Path(name)
        client = me.Client(f"sqlite:///{folder}/store.sqlite", str(folder / "artifacts"))
        envelope = client.save_model(
            lambda frame: frame["a"] * 2, tags={"canonical_name": "doubles"}, api_input=frame
        )
        platform = Platform(
            store=client.store,
            artifacts=client.artifacts,
            cache=client.cache,
            state=folder / "state",
        )
        swaps = Swaps(open_target(given.target, platform), envelope, given.options)
        try:
            swaps.swap()
            with load(swaps.url) as counts:
                for _ in range(given.swaps):
                    time.sleep(given.seconds)
                    swaps.swap()
                time.sleep(given.seconds)
        finally:
            swaps.close()
            end_proxy(platform.state)
    _show(given.target, swaps, counts)


def _show(target: str, swaps: Swaps, counts: dict[str, Any]) -> None:
    rows = [{"clients that": kind, **found} for kind, found in counts.items()]
    for row in rows:
        print(*(f"  {what}: {n}" for what, n in row.pop("failures").items()), sep="\n", end="")
    report.show(
        f"{len(swaps.seconds)} swaps under load, target {target}",
        rows,
        failed_requests=sum(row["failed"] for row in rows),
        requests=sum(row["answered"] + row["failed"] for row in rows),
        median_seconds_of_a_swap=report.median(swaps.seconds),
    )


if __name__ == "__main__":
    main()
