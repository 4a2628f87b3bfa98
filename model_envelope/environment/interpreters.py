"""Python interpreters of this machine."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from model_envelope.environment.uv import run_uv, spoken
from model_envelope.errors import EnvironmentNotBuildable

_FIND_TIMEOUT, _INSTALL_TIMEOUT = 60, 600


def find_interpreter(minor: str, *, folder: Path) -> Path:
    """An interpreter of a minor version such as `3.12`: this one, pyenv's, one that uv finds.

    When there is none, uv is asked to install one.

    Args:
        minor: the version.
        folder: where to run uv.

    Raises:
        EnvironmentNotBuildable: there is none and none could be installed.
    """
    ways: Iterable[Callable[[], Path | None]] = (
        lambda: _this(minor),
        lambda: _pyenv(minor),
        lambda: _uv(minor, folder),
    )
    for way in ways:
        found = way()
        if found is not None:
            return found
    done = run_uv(["python", "install", minor], folder=folder, timeout=_INSTALL_TIMEOUT)
    installed = _uv(minor, folder) if done.returncode == 0 else None
    if installed is None:
        raise EnvironmentNotBuildable(
            f"The model needs Python {minor}, which is not on this machine. Install it so that "
            f"python{minor} is on the PATH, by pyenv, or by `uv python install {minor}`, which "
            f"failed: {spoken(done.stderr)}"
        )
    return installed


def _this(minor: str) -> Path | None:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Path(sys.executable) if sys.executable and here == minor else None


def _pyenv(minor: str) -> Path | None:
    versions = Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser() / "versions"
    fitting = re.compile(rf"{re.escape(minor)}\.(\d+)")
    found = {int(m[1]): d for d in versions.glob("*") if (m := fitting.fullmatch(d.name))}
    programs = (found[patch] / "bin" / "python" for patch in sorted(found, reverse=True))
    return next((program for program in programs if program.exists()), None)


def _uv(minor: str, folder: Path) -> Path | None:
    arguments = ["python", "find", "--no-project", "--no-python-downloads", f"cpython@{minor}"]
    done = run_uv(arguments, folder=folder, timeout=_FIND_TIMEOUT)
    return Path(done.stdout.strip()) if done.returncode == 0 else None
