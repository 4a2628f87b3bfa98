"""A candidate gets the traffic when it has passed every gate, and never otherwise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from model_envelope.deployment.gates import registry
from model_envelope.deployment.targets.process import ProcessTarget
from model_envelope.errors import EnvironmentNotBuildable, TargetFailed
from tests.integration.deployment.scene import Scene, times
from tests.integration.targets.traffic import Traffic


def test_an_envelope_gets_to_its_url_and_the_next_one_takes_over(scene: Scene) -> None:
    first, second = scene.save(times(2)), scene.save(times(3))
    scene.want(first)
    done = scene.reconcile()
    assert (done.action, done.envelope_id) == ("deployed", first.id)
    assert scene.answer(2.0) == 4.0
    url = done.url
    scene.want(second)
    done = scene.reconcile()
    assert (done.action, done.envelope_id, done.url) == ("deployed", second.id, url)
    assert scene.answer(2.0) == 6.0
    scene.check_one_live(second)
    assert scene.detail("golden_rows")["requests"] == 2
    states = scene.steps()
    assert list(states) == [
        "check",
        "prepare",
        "start",
        "ready",
        "golden_rows",
        "promote",
        "route",
        "retire",
    ]
    assert set(states.values()) == {"passed"}
    assert [(d.state, d.envelope_id) for d in scene.ledger] == [
        ("live", second.id),
        ("retired", first.id),
    ]


def test_what_is_as_wanted_is_left_alone(scene: Scene) -> None:
    scene.want(scene.save())
    scene.reconcile()
    before, ledger = scene.record, scene.ledger
    assert scene.reconcile().action == "unchanged"
    assert scene.record == before
    assert scene.ledger == ledger


def differing() -> Any:
    """Gives other answers where it is served than where it was saved."""

    def model(frame: pd.DataFrame) -> pd.Series:
        return frame["a"] * (2 if "PYTEST_CURRENT_TEST" in os.environ else 2.000001)

    return model


def dying() -> Any:
    """Loads where it is saved; elsewhere its process ends."""

    class Dying:
        def __init__(self) -> None:
            self.weights = [2.0]

        def __setstate__(self, state: dict[str, Any]) -> None:
            if "PYTEST_CURRENT_TEST" not in os.environ:
                print("no weights here", flush=True)
                os._exit(3)

        def predict(self, frame: pd.DataFrame) -> pd.Series:
            return frame["a"] * 2

    return Dying()


def raising() -> Any:
    """Answers where it is saved, and raises where it is served."""

    def model(frame: pd.DataFrame) -> pd.Series:
        if "PYTEST_CURRENT_TEST" not in os.environ:
            raise ZeroDivisionError("not here")
        return frame["a"] * 2

    return model


def exiting() -> Any:
    """Its process ends when it is asked where it is served."""

    def model(frame: pd.DataFrame) -> pd.Series:
        if "PYTEST_CURRENT_TEST" not in os.environ:
            os._exit(5)
        return frame["a"] * 2

    return model


@pytest.mark.parametrize(
    ("make", "step", "said"),
    [
        (exiting, "golden_rows", "was not answered"),
        (differing, "golden_rows", "row 0 is 2.000001, but 2.0 is expected"),
        (raising, "golden_rows", "The model raised: ZeroDivisionError: not here"),
        (dying, "ready", "no weights here"),
    ],
)
def test_a_bad_candidate_costs_nothing(scene: Scene, make: Any, step: str, said: str) -> None:
    good = scene.save()
    scene.want(good)
    scene.reconcile()
    bad = scene.save(make())
    with Traffic(scene.record.url or "", keeping=2, fresh=1) as traffic:
        scene.want_by_rule(bad)
        done = scene.reconcile()
        traffic.wait_for(20)
    assert not traffic.failures
    assert done.action == "refused"
    assert done.reason.startswith(f"{step}: ")
    assert said in done.reason
    scene.check_one_live(good)
    assert scene.ledger[0].state == "failed"
    assert scene.ledger[0].reason == done.reason
    assert scene.steps()[step] == "failed"
    # It is on hold: nothing is tried again by itself, only when it is asked for.
    tried = len(scene.ledger)
    again = scene.reconcile(retry=True)
    assert (again.action, again.reason) == ("refused", done.reason)
    assert len(scene.ledger) == tried


def test_what_never_gets_ready_is_refused_in_time(scene: Scene) -> None:
    class Slow:
        def __init__(self) -> None:
            self.weights = [2.0]

        def __setstate__(self, state: dict[str, Any]) -> None:
            import time

            if "PYTEST_CURRENT_TEST" not in os.environ:
                time.sleep(3600)

        def predict(self, frame: pd.DataFrame) -> pd.Series:
            return frame["a"]

    scene.want_by_rule(scene.save(Slow()), gates=[{"ready": {"seconds": 2}}])
    done = scene.reconcile()
    assert done.action == "refused"
    assert "not ready within 2 s" in done.reason
    assert scene.running() == []
    assert scene.record.live_envelope is None


def test_a_worse_metric_is_refused_before_anything_is_started(scene: Scene) -> None:
    good, worse = scene.save(), scene.save(times(3))
    good.log_metrics({"auc": 0.9})
    worse.log_metrics({"auc": 0.8})
    gates = [{"not_worse": {"metric": "auc", "tolerance": 0.05}}]
    scene.want_by_rule(good, gates=gates)
    assert scene.reconcile().action == "deployed"
    scene.want_by_rule(worse, gates=gates)
    done = scene.reconcile()
    assert done.action == "refused"
    assert "auc is 0.8, worse than 0.9" in done.reason
    assert "start" not in scene.steps()
    scene.check_one_live(good)


def test_a_metric_that_is_not_there_yet_holds_and_never_passes(scene: Scene) -> None:
    envelope = scene.save()
    scene.want_by_rule(envelope, gates=[{"metric": "metric.auc > 0.9"}])
    done = scene.reconcile()
    assert done.action == "held"
    assert "auc was not logged yet" in done.reason
    assert done.retry_at is not None
    assert scene.ledger[0].state == "superseded"
    # Before its time it is not tried again.
    assert scene.reconcile().action == "held"
    assert len(scene.ledger) == 1
    envelope.log_metrics({"auc": 0.95})
    assert scene.reconcile(retry=True).action == "deployed"
    scene.check_one_live(envelope)


def test_an_envelope_nobody_verified_is_held(scene: Scene) -> None:
    envelope = scene.save()
    scene.want_by_rule(envelope, gates=["reproducible"])
    assert scene.reconcile().action == "held"
    scene.store.record_verification(envelope.id, "failed", "other numbers")
    done = scene.reconcile(retry=True)
    assert done.action == "refused"
    assert "other numbers" in done.reason


def test_a_slow_candidate_is_refused_by_its_latency(scene: Scene) -> None:
    def slow(frame: pd.DataFrame) -> pd.Series:
        import time

        time.sleep(0.05)
        return frame["a"]

    scene.want_by_rule(scene.save(slow), gates=[{"latency": {"seconds": 0.02, "requests": 5}}])
    done = scene.reconcile()
    assert done.action == "refused"
    assert "longer than 0.02 s" in done.reason
    assert scene.running() == []


@pytest.mark.parametrize(
    "error",
    [
        TargetFailed("the daemon is away"),
        OSError(28, "No space left on device"),
        EnvironmentNotBuildable("uv says: error sending request for url (https://index.example)"),
    ],
)
def test_what_is_not_the_envelopes_fault_is_tried_again_later(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    envelope = scene.save()
    scene.want(envelope)

    def fail(*_: Any) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(ProcessTarget, "prepare", fail)
        done = scene.reconcile()
        first = done.retry_at
        assert done.action == "retrying"
        assert "It is tried again after" in done.reason
        assert scene.ledger[0].state == "superseded"
        waiting = scene.reconcile()
        assert (waiting.action, waiting.retry_at) == ("retrying", first)
        assert len(scene.ledger) == 1
        second = scene.reconcile(retry=True).retry_at
        assert first is not None
        assert second is not None
        later, earlier = list(scene.ledger)
        assert second - later.started_at > first - earlier.started_at
    assert scene.reconcile(retry=True).action == "deployed"
    scene.check_one_live(envelope)


def test_an_environment_that_cannot_be_built_is_refused(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise EnvironmentNotBuildable("numpy==1.0 and pandas==3.1.1 exclude each other")

    monkeypatch.setattr(ProcessTarget, "prepare", fail)
    scene.want(scene.save())
    done = scene.reconcile()
    assert done.action == "refused"
    assert "exclude each other" in done.reason


GATE = """
from dataclasses import dataclass
from typing import ClassVar

from model_envelope.deployment.gates.gate import Gate, passed


@dataclass(frozen=True, kw_only=True)
class Weekday(Gate):
    name: ClassVar[str] = "weekday"
    stage: ClassVar[str] = "after"
    day: str

    def judge(self, candidate):
        assert candidate.addresses
        if self.day == "never":
            return 1 / 0
        return passed(day=self.day, odd=float("nan"))
"""


@pytest.fixture
def weekday_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed package with a gate of its own."""
    (tmp_path / "site" / "weekday-1.0.dist-info").mkdir(parents=True)
    (tmp_path / "site" / "weekday_gate.py").write_text(GATE)
    info = tmp_path / "site" / "weekday-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: weekday\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[model_envelope.gates]\nweekday = weekday_gate:Weekday\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    registry._entry_points.cache_clear()
    yield
    registry._entry_points.cache_clear()


@pytest.mark.usefixtures("weekday_gate")
def test_other_packages_add_gates_and_one_that_raises_has_refused(scene: Scene) -> None:
    good = scene.save()
    scene.want_by_rule(good, gates=[{"weekday": {"day": "monday"}}])
    assert scene.reconcile().action == "deployed"
    assert scene.detail("weekday") == {"day": "monday", "odd": "nan"}
    scene.want_by_rule(scene.save(times(3)), gates=[{"weekday": {"day": "never"}}])
    done = scene.reconcile()
    assert done.action == "refused"
    assert "weekday: ZeroDivisionError" in done.reason
    scene.check_one_live(good)


def test_a_gate_that_is_not_installed_here_refuses(scene: Scene) -> None:
    scene.want_by_rule(scene.save(), gates=["astrology"])
    done = scene.reconcile()
    assert done.action == "refused"
    assert "There is no gate 'astrology'" in done.reason
