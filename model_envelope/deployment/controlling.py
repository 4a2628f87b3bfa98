"""The control routes of a release's replicas: a state, a split. They ask for its token."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from model_envelope.deployment.probing import JSON, ask
from model_envelope.deployment.targets.protocol import Split, SplitCounts
from model_envelope.errors import TargetFailed

_SECONDS = 15.0


def control(
    address: str, token: str, method: str, path: str, body: Any = None, *, name: str
) -> Any:
    """Send a request to a control route; gives the JSON that comes back.

    Args:
        address: of a replica; see `probing.ask`.
        token: of its release.
        method: of HTTP.
        path: below `/-/`.
        body: to be sent as JSON.
        name: the replica's, for messages.

    Raises:
        TargetFailed: it is not answered, or refused.
    """
    content = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": JSON}
    answer = ask(address, method, path, content, headers=headers, timeout=_SECONDS)
    if answer.status // 100 != 2:
        raise TargetFailed(f"{method} {path} of {name}: {answer.status} {answer.text}")
    return answer.json() if answer.body else None


def split_order(split: Split, *, address: str, token: str) -> dict[str, Any]:
    """What `PUT /-/split` takes: a split, and where the candidate is."""
    return {"mode": split.mode, "address": address, "token": token, "share": split.share}


def add_counts(states: Iterable[Mapping[str, Any]]) -> SplitCounts:
    """What a split has shown over all replicas, by their `/-/state`."""
    told = [state["split"] or {} for state in states]

    def total(name: str) -> Any:
        return sum(counts.get(name, 0) for counts in told)

    return SplitCounts(
        requests=total("requests"),
        failures=total("failures"),
        different=total("different"),
        live_seconds=float(total("live_seconds")),
        candidate_seconds=float(total("candidate_seconds")),
    )
