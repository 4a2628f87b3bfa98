"""The options of the `docker` target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_envelope.deployment.targets import process_options

DEFAULTS: dict[str, Any] = {
    "replicas": 1,
    "threads": None,
    "cpus": None,
    "memory_mb": None,
    "env": {},
}
"""How many containers share a service's requests (a number, or see `replicas.Replicas`),
threads of each one's numerical libraries, processors (a number, also a fraction) and memory
in MiB of each, and variables that the model's code reads."""


def check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options complete with defaults.

    Raises:
        InvalidInput: some are unknown or wrong; names all of them.
    """
    return process_options.complete("docker", options, DEFAULTS, _CHECKS)


def _are_processors(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and 0.01 <= value <= 1024)


_CHECKS: process_options.Checks = {
    **{name: check for name, check in process_options.CHECKS.items() if name in DEFAULTS},
    "cpus": ("a number from 0.01 to 1024, or None", _are_processors),
}
