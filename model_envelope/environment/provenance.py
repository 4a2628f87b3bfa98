"""Where a model was saved, by whom, and from which code."""

from __future__ import annotations

import getpass
import os
import platform
import socket
from pathlib import Path

from model_envelope._version import __version__
from model_envelope.envelope import Provenance
from model_envelope.environment.capture import this_platform
from model_envelope.environment.git import checkout

# Airflow exports these for every task before it runs; the map index is our plugin's doing.
_AIRFLOW = {
    "dag_id": "AIRFLOW_CTX_DAG_ID",
    "run_id": "AIRFLOW_CTX_DAG_RUN_ID",
    "task_id": "AIRFLOW_CTX_TASK_ID",
    "map_index": "AIRFLOW_CTX_MAP_INDEX",
    "try_number": "AIRFLOW_CTX_TRY_NUMBER",
}


def provenance(start: Path | None = None) -> Provenance:
    """Where this process runs; in an Airflow task, also which.

    Args:
        start: a folder in the git checkout that the model comes from; the working folder
            if None. What `git_dirty` means: see `environment.git.Checkout`.
    """
    code = checkout(start or Path())
    return Provenance(
        user=_user(),
        host=socket.gethostname(),
        git_commit=code.commit if code is not None else "",
        git_dirty=code is not None and code.dirty,
        python=platform.python_version(),
        platform=this_platform(),
        library_version=__version__,
        airflow=airflow_task(),
    )


def airflow_task() -> dict[str, str]:
    """The task of Airflow that this process, or one above it, runs in: see `Provenance.airflow`."""
    return {part: value for part, name in _AIRFLOW.items() if (value := os.environ.get(name))}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # Containers often run under a number that has no name.
        return str(os.getuid())
