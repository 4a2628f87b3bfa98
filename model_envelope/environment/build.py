"""Environments built from their locks, once each on a machine."""

from __future__ import annotations

import logging
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version

from model_envelope.envelope import Environment
from model_envelope.environment.caching import (
    environments,
    locked,
    mark_used,
    set_aside,
    staged,
    sweep,
)
from model_envelope.environment.capture import check_platform, minor_version, this_platform
from model_envelope.environment.installed import installation
from model_envelope.environment.interpreters import find_interpreter
from model_envelope.environment.lock import check_lock
from model_envelope.environment.uv import run_uv, spoken
from model_envelope.errors import EnvironmentNotBuildable

_log = logging.getLogger(__name__)

_TIMEOUT = 3600
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltEnvironment:
    """An installed environment: its interpreter, and the folder that it is in."""

    python: Path
    prefix: Path


def build(environment: Environment, lock_text: str, *, cache: Path) -> BuiltEnvironment:
    """Install an environment, or find it installed.

    It is kept in the cache under the environment's digest. Processes that ask for the same
    one at the same time wait for the first; what a killed one left behind is removed.

    Args:
        environment: what to install.
        lock_text: what `lock` gave for it.
        cache: the folder of what can be made again, see `config.cache`.

    Raises:
        MissingDependency: uv is not installed.
        EnvironmentNotBuildable: the lock is not of this environment, there is no fitting
            interpreter, or a distribution cannot be installed or has another hash.
    """
    if not _DIGEST.fullmatch(environment.digest):
        raise EnvironmentNotBuildable(f"{environment.digest!r:.80} is no environment's digest.")
    check_platform(environment)
    check_lock(lock_text, environment)
    folder = environments(cache)
    prefix = folder / environment.digest
    built = BuiltEnvironment(python=prefix / "bin" / "python", prefix=prefix)
    # The link is broken when the interpreter it was built on has been removed.
    if not built.python.exists():
        with locked(folder / f"{environment.digest}.lock"):
            sweep(folder, environment.digest)
            if not built.python.exists():
                _build(environment, lock_text, prefix)
    mark_used(prefix)
    return built


def current_matches(environment: Environment) -> tuple[str, ...]:
    """How this interpreter differs from an environment, one line each; empty if not at all."""
    differences = []
    here = platform.python_version()
    if minor_version(here) != minor_version(environment.python):
        differences.append(f"Python {environment.python} is needed, this is {here}")
    if this_platform() != environment.platform:
        differences.append(f"{environment.platform} is needed, this is {this_platform()}")
    packages = installation().packages
    for wanted in environment.distributions:
        found = packages.get(wanted.name)
        if wanted.source is not None:
            continue
        if found is None:
            differences.append(f"{wanted.name} {wanted.version} is needed, but not installed")
        elif not _same_version(found.version, wanted.version):
            differences.append(
                f"{wanted.name} {wanted.version} is needed, {found.version} is installed"
            )
    return tuple(differences)


def _build(environment: Environment, lock_text: str, prefix: Path) -> None:
    _log.info(
        "Building environment %s: Python %s, %d distributions",
        environment.digest[:12],
        environment.python,
        len(environment.distributions),
    )
    minor = minor_version(environment.python)
    interpreter = find_interpreter(minor, folder=prefix.parent)
    with staged(prefix) as folder:
        _install(interpreter, lock_text, folder)
        if prefix.exists():
            set_aside(prefix)
        folder.rename(prefix)


def _install(interpreter: Path, lock_text: str, prefix: Path) -> None:
    create = ["venv", "--relocatable", "--no-project", "--no-python-downloads", "--python"]
    _uv([*create, interpreter, prefix], prefix.parent)
    lock_file = prefix / "environment.lock"
    lock_file.write_text(lock_text)
    install = ["pip", "sync", "--require-hashes", "--allow-empty-requirements"]
    install += ["--compile-bytecode", "--python"]
    _uv([*install, prefix / "bin" / "python", lock_file], prefix.parent)


def _uv(arguments: list[str | Path], folder: Path) -> None:
    done = run_uv(arguments, folder=folder, timeout=_TIMEOUT)
    if done.returncode:
        raise EnvironmentNotBuildable(
            f"The environment cannot be installed; uv says: {spoken(done.stderr)}"
        )


def _same_version(one: str, other: str) -> bool:
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other
