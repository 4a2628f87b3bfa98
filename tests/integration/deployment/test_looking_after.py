"""Reconciling says honestly what it found, and keeps services apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import model_envelope as me
from model_envelope.artifacts.local import LocalArtifacts
from model_envelope.deployment.targets.process import ProcessTarget
from model_envelope.errors import ArtifactError, TargetFailed
from tests.integration.deployment.scene import SERVICE, Scene, times


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def test_one_service_that_fails_does_not_keep_others_from_theirs(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    envelope = scene.save()
    target = {"kind": "process", "options": {}}
    for name in ("first", "second", "third"):
        scene.store.want(name, target=target, envelope_id=envelope.id, by="ada")
    prepare = ProcessTarget.prepare

    def choosy(self: ProcessTarget, release: Any) -> None:
        if release.service == "second":
            raise TargetFailed("not this one")
        prepare(self, release)

    monkeypatch.setattr(ProcessTarget, "prepare", choosy)
    outcomes = me.reconcile()
    assert [(o.service, o.action) for o in outcomes] == [
        ("first", "deployed"),
        ("second", "retrying"),
        ("third", "deployed"),
    ]
    assert len(scene.running()) == 2


def test_a_target_that_does_not_answer_is_said_and_nothing_is_changed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    envelope = scene.save()
    scene.want(envelope)
    scene.reconcile()
    before = scene.record
    with monkeypatch.context() as patched:
        patched.setattr(ProcessTarget, "running", failing(TargetFailed("no daemon")))
        (outcome,) = me.reconcile()
        assert (outcome.action, outcome.reason) == ("retrying", "no daemon")
        assert scene.client.pending() == (SERVICE,)
    assert scene.record == before
    scene.check_one_live(envelope)


def test_traffic_that_could_not_be_switched_is_switched_later(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = scene.save(times(2)), scene.save(times(3))
    scene.want(first)
    scene.reconcile()
    scene.want(second)
    with monkeypatch.context() as patched:
        patched.setattr(ProcessTarget, "route", failing(TargetFailed("the proxy is away")))
        outcome = scene.reconcile()
        assert (outcome.action, outcome.reason) == ("retrying", "the proxy is away")
    # Both run, and the old one answers until the switch.
    assert len(scene.running()) == 2
    assert scene.reconcile().action == "repaired"
    scene.check_one_live(second)
    assert scene.steps()["route"] == "passed"


def test_artifacts_that_cannot_be_reached_are_asked_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.want(scene.save())
    with monkeypatch.context() as patched:
        patched.setattr(LocalArtifacts, "fetch", failing(ArtifactError("S3 answers 503")))
        assert scene.reconcile().action == "retrying"
    assert scene.reconcile(retry=True).action == "deployed"


def test_an_artifact_that_was_changed_is_refused(scene: Scene) -> None:
    envelope = scene.save()
    (file,) = Path(scene.client.artifacts.address).glob(f"{envelope.id}/model*")
    file.chmod(0o644)
    file.write_bytes(b"something else")
    scene.want(envelope)
    outcome = scene.reconcile()
    assert outcome.action == "refused"
    assert "ArtifactCorrupted" in outcome.reason
    assert scene.running() == []


def test_what_is_live_and_does_not_answer_is_not_called_good(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.want(scene.save())
    scene.reconcile()
    running = ProcessTarget.running

    def limping(self: ProcessTarget) -> Any:
        return tuple(replace(r, ready=False, detail="out of memory") for r in running(self))

    monkeypatch.setattr(ProcessTarget, "running", limping)
    outcome = scene.reconcile()
    assert outcome.action == "retrying"
    assert outcome.reason == "What is live is not ready: out of memory"
    assert not outcome.good
