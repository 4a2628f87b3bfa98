"""Who is told: Alertmanager's routes by the tags `team` and `owner` of the live envelope.

https://prometheus.io/docs/alerting/latest/configuration/#route
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model_envelope.errors import InvalidInput
from model_envelope.monitoring.watched import OWNERS, Watched

_DEFAULT = "model-envelope"


def alertmanager_configuration(
    services: Sequence[Watched], base: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A whole `alertmanager.yml`: `base`, and a route to each owner that it has a receiver for.

    A receiver called `team-growth` gets the alerts of services whose envelope has the tag
    `team` with the value `growth`, `owner-ann` those with `owner` `ann`; the base's own
    receiver gets the others.

    Args:
        services: the live services.
        base: a configuration with receivers; without one nobody is told, and alerts are
            seen in Alertmanager only.

    Raises:
        InvalidInput: the base has no receivers, or its route names none.
    """
    found = dict(base or {"receivers": [{"name": _DEFAULT}], "route": {"receiver": _DEFAULT}})
    names = _receivers(found)
    routes = [
        {"receiver": f"{key}-{value}", "matchers": [f"{key}={_quoted(value)}"]}
        for key, value in sorted({pair for s in services for pair in s.owners.items()}, key=_order)
        if f"{key}-{value}" in names
    ]
    grouped = {"group_by": ["service"], "group_wait": "10s", **found["route"]}
    return {**found, "route": {**grouped, "routes": [*found["route"].get("routes", []), *routes]}}


def _receivers(base: Mapping[str, Any]) -> set[str]:
    try:
        names = {receiver["name"] for receiver in base["receivers"]}
        default = base["route"]["receiver"]
    except (KeyError, TypeError):
        raise InvalidInput(
            "The Alertmanager configuration needs `receivers` with names, and a `route` with a "
            "`receiver`."
        ) from None
    if default not in names:
        raise InvalidInput(f"The route's receiver {default!r} is not among the receivers.")
    return names


def _order(pair: tuple[str, str]) -> tuple[int, str]:
    return OWNERS.index(pair[0]), pair[1]


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
