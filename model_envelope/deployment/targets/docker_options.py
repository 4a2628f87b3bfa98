"""The options of the `docker` target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_envelope.deployment.targets import process_options
from model_envelope.errors import InvalidInput

DEFAULTS: dict[str, Any] = {
    "replicas": 1,
    "threads": None,
    "cpus": None,
    "memory_mb": None,
    "env": {},
}
"""How many containers share a service's requests, threads of each one's numerical libraries,
processors (a number, also a fraction) and memory in MiB of each, and variables that the
model's code reads."""

_SHARED = ("replicas", "threads", "memory_mb", "env")


def check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options complete with defaults.

    Raises:
        InvalidInput: some are unknown or wrong; names all of them.
    """
    problems = [
        f"{name!r} is unknown; there are {', '.join(DEFAULTS)}"
        for name in options
        if name not in DEFAULTS
    ]
    given = {**DEFAULTS, **{key: value for key, value in options.items() if key in DEFAULTS}}
    problems += process_options.wrong({name: given[name] for name in _SHARED})
    cpus = given["cpus"]
    if cpus is not None and not (type(cpus) in (int, float) and 0.01 <= cpus <= 1024):
        problems.append(f"cpus must be a number from 0.01 to 1024, or None, not {cpus!r:.80}")
    if problems:
        raise InvalidInput("Options of the target 'docker': " + "; ".join(problems) + ".")
    return given | {"env": dict(given["env"])}
