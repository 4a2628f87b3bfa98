"""What is wrong around a model, an index or a disk, costs a try, and the model nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from model_envelope.deployment.reconciling import reconcile
from tests.integration.deployment.scene import SERVICE, Scene


def test_an_index_that_is_down_is_asked_again(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    envelope = scene.save()
    scene.want(envelope)
    with monkeypatch.context() as down:
        down.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
        down.setenv("UV_HTTP_RETRIES", "0")
        down.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
        outcome = scene.reconcile()
        assert outcome.action == "retrying", outcome
        assert "127.0.0.1:9" in outcome.reason
        assert scene.running() == []
    assert scene.reconcile(retry=True).action == "deployed"
    scene.check_one_live(envelope)


def test_a_disk_that_is_full_while_building_is_tried_again(
    scene: Scene, small_disk: Callable[[int], Path]
) -> None:
    envelope = scene.save()
    scene.want(envelope)
    disk = small_disk(40)
    (outcome,) = reconcile(replace(scene.client.platform, cache=disk), services=[SERVICE])
    assert outcome.action == "retrying", outcome
    assert "no space left on device" in outcome.reason.lower()
    assert scene.running() == []
    # Nothing is left in the way of the next try.
    left = sum(file.stat().st_size for file in disk.rglob("*") if file.is_file())
    assert left < 20 << 20
    assert scene.reconcile(retry=True).action == "deployed"
    scene.check_one_live(envelope)
