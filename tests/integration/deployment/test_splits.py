"""Real traffic judges a candidate, and a bad one costs nobody an answer."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from tests.integration.deployment.scene import Scene, times
from tests.integration.targets.traffic import Traffic

Model = Callable[[pd.DataFrame], Any]


def beyond_the_golden_rows(what: str) -> Model:
    """Doubles `a` where it was saved and for the golden rows; else is broken, other or slow."""

    def model(frame: pd.DataFrame) -> Any:
        if frame["a"].isin([1.0, 2.5]).all() or "PYTEST_CURRENT_TEST" in os.environ:
            return frame["a"] * 2
        if what == "broken":
            raise ValueError("not this one")
        if what == "slow":
            time.sleep(0.1)
        return frame["a"] * (3 if what == "other" else 2)

    return model


def roll_out(scene: Scene, model: Model, **rollout: Any) -> tuple[str, str]:
    """What comes of a candidate beside a live one that is asked all the time."""
    scene.want(scene.save(times(2)))
    scene.reconcile()
    with Traffic(scene.record.url or "", keeping=3, fresh=2) as traffic:
        scene.want_by_rule(scene.save(model), **rollout)
        done = scene.reconcile()
        traffic.wait_for(20)
    assert not traffic.failures
    assert scene.running() == [scene.record.live_deployment]
    return done.action, done.reason


def test_a_canary_that_answers_well_is_promoted(scene: Scene) -> None:
    canary = {"share": 0.5, "seconds": 1, "min_requests": 30, "max_slowdown": 20}
    assert roll_out(scene, times(2), canary=canary)[0] == "deployed"
    assert scene.detail("canary")["requests"] >= 30
    assert scene.detail("canary")["failures"] == 0


@pytest.mark.parametrize(
    ("what", "limit", "reason"),
    [("broken", {}, "canary: It failed on"), ("slow", {"max_slowdown": 2.0}, "times as long")],
)
def test_a_bad_canary_costs_no_failed_request(
    scene: Scene, what: str, limit: dict[str, float], reason: str
) -> None:
    canary = {"share": 0.3, "seconds": 1, "min_requests": 20, **limit}
    action, said = roll_out(scene, beyond_the_golden_rows(what), canary=canary)
    assert action == "refused"
    assert reason in said


def test_too_few_requests_hold_and_never_pass(scene: Scene) -> None:
    good = scene.save(times(2))
    scene.want(good)
    scene.reconcile()
    canary = {"share": 1.0, "seconds": 0, "min_requests": 10, "patience": 1}
    scene.want_by_rule(scene.save(times(3)), canary=canary)
    done = scene.reconcile()
    assert done.action == "held"
    assert "It saw 0 requests" in done.reason
    assert scene.steps()["canary"] == "held"
    scene.check_one_live(good)
    assert scene.record.observed_generation < scene.record.generation


def test_a_shadow_is_compared_and_may_be_refused_for_its_answers(scene: Scene) -> None:
    model = beyond_the_golden_rows("other")
    shadow = {"seconds": 1, "min_requests": 20, "max_different": 0.1, "max_slowdown": None}
    action, said = roll_out(scene, model, shadow=shadow)
    assert action == "refused"
    assert "answers differ" in said
    assert scene.detail("shadow")["different"] > 0


def test_differences_that_are_allowed_are_only_counted(scene: Scene) -> None:
    shadow = {"seconds": 0.5, "min_requests": 20, "max_slowdown": None}
    scene.want(scene.save(times(2)))
    scene.reconcile()

    def refuse_after_it(_service: str, step: str, state: str) -> None:
        if (step, state) == ("shadow", "passed"):
            raise RuntimeError("the traffic of this test knows no other answers")

    with Traffic(scene.record.url or "", keeping=2, fresh=0) as traffic:
        scene.want_by_rule(scene.save(beyond_the_golden_rows("other")), shadow=shadow)
        assert scene.reconcile(tell=refuse_after_it).action == "refused"
        traffic.wait_for(10)
    assert not traffic.failures
    steps = scene.store.steps(scene.ledger[0].id)
    (counted,) = (s.detail for s in steps if (s.name, s.state) == ("shadow", "passed"))
    assert counted["different"] > 0


def test_where_nothing_runs_there_is_nothing_to_share(scene: Scene) -> None:
    envelope = scene.save()
    scene.want_by_rule(envelope, canary={"patience": 1})
    assert scene.reconcile().action == "deployed"
    assert "no traffic to share" in scene.detail("canary")["reason"]
