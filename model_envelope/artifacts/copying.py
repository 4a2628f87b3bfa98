"""Copying bytes so that a reader sees all of them or none, and only the right ones."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from model_envelope.artifacts.protocol import Progress
from model_envelope.errors import ArtifactCorrupted, ArtifactError

CHUNK = 1 << 20

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def size(source: Path | bytes) -> int:
    """How many bytes it has."""
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def opened(source: Path | bytes) -> io.BytesIO | io.BufferedReader:
    """A stream to read it from the start."""
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def digest(source: Path | bytes) -> str:
    """The SHA-256 of its content, in hex."""
    with opened(source) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def written(target: Path) -> Iterator[Path]:
    """A path beside `target` to write to; it goes if the block raises.

    Raises:
        ArtifactError: it could not be written; names the path and what is free.
    """
    partial = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
    try:
        yield partial
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        partial.unlink(missing_ok=True)


def _unwritable(target: Path, error: OSError) -> ArtifactError:
    if error.errno in FULL:
        free = shutil.disk_usage(_existing(target)).free
        return ArtifactError(
            f"{target} cannot be written: {error.strerror}; {free:,} bytes are free there. Make "
            "room, or remove what no envelope needs any more with `model-envelope gc`."
        )
    return ArtifactError(f"{target} cannot be written: {error.strerror or error}.")


def _existing(path: Path) -> Path:
    return next(folder for folder in path.absolute().parents if folder.exists())


def copy(source: BinaryIO, target: Path, *, size: int, progress: Progress | None) -> str:
    """Write a stream durably to a new, read-only file; gives its SHA-256."""
    hashed = hashlib.sha256()
    done = 0
    with target.open("xb") as out:
        while chunk := source.read(CHUNK):
            out.write(chunk)
            hashed.update(chunk)
            done += len(chunk)
            if progress:
                progress(done, size)
        out.flush()
        os.fsync(out.fileno())
    target.chmod(0o444)
    return hashed.hexdigest()


def check(found: str, expected: str, what: str) -> None:
    """Compare digests.

    Raises:
        ArtifactCorrupted: they differ.
    """
    if found != expected:
        raise ArtifactCorrupted(
            f"{what} is corrupted: its SHA-256 is {found}, recorded is {expected}. It was not "
            "used. Restore it from a backup, or save the model again."
        )


def sync_folder(folder: Path) -> None:
    """Make what was renamed into a folder survive a power loss."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
