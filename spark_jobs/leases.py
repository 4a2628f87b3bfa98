"""Folders that belong to a process, and go when it does."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = "lock"
_TOKEN = re.compile(r"[0-9a-f]{16}")


@contextmanager
def leased_folder(
    place: Path, *, mode: int = 0o777, before_removal: Callable[[Path], None] | None = None
) -> Iterator[Path]:
    """A new folder in `place`, removed afterwards; also removes those of dead processes.

    Each folder has a lock that its process holds as long as it lives.

    Args:
        place: made if it is missing; a lock file stays in it.
        mode: permissions of the folder, before the umask.
        before_removal: is given a folder, this or a dead one's, before it is removed.

    Raises:
        OSError: the place cannot be written to.
    """
    place.mkdir(parents=True, exist_ok=True)
    with locked(place):
        for folder in place.iterdir():
            if _TOKEN.fullmatch(folder.name):
                _remove_dead(folder, before_removal)
        folder = place / secrets.token_hex(8)
        folder.mkdir(mode=mode)
        alive = _try_lock(folder / _LOCK)
    try:
        yield folder
    finally:
        if before_removal is not None:
            before_removal(folder)
        shutil.rmtree(folder, ignore_errors=True)
        if alive is not None:
            os.close(alive)


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """Keep other processes out of `place` for a moment."""
    with (place / _LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_dead(folder: Path, before_removal: Callable[[Path], None] | None) -> None:
    dead = _try_lock(folder / _LOCK)
    if dead is None:
        return
    try:
        if before_removal is not None:
            before_removal(folder)
        shutil.rmtree(folder)
    finally:
        os.close(dead)


def _try_lock(path: Path) -> int | None:
    """A descriptor that holds the lock until it is closed; None if another process does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
