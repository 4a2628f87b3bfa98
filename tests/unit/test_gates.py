"""Gates as rules write them, and when what failed is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from model_envelope.deployment import failures
from model_envelope.deployment.gates.answers import Latency, Ready
from model_envelope.deployment.gates.records import Metric, NotWorse, Reproducible
from model_envelope.deployment.gates.registry import read_gates, read_rollout
from model_envelope.deployment.gates.splits import Canary, Shadow
from model_envelope.deployment.rollout import plain
from model_envelope.errors import (
    ArtifactCorrupted,
    ArtifactError,
    DeploymentFailed,
    EnvironmentNotBuildable,
    InvalidInput,
    StoreUnavailable,
    TargetFailed,
)


def test_gates_are_names_or_names_with_options() -> None:
    found = read_gates(
        [
            "reproducible",
            {"reproducible": {}},
            {"metric": "metric.auc > 0.9"},
            {"not_worse": {"metric": "rmse", "better": "min", "tolerance": 0.5}},
            {"not_worse": "auc"},
            {"ready": 60},
            {"latency": {"seconds": 0.05, "quantile": 0.99, "requests": 20}},
        ]
    )
    assert found == (
        Reproducible(),
        Reproducible(),
        Metric(expression="metric.auc > 0.9"),
        NotWorse(metric="rmse", better="min", tolerance=0.5),
        NotWorse(metric="auc"),
        Ready(seconds=60),
        Latency(seconds=0.05, quantile=0.99, requests=20),
    )


def test_a_rollout_shows_its_shadow_first() -> None:
    given = {"canary": {"share": 0.2}, "shadow": {"max_different": 0.1}}
    assert read_rollout(given) == (Shadow(max_different=0.1), Canary(share=0.2))
    assert read_rollout({"canary": None, "shadow": None}) == read_rollout(None) == ()


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("abacus", "There is no gate 'abacus'; there are golden_rows, latency"),
        ("canary", "part of a rollout"),
        (7, "A gate is a name"),
        ({"ready": 1, "latency": 2}, "A gate is a name"),
        ({"reproducible": "yes"}, "takes options by name"),
        ({"metric": "auc >"}, ""),
        ({"metric": None}, "'metric'"),
        ({"metric": {"expresion": "x"}}, "has no option 'expresion'; it has expression"),
        ({"not_worse": {"metric": "auc", "better": "bigger"}}, "better is max or min"),
        ({"not_worse": {"metric": "auc", "tolerance": -1}}, "0 or more, not -1"),
        ({"not_worse": {"metric": "a b"}}, "is no metric name"),
        ({"ready": {"seconds": True}}, "must be a number"),
        ({"latency": {"seconds": 1, "quantile": 2}}, "from 0.01 to 1"),
        ({"latency": {"seconds": 1, "requests": 1.5}}, "no whole number"),
    ],
)
def test_what_is_wrong_with_a_gate_is_said(gate: Any, said: str) -> None:
    with pytest.raises(InvalidInput) as told:
        read_gates([gate])
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("rollout", "said"),
    [
        ({"blue": {}}, "A rollout has no 'blue'; it has shadow and canary"),
        ({"canary": {"share": 0}}, "share must be a number"),
        ({"canary": {"share": 1.1}}, "from 1e-06 to 1"),
        ({"canary": {"min_requests": 0}}, "min_requests must be a number, 1 or more"),
        ({"canary": {"max_different": 0.1}}, "has no option 'max_different'"),
        ({"shadow": {"max_different": 2}}, "from 0 to 1"),
        ({"shadow": {"max_slowdown": "fast"}}, "max_slowdown must be a number"),
    ],
)
def test_what_is_wrong_with_a_rollout_is_said(rollout: Any, said: str) -> None:
    with pytest.raises(InvalidInput) as told:
        read_rollout(rollout)
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (TargetFailed("no daemon"), True),
        (StoreUnavailable("no database"), True),
        (OSError(28, "No space left on device"), True),
        (ConnectionRefusedError(), True),
        (ArtifactError("S3 answers 503"), True),
        (ArtifactCorrupted("another digest"), False),
        (EnvironmentNotBuildable("uv says: dns error: failed to lookup"), True),
        (EnvironmentNotBuildable("`uv pip install` did not end within 600 s"), True),
        (EnvironmentNotBuildable("numpy==1.0 is not there"), False),
        (DeploymentFailed("worse"), False),
        (ZeroDivisionError(), False),
    ],
)
def test_what_is_not_the_envelopes_fault_passes(error: Exception, passes: bool) -> None:
    assert failures.is_passing(error) is passes


def test_each_try_waits_longer_up_to_a_limit() -> None:
    now = datetime.now(UTC)
    waits = [failures.after(now, tries) - now for tries in (0, 1, 2, 3, 10_000)]
    assert waits[:4] == [timedelta(seconds=s) for s in (10, 20, 40, 80)]
    assert waits[4] == failures.LONGEST


def test_what_a_gate_measured_is_kept_as_plain_json() -> None:
    measured = {"nan": float("nan"), "deep": [{"inf": float("-inf")}], 1: {"other": object}}
    assert plain(measured) == {
        "nan": "nan",
        "deep": [{"inf": "-inf"}],
        "1": {"other": str(object)},
    }
