"""The folder of built environments: who may write, what was used when, what may go."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

_log = logging.getLogger(__name__)

_STAMP = ".last-used"
_OURS = re.compile(r"(?P<digest>[0-9a-f]{64})(?P<rest>\.(?:building|removing)-.+|\..+\.tar\.gz)?")


def environments(cache: Path) -> Path:
    """The folder of built environments in the cache; it is made if it is not there."""
    folder = cache.absolute() / "environments"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Let one process at a time go on; the lock ends with the process, however it ends."""
    with file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.info("Waiting for another process that builds %s", file.stem[:12])
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def mark_used(built: Path) -> None:
    """Remember that an environment, or a packed one, was used now."""
    if built.is_dir():
        (built / _STAMP).touch()
    else:
        os.utime(built)


def sweep(folder: Path, digest: str) -> None:
    """Remove what builds that were killed left behind. Call it with the lock held."""
    for pattern in (f"{digest}.building-*", f"{digest}.removing-*"):
        for left in folder.glob(pattern):
            _remove(left)


def prune(cache: Path, *, keep: timedelta) -> tuple[str, ...]:
    """Remove environments that were not used for the time `keep`, and leavings of builds.

    Returns:
        The names of the environments and packed environments that were removed.
    """
    folder = environments(cache)
    oldest = time.time() - keep.total_seconds()
    removed = []
    for item in sorted(folder.iterdir()):
        ours = _OURS.fullmatch(item.name)
        if ours is None:
            continue
        with locked(folder / f"{ours['digest']}.lock"):
            sweep(folder, ours["digest"])
            if item.exists() and _last_used(item) < oldest:
                # Out of the way in one step: a half removed environment is never found.
                away = folder / f"{ours['digest']}.removing-{os.getpid()}"
                item.rename(away)
                _remove(away)
                removed.append(item.name)
    return tuple(removed)


def _last_used(item: Path) -> float:
    stamp = item / _STAMP
    return (stamp if stamp.exists() else item).stat().st_mtime


def _remove(item: Path) -> None:
    if item.is_dir():
        # A killed build's uv may still be writing; the next sweep gets the rest.
        shutil.rmtree(item, ignore_errors=True)
    else:
        item.unlink(missing_ok=True)
