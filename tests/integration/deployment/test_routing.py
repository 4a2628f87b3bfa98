"""What has the traffic keeps it, whoever else gives traffic at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event
from typing import Any

import pytest

import model_envelope as me
from model_envelope.deployment.placing import Places
from model_envelope.deployment.targets.process import ProcessTarget
from model_envelope.deployment.targets.protocol import Route
from tests.integration.deployment.scene import Scene, times
from tests.integration.targets.traffic import Traffic


def live(scene: Scene) -> set[str]:
    return {route.service for route in scene.store.routes("process")}


def test_a_service_that_goes_live_while_others_are_routed_keeps_its_traffic(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    envelope = scene.save(times(2))
    me.deploy(envelope, "first")
    original = ProcessTarget.route
    late, go_on = Event(), Event()

    def route(self: ProcessTarget, routes: Sequence[Route]) -> None:
        if not late.is_set():
            # It has read the store, and gives what it has read only later.
            late.set()
            go_on.wait()
        original(self, routes)

    monkeypatch.setattr(ProcessTarget, "route", route)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(Places(scene.client.platform).route, "process")
        assert late.wait(60)
        second: Any = pool.submit(me.deploy, envelope, "second")
        # Where it does not wait for the first, it is done in a moment, and is asked.
        scene.wait_until(lambda: "second" in live(scene))
        wait([second], timeout=3)
        if not second.done():
            go_on.set()
        with Traffic(second.result().url, keeping=2, fresh=2) as traffic:
            traffic.wait_for(20)
            go_on.set()
            first.result()
            traffic.wait_for(20)
    assert not traffic.failures
