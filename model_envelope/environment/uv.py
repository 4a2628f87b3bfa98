"""uv, the program that resolves and installs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from model_envelope.errors import EnvironmentNotBuildable, MissingDependency

# What would change the interpreter or the set of packages. Settings of indexes, credentials,
# caches and the network are the operator's and stay.
_LEFT_OUT = re.compile(
    r"PYTHON.*|PIP_.*|CONDA_.*|VIRTUAL_ENV|UV_(PYTHON|PROJECT.*|SYSTEM_PYTHON|CONSTRAINT|OVERRIDE"
    r"|EXCLUDE.*|BUILD_CONSTRAINT|RESOLUTION|PRERELEASE|NO_VERIFY_HASHES|ENV_FILE|WORKING_DIR)"
)


def find_uv() -> str:
    """The path of the uv program.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found is None:
        raise MissingDependency(
            "uv is not installed; it resolves and builds the environments of models: "
            "pip install uv."
        )
    return found


def run_uv(
    arguments: Sequence[str | Path], *, folder: Path, timeout: float, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run uv away from any project of the caller's, with the operator's index settings.

    Args:
        arguments: what follows `uv`.
        folder: where to run; it must be ours, as uv reads `uv.toml` there and above.
        timeout: in seconds.
        text: its standard input.

    Raises:
        MissingDependency: uv is not installed.
        EnvironmentNotBuildable: it did not end in time.
    """
    command = [find_uv(), "--color=never", "--no-progress", *map(str, arguments)]
    environment = {k: v for k, v in os.environ.items() if not _LEFT_OUT.fullmatch(k)}
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env=environment,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentNotBuildable(
            f"`uv {arguments[0]} {arguments[1]}` did not end within {timeout:.0f} s: see whether "
            "the package index answers, and try again."
        ) from error


def spoken(stderr: str) -> str:
    """What uv said, without drawing and wrapping, cut to what a person reads."""
    lines = [line.encode("ascii", "ignore").decode().strip() for line in stderr.splitlines()]
    return " ".join(line for line in lines if line)[:2000]
