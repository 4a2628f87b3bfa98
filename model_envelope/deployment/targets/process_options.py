"""The options of the `process` target."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from model_envelope.deployment.targets import replicas
from model_envelope.errors import InvalidInput

Checks = Mapping[str, tuple[str, Callable[[Any], bool]]]
"""By option: what its value must be, for people, and whether a value is that."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# What decides which code runs is the platform's to say.
_RESERVED = re.compile(r"PYTHON.*|LD_.*|DYLD_.*|MODEL_ENVELOPE_.*|PATH|HOME|TMPDIR", re.IGNORECASE)
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

DEFAULTS: dict[str, Any] = {
    "host": "127.0.0.1",
    "port": None,
    "replicas": 1,
    "threads": None,
    "memory_mb": None,
    "nice": 0,
    "hang_seconds": 60,
    "env": {},
}
"""`host` and `port` of the service's URL (None: one that is chosen once and kept), how many
processes share its requests (a number, or see `replicas.Replicas`), threads of each one's
numerical libraries, private memory of each in MiB, niceness, after how long without any
answer a process is started again, and variables that the model's code reads."""


def check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options complete with defaults.

    Raises:
        InvalidInput: some are unknown or wrong; names all of them.
    """
    return complete("process", options, DEFAULTS, CHECKS)


def complete(
    kind: str, options: Mapping[str, Any], defaults: Mapping[str, Any], checks: Checks
) -> dict[str, Any]:
    """Options of a target complete with its defaults.

    Args:
        kind: of the target.
        options: as they were given.
        defaults: every option that there is, `env` among them.
        checks: what the values must be.

    Raises:
        InvalidInput: some are unknown or wrong; names all of them.
    """
    problems = [
        f"{name!r} is unknown; there are {', '.join(defaults)}"
        for name in options
        if name not in defaults
    ]
    given = {**defaults, **{key: value for key, value in options.items() if key in defaults}}
    problems += [
        f"{name} must be {what}, not {given[name]!r:.80}"
        for name, (what, fits) in checks.items()
        if not fits(given[name])
    ]
    if problems:
        raise InvalidInput(f"Options of the target {kind!r}: " + "; ".join(problems) + ".")
    return given | {"env": dict(given["env"])}


def thread_variables(threads: int | None) -> dict[str, str]:
    """The variables that tell numerical libraries how many threads to use."""
    return {} if threads is None else dict.fromkeys(_THREADS, str(threads))


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


def _is_address(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return value == "localhost"
    return True


def _are_variables(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str)
        and isinstance(text, str)
        and _VARIABLE.fullmatch(name) is not None
        and not _RESERVED.fullmatch(name)
        and "\0" not in text
        for name, text in value.items()
    )


def _or_none(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


CHECKS: Checks = {
    "host": ("an IP address of this machine", _is_address),
    "port": ("a port from 1 to 65535, or None", _or_none(_whole(1, 65535))),
    "replicas": (replicas.EXPECTED, replicas.fits),
    "threads": ("a number from 1 to 1024, or None", _or_none(_whole(1, 1024))),
    "memory_mb": ("64 or more, or None", _or_none(_whole(64, 1 << 24))),
    "nice": ("a number from 0 to 19", _whole(0, 19)),
    "hang_seconds": ("a number from 1 to 3600", _whole(1, 3600)),
    "env": (
        "a mapping of names to texts, without those that decide which code runs "
        "(PYTHON…, LD_…, PATH, HOME, TMPDIR)",
        _are_variables,
    ),
}
