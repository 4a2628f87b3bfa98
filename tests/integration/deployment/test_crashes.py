"""A reconciler may be killed, stopped, doubled and late: one release is live, and the right one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.deployment.scene import PATIENCE, Scene, times
from tests.integration.targets.traffic import Traffic

STEPS = ("check", "prepare", "start", "ready", "golden_rows", "promote", "route", "retire")
POINTS = (
    "after:claim",
    "after:begin_deployment",
    *(f"{step}:running" for step in STEPS),
    "after:start",
    "golden_rows:passed",
    "after:go_live",
    "after:route",
    "after:stop",
    "after:observe",
)


def end_of(process: subprocess.Popen[str]) -> int:
    """Its return code, negative for a signal."""
    process.communicate(timeout=PATIENCE)
    return process.returncode


@pytest.mark.slow
def test_a_reconciler_killed_at_any_step_leaves_nothing_that_the_next_one_does_not_put_right(
    scene: Scene,
) -> None:
    models = [scene.save(times(2)), scene.save(times(2))]
    scene.want(models[0])
    assert scene.reconcile().action == "deployed"
    with Traffic(scene.record.url or "", keeping=3, fresh=2) as traffic:
        for number, point in enumerate(POINTS):
            wanted = models[(number + 1) % 2]
            scene.want(wanted)
            assert end_of(scene.reconcile_elsewhere(f"kill@{point}")) == -signal.SIGKILL, point
            traffic.wait_for(20)
            done = scene.reconcile_until_free()
            assert done.good, (point, done)
            scene.check_one_live(wanted)
            assert scene.record.observed_generation == scene.record.generation, point
            assert scene.reconcile().action == "unchanged", point
            traffic.wait_for(20)
            assert not traffic.failures, (point, traffic.failures[:3])


@pytest.mark.slow
def test_a_reconciler_killed_while_it_cleans_up_leaves_the_old_one_live(scene: Scene) -> None:
    good = scene.save()
    scene.want(good)
    scene.reconcile()
    gates = [{"latency": {"seconds": 0.0, "requests": 1}}]
    for point in ("latency:running", "after:stop", "latency:failed", "after:end_deployment"):
        bad = scene.save(times(2))
        scene.want_by_rule(bad, gates=gates)
        assert end_of(scene.reconcile_elsewhere(f"kill@{point}")) == -signal.SIGKILL, point
        done = scene.reconcile_until_free()
        assert done.action == "refused", point
        assert scene.reconcile().action == "refused", point
        scene.check_one_live(good)
        assert {d.state for d in scene.ledger if d.envelope_id == bad.id} <= {
            "failed",
            "superseded",
        }


@pytest.mark.slow
@pytest.mark.parametrize("split", ["canary", "shadow"])
def test_a_reconciler_killed_while_a_candidate_shares_the_traffic_costs_no_request(
    scene: Scene, split: str
) -> None:
    models = [scene.save(times(2)), scene.save(times(2))]
    scene.want(models[0])
    assert scene.reconcile().action == "deployed"
    rollout: dict[str, Any] = {split: {"seconds": 0, "min_requests": 20, "max_slowdown": 20}}
    with Traffic(scene.record.url or "", keeping=3, fresh=2) as traffic:
        scene.want_by_rule(models[1], **rollout)
        assert end_of(scene.reconcile_elsewhere("kill@after:split")) == -signal.SIGKILL
        traffic.wait_for(20)
        assert scene.reconcile_until_free().action == "deployed"
        traffic.wait_for(20)
    assert not traffic.failures
    scene.check_one_live(models[1])
    assert [d.state for d in scene.ledger] == ["live", "superseded", "retired"]


def wait_until_stopped(process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE
    state = Path(f"/proc/{process.pid}/stat")
    while state.read_text().rpartition(")")[2].split()[0] != "T":
        assert process.poll() is None, "it ended instead"
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scene", "point"),
    [
        ("sqlite", "after:prepare"),
        ("sqlite", "after:start"),
        ("sqlite", "golden_rows:running"),
        ("sqlite", "after:go_live"),
        ("postgres", "after:go_live"),
        ("sqlite", "route:running"),
    ],
    indirect=["scene"],
)
def test_a_zombie_changes_nothing_after_its_lease(scene: Scene, point: str) -> None:
    first, second, third = (scene.save(times(2)) for _ in range(3))
    scene.want(first)
    scene.reconcile()
    with Traffic(scene.record.url or "", keeping=3, fresh=2) as traffic:
        scene.want(second)
        zombie = scene.reconcile_elsewhere(f"stop@{point}")
        wait_until_stopped(zombie)
        scene.want(third)
        assert scene.reconcile_until_free().action == "deployed"
        scene.check_one_live(third)
        before, ledger = scene.record, scene.ledger
        os.kill(zombie.pid, signal.SIGCONT)
        assert zombie.communicate(timeout=PATIENCE)[0] == "busy\n"
        assert zombie.returncode == 0
        traffic.wait_for(50)
    assert not traffic.failures
    # What it had started since is its own to remove.
    assert scene.running() == [before.live_deployment]
    assert scene.record == before
    assert scene.ledger == ledger
    assert scene.reconcile().action == "unchanged"
    scene.check_one_live(third)


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["sqlite", "postgres"], indirect=True)
def test_two_reconcilers_at_once_deploy_once(scene: Scene) -> None:
    first, second = scene.save(times(2)), scene.save(times(2))
    scene.want(first)
    scene.reconcile()
    with Traffic(scene.record.url or "", keeping=3, fresh=2) as traffic:
        scene.want(second)
        both = [scene.reconcile_elsewhere() for _ in range(2)]
        said = sorted(process.communicate(timeout=PATIENCE)[0].strip() for process in both)
        traffic.wait_for(20)
    assert not traffic.failures
    assert said in (["busy", "deployed"], ["deployed", "unchanged"])
    scene.check_one_live(second)
    assert [d.state for d in scene.ledger] == ["live", "retired"]


def test_what_is_live_and_gone_is_restored(scene: Scene) -> None:
    envelope = scene.save()
    scene.want(envelope)
    scene.reconcile()
    lost = scene.record.live_deployment
    scene.stop(lost or "")
    assert scene.running() == []
    done = scene.reconcile()
    assert done.action == "restored"
    scene.check_one_live(envelope)
    assert scene.record.live_deployment != lost


def test_what_was_live_is_restored_though_something_refused_is_wanted(scene: Scene) -> None:
    good = scene.save()
    scene.want(good)
    scene.reconcile()
    scene.want_by_rule(scene.save(), gates=[{"latency": {"seconds": 0.0, "requests": 1}}])
    assert scene.reconcile().action == "refused"
    scene.stop(scene.record.live_deployment or "")
    assert scene.reconcile().action == "restored"
    scene.check_one_live(good)


def test_a_wish_that_changes_meanwhile_is_the_next_ones(scene: Scene) -> None:
    first, second = scene.save(times(2)), scene.save(times(3))
    scene.want(first)

    def change(_service: str, step: str, state: str) -> None:
        if (step, state) == ("golden_rows", "passed"):
            scene.want(second)

    assert scene.reconcile(tell=change).envelope_id == first.id
    assert scene.record.observed_generation < scene.record.generation
    assert scene.reconcile().envelope_id == second.id
    scene.check_one_live(second)


def test_interrupted_it_cleans_up(scene: Scene) -> None:
    scene.want(scene.save())

    def interrupt(_service: str, step: str, state: str) -> None:
        if (step, state) == ("ready", "passed"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scene.reconcile(tell=interrupt)
    assert scene.running() == []
    assert scene.ledger[0].state == "superseded"
    assert "interrupted" in scene.ledger[0].reason
    assert scene.record.lease_owner is None


def test_undeployed_it_is_gone_from_everywhere(scene: Scene) -> None:
    scene.want(scene.save())
    scene.reconcile()
    scene.want(None)
    done = scene.reconcile()
    assert (done.action, done.url) == ("undeployed", None)
    assert scene.running() == []
    assert scene.record.live_envelope is None
    assert scene.reconcile().action == "unchanged"
