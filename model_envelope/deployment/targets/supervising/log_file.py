"""Log files that processes append to by themselves: kept small, read from their ends."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_LARGEST = 16 << 20
_BLOCK = 64 << 10


def rotate(file: Path, *, largest: int = _LARGEST) -> None:
    """Move what is in a log to `<name>.1` when it has grown over `largest` bytes.

    It is copied and emptied, because the processes that append to it have it open.
    """
    if file.exists() and file.stat().st_size > largest:
        shutil.copyfile(file, _previous(file))
        os.truncate(file, 0)


def tail(file: Path, lines: int) -> str:
    """The last lines of a log, also of what was moved away from it."""
    text = b""
    for part in (file, _previous(file)):
        if part.exists() and text.count(b"\n") < lines:
            text = _end(part, lines - text.count(b"\n")) + text
    return "".join(text.decode("utf-8", "replace").splitlines(keepends=True)[-lines:])


def _end(file: Path, lines: int) -> bytes:
    """At least so many lines from the end of a file, or all of it."""
    text = b""
    with file.open("rb") as source:
        at = source.seek(0, os.SEEK_END)
        while at and text.count(b"\n") <= lines:
            size = min(at, _BLOCK)
            at = source.seek(at - size)
            text = source.read(size) + text
            source.seek(at)
    return text


def _previous(file: Path) -> Path:
    return file.with_name(f"{file.name}.1")
