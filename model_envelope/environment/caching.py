"""The folder of built environments: who may write, what was used when, what may go."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from model_envelope.errors import EnvironmentNotBuildable

_log = logging.getLogger(__name__)

STAMP = ".last-used"
_OURS = re.compile(r"(?P<digest>[0-9a-f]{64})(?P<rest>\.(?:building|removing)-.+|\..+\.tar\.gz)?")


def environments(cache: Path) -> Path:
    """The folder of built environments in the cache; it is made if it is not there.

    Raises:
        EnvironmentNotBuildable: it cannot be made.
    """
    folder = cache.absolute() / "environments"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentNotBuildable(
            f"Environments are built in {folder}, which cannot be made ({error.strerror}): set "
            "MODEL_ENVELOPE_CACHE to a folder on a local disk."
        ) from error
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
        (built / STAMP).touch()
    else:
        os.utime(built)


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A free name beside `target` to build it under; what is left there is removed.

    Raises:
        EnvironmentNotBuildable: the disk is full, or something else of the kind.
    """
    place = target.with_name(f"{target.name}.building-{uuid.uuid4().hex[:8]}")
    try:
        yield place
    except OSError as error:
        raise EnvironmentNotBuildable(
            f"The environment cannot be written to {target.parent}: {error}."
        ) from error
    finally:
        _remove(place)


def set_aside(item: Path) -> None:
    """Remove an environment; it is gone in one step, so that no half of it is ever found."""
    away = item.with_name(f"{item.name[:64]}.removing-{uuid.uuid4().hex[:8]}")
    item.rename(away)
    _remove(away)


def sweep(folder: Path, digest: str) -> None:
    """Remove what builds that were killed left behind. Call it with the lock held."""
    for pattern in (f"{digest}.building-*", f"{digest}.removing-*"):
        for left in folder.glob(pattern):
            _remove(left)


def prune(cache: Path, *, keep: timedelta, dry_run: bool = False) -> tuple[str, ...]:
    """Remove environments that were not used for the time `keep`, and leavings of builds.

    Returns:
        The names of the environments and packed environments that were removed, or would be.
    """
    folder = environments(cache)
    oldest = time.time() - keep.total_seconds()
    removed = []
    for item in sorted(folder.iterdir()):
        ours = _OURS.fullmatch(item.name)
        if ours is None:
            continue
        with locked(folder / f"{ours['digest']}.lock"):
            if not dry_run:
                sweep(folder, ours["digest"])
            if item.exists() and _last_used(item) < oldest:
                if not dry_run:
                    set_aside(item)
                removed.append(item.name)
    return tuple(removed)


def _last_used(item: Path) -> float:
    stamp = item / STAMP
    return (stamp if stamp.exists() else item).stat().st_mtime


def _remove(item: Path) -> None:
    if item.is_dir():
        # A killed build's uv may still be writing; the next sweep gets the rest.
        shutil.rmtree(item, ignore_errors=True)
    else:
        item.unlink(missing_ok=True)
