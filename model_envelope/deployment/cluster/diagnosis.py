"""What is wrong with the pods of a release, in words: from what the cluster says of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from model_envelope.deployment.cluster.refusals import next_step

Object = Mapping[str, Any]

_STARTING = {"ContainerCreating", "PodInitializing"}
_HINTS = {
    "ErrImagePull": "see that nodes reach the registry, and have image_pull_secrets if it asks",
    "InvalidImageName": "see the option image",
    "OOMKilled": "raise memory_mb",
    "CreateContainerConfigError": "see that its Secret is there",
}
_HINTS["ImagePullBackOff"] = _HINTS["ErrImagePull"]


def troubles(deployment: Object | None, pods: Sequence[Object]) -> tuple[str, ...]:
    """What keeps pods from being ready, each thing once; nothing while they only start.

    Args:
        deployment: of the pods, if there is one.
        pods: all that there are.
    """
    found = [] if deployment is None else list(_of_deployment(deployment))
    found += [f"{pod['metadata']['name']}: {what}" for pod in pods for what in _of_pod(pod)]
    return tuple(dict.fromkeys(found))


def is_ready(pod: Object) -> bool:
    """Whether it is said to answer, and is not going."""
    return not is_going(pod) and _condition(pod, "Ready").get("status") == "True"


def is_going(pod: Object) -> bool:
    """Whether it has been told to end."""
    return "deletionTimestamp" in pod["metadata"]


def restarts(pod: Object) -> int:
    """How often its containers were started again."""
    return sum(status.get("restartCount", 0) for status in _statuses(pod))


def _of_deployment(deployment: Object) -> Iterator[str]:
    failure = _condition(deployment, "ReplicaFailure")
    if failure.get("status") == "True":
        yield f"no pod can be made: {_told(failure)}"
    progress = _condition(deployment, "Progressing")
    if progress.get("reason") == "ProgressDeadlineExceeded":
        yield f"the cluster gave up waiting for it: {_told(progress)}"


def _of_pod(pod: Object) -> Iterator[str]:
    if is_going(pod):
        return
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("reason") == "Unschedulable":
        yield f"no node takes it: {_told(scheduled)}"
    if pod.get("status", {}).get("reason"):
        yield _told(pod["status"])
    for status in _statuses(pod):
        yield from _of_container(status)


def _of_container(status: Object) -> Iterator[str]:
    state, last = status.get("state", {}), status.get("lastState", {})
    waiting, ended = state.get("waiting", {}), state.get("terminated") or last.get("terminated")
    if waiting.get("reason") and waiting["reason"] not in _STARTING:
        yield _told(waiting)
    if ended and not status.get("ready"):
        why = _told({"reason": ended.get("reason", "")})
        times = status.get("restartCount", 0)
        yield f"ended with {ended.get('exitCode')} ({why}) and was started again {times} times"


def _told(source: Object) -> str:
    reason, message = source.get("reason", ""), source.get("message", "")
    hint = _HINTS.get(reason) or next_step(message)
    return ": ".join(text for text in (reason, message.strip()[:300], hint) if text)


def _condition(of: Object, kind: str) -> Object:
    found = of.get("status", {}).get("conditions") or ()
    return next((condition for condition in found if condition["type"] == kind), {})


def _statuses(pod: Object) -> Sequence[Object]:
    return pod.get("status", {}).get("containerStatuses") or ()
