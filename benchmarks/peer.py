"""MLflow in an environment of its own, as its users install it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

VERSION = "3.18.0"


def mlflow_python() -> Path:
    """An interpreter with MLflow, made once in the user's cache."""
    folder = Path(os.environ.get("MLFLOW_ENV") or "~/.cache/model-envelope/peers/mlflow")
    python = folder.expanduser() / "bin" / "python"
    if not python.exists():
        uv = [sys.executable, "-m", "uv"]
        packages = [f"mlflow=={VERSION}", "scikit-learn", "pyspark==4.2.0", "psutil"]
        subprocess.run(
            [*uv, "venv", "-q", "--python", sys.executable, folder.expanduser()], check=True
        )
        subprocess.run([*uv, "pip", "install", "-q", "-p", python, *packages], check=True)
    return python


def run(
    code: str, *, python: Path | None = None, cwd: Path | None = None, new_session: bool = False
) -> str:
    """What a script printed, run by the peer's interpreter unless another is given."""
    done = subprocess.run(
        [python or mlflow_python(), "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        start_new_session=new_session,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return done.stdout
