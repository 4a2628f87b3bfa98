"""How many threads numeric libraries may start, said before any of them is imported."""

from __future__ import annotations

import math
import os
from pathlib import Path

_MOST = 4
_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def limit() -> int:
    """Bound the pools of BLAS and OpenMP, unless the environment already says how.

    One core is left to the event loop: a model that takes them all delays every answer,
    and idle OpenMP threads that spin delay the next one.
    """
    count = max(1, min(_MOST, usable_cores() - 1))
    for name in _VARIABLES:
        os.environ.setdefault(name, str(count))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return count


def usable_cores(control_group: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores this process may use: its affinity, and the quota of its control group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, _quota(control_group)))


def _quota(control_group: Path) -> int:
    try:
        found = (control_group / "cpu.max").read_text().split()
        return math.ceil(int(found[0]) / int(found[1]))
    except (OSError, ValueError, IndexError):  # no such file, or "max"
        return 1 << 20
