"""What is wrong with pods, as API servers tell it."""

from __future__ import annotations

from typing import Any

import pytest

from model_envelope.deployment.cluster.diagnosis import is_ready, restarts, troubles

PULL = {
    "reason": "ImagePullBackOff",
    "message": 'Back-off pulling image "registry.example/models:1"',
}


def pod(status: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "ltv-1", **metadata}, "status": status}


def container(**status: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "model", "ready": False, "restartCount": 0, **status}]}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            container(state={"waiting": PULL}),
            ["ImagePullBackOff", "models:1", "image_pull_secrets"],
        ),
        (
            container(
                restartCount=3,
                state={"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
                lastState={"terminated": {"reason": "OOMKilled", "exitCode": 137}},
            ),
            ["CrashLoopBackOff", "137", "OOMKilled", "memory_mb", "again 3 times"],
        ),
        (
            container(restartCount=1, state={"terminated": {"reason": "Error", "exitCode": 3}}),
            ["ended with 3"],
        ),
        (
            container(
                state={
                    "waiting": {
                        "reason": "CreateContainerConfigError",
                        "message": 'secret "ltv" not found',
                    }
                }
            ),
            ['secret "ltv" not found'],
        ),
        (
            {
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/3 nodes are available: 3 Insufficient cpu.",
                    }
                ]
            },
            ["no node takes it", "Insufficient cpu", "lower cpus or memory_mb"],
        ),
        ({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}, ["Evicted", "low"]),
    ],
)
def test_troubles_of_pods_are_told(status: dict[str, Any], said: list[str]) -> None:
    text = "; ".join(troubles(None, [pod(status)]))
    assert text.startswith("ltv-1: ")
    for part in said:
        assert part in text


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
            "gave up waiting",
        ),
        (
            {
                "type": "ReplicaFailure",
                "status": "True",
                "reason": "FailedCreate",
                "message": 'pods "ltv-1" is forbidden: exceeded quota: compute',
            },
            "exceeded quota: compute: have less in this namespace",
        ),
        (
            {
                "type": "ReplicaFailure",
                "status": "True",
                "reason": "FailedCreate",
                "message": 'pods "ltv-1" is forbidden: maximum memory usage per Container is 1Mi',
            },
            "LimitRange",
        ),
    ],
)
def test_troubles_of_deployments_are_told(condition: dict[str, str], said: str) -> None:
    (text,) = troubles({"status": {"conditions": [condition]}}, [])
    assert said in text


def test_what_only_starts_or_goes_is_no_trouble() -> None:
    creating = container(state={"waiting": {"reason": "ContainerCreating"}})
    going = container(state={"terminated": {"reason": "Error", "exitCode": 137}})
    pods = [pod(creating), pod({}), pod(going, deletionTimestamp="2026-01-01T00:00:00Z")]
    assert troubles({"status": {}}, pods) == ()


def test_a_pod_that_goes_is_not_ready() -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}], **container(restartCount=2)}
    assert is_ready(pod(ready))
    assert not is_ready(pod(ready, deletionTimestamp="2026-01-01T00:00:00Z"))
    assert not is_ready(pod({}))
    assert restarts(pod(ready)) == 2
