"""The environment of a service: a model's own, and what answers HTTP requests in it."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from model_envelope import config
from model_envelope.envelope import Distribution, Environment
from model_envelope.environment.capture import check_platform, environment_digest
from model_envelope.environment.lock import locked_versions, mentions, pins_of
from model_envelope.environment.uv import run_uv, spoken
from model_envelope.errors import EnvironmentNotBuildable

SERVE = (
    "httptools>=0.6",
    "msgspec>=0.20",
    "prometheus-client>=0.20",
    "uvicorn>=0.32",
    "uvloop>=0.21; sys_platform != 'win32'",
)
"""What the extra `serve` names; the same lines are in setup.cfg."""

_TIMEOUT = 600
_COMPILED = re.compile(r"^(\S+)==(\S+)$", re.MULTILINE)


def service_environment(environment: Environment) -> Environment:
    """A model's environment and what serves it, resolved against the model's versions.

    The model's own versions stay as they are. What is newest on the index counts, so keep
    the lock of the result under `service_key`, and read it again by `locked_environment`.

    Raises:
        MissingDependency: uv is not installed.
        EnvironmentNotBuildable: a version of the model's is none that the service works
            with; names both.
    """
    check_platform(environment)
    pins = pins_of(environment)
    with tempfile.TemporaryDirectory(dir=_folder(), prefix="serve-") as name:
        constraints = Path(name, "constraints.txt")
        constraints.write_text("\n".join(pins.values()))
        arguments = ["pip", "compile", "-", "--no-header", "--no-annotate"]
        arguments += [f"--python={sys.executable}", f"--constraint={constraints}"]
        arguments += [f"--python-version={environment.python.rstrip('+')}"]
        done = run_uv(arguments, folder=Path(name), timeout=_TIMEOUT, text="\n".join(SERVE))
    if done.returncode:
        raise EnvironmentNotBuildable(_conflict(pins, spoken(done.stderr)))
    return _extended(environment, dict(_COMPILED.findall(done.stdout)))


def service_key(environment: Environment) -> str:
    """SHA-256, in hex: under it the store keeps the lock of an environment's service."""
    return hashlib.sha256(json.dumps([environment.digest, SERVE]).encode()).hexdigest()


def locked_environment(environment: Environment, text: str) -> Environment:
    """What `service_environment` gave when this lock was made of it.

    Raises:
        EnvironmentNotBuildable: this is no lock.
    """
    return _extended(environment, locked_versions(text))


def _extended(environment: Environment, versions: dict[str, str]) -> Environment:
    own = {canonicalize_name(d.name): d for d in environment.distributions}
    added = {canonicalize_name(name): version for name, version in versions.items()}
    for name in added.keys() & own.keys():
        if own[name].source is not None:
            raise EnvironmentNotBuildable(
                f"The service needs {name}, and the model brings its own, from "
                f"{own[name].source}: save the model with a published version of it."
            )
    distributions = (
        *environment.distributions,
        *(Distribution(name=n, version=v) for n, v in added.items() if n not in own),
    )
    ordered = tuple(sorted(distributions, key=lambda distribution: distribution.name))
    digest = environment_digest(environment.python, environment.platform, ordered)
    return replace(environment, distributions=ordered, digest=digest)


def _folder() -> Path:
    folder = config.cache()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _conflict(pins: dict[str, str], complaint: str) -> str:
    culprits = [pin for pin in pins.values() if mentions(complaint, pin)]
    if not culprits:
        return f"What serves the model cannot be resolved; uv says: {complaint}"
    needed = {need for pin in culprits for need in _needs(complaint, pin)}
    return (
        f"A service cannot run in this model's environment: the model needs "
        f"{' and '.join(culprits)}, and the service needs {' and '.join(sorted(needed))}. "
        f"Save the model with another version. uv says: {complaint}"
    )


def _needs(complaint: str, pin: str) -> set[str]:
    name = canonicalize_name(Requirement(pin).name)
    direct = {line for line in SERVE if canonicalize_name(Requirement(line).name) == name}
    through = re.findall(rf"depends? on ({re.escape(name)}[<>=!~][^\s]*)", complaint)
    return direct | {need.rstrip(",.") for need in through} - {pin}
