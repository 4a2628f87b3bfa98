"""What the embedded store asks of the disk it is on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_envelope import config
from model_envelope.errors import StoreError

NETWORK = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "smb3"}
    | {f"fuse.{name}" for name in ("ceph", "gcsfuse", "glusterfs", "juicefs", "s3fs", "sshfs")}
)
MOUNTS = Path("/proc/self/mountinfo")
BALLAST_BYTES = 4 << 20


def refuse_network_file_system(file: Path) -> None:
    """Allow only what keeps SQLite's locks and shared memory.

    Raises:
        StoreError: the file is, or would be, on a network file system.
    """
    kind = file_system(file.parent)
    if kind in NETWORK:
        raise StoreError(
            f"{file} is on a network file system ({kind}), where SQLite loses data. Set "
            f"{config.STORE} to a PostgreSQL database or to a file on a local disk."
        )


def file_system(folder: Path) -> str:
    """The type of the file system a folder is or would be on; empty where unknown."""
    if not MOUNTS.exists():
        return ""
    kinds: dict[str, str] = {}
    for line in MOUNTS.read_text(errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4].encode().decode("unicode_escape")
        kinds[point] = after.split()[0]
    real = Path(os.path.realpath(folder))
    return next((kinds[str(at)] for at in (real, *real.parents) if str(at) in kinds), "")


def make_folder(folder: Path) -> None:
    """Make the folder of a store's file.

    Raises:
        StoreError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The store's folder {folder} cannot be made: {error.strerror}. Set {config.STORE}."
        ) from error


def no_room(file: Path) -> str:
    """Says how much is left on the disk of a file, and what to do."""
    free = shutil.disk_usage(file.parent).free
    return (
        f"the disk has {free:,} bytes left. Make room there, or remove what no envelope "
        "needs any more with `model-envelope gc`."
    )


def ballast(file: Path) -> Path:
    """The file that keeps room for removing things from a store on a full disk."""
    return file.with_name(f"{file.name}-ballast")


def keep_room(file: Path) -> None:
    """Put the ballast beside a store's file, where there is room for it."""
    room = ballast(file)
    try:
        if not room.exists() and shutil.disk_usage(file.parent).free > 4 * BALLAST_BYTES:
            room.write_bytes(bytes(BALLAST_BYTES))
    except OSError:
        room.unlink(missing_ok=True)


@contextmanager
def room_to_remove(file: Path) -> Iterator[None]:
    """Let go of the ballast while things are removed."""
    ballast(file).unlink(missing_ok=True)
    try:
        yield
    finally:
        keep_room(file)
