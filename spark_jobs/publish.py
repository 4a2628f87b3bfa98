"""Making files of a table visible: all at once, or not at all.

A run writes beside the table, on its file system, into a folder of its own:

    /data/.predictions.model-envelope/lock           held while anything is renamed
    /data/.predictions.model-envelope/<token>/lock   held as long as the run lives
    /data/.predictions.model-envelope/<token>/…      its files

and publishes by exchanging two names in one system call (`renameat2`, Linux): the new
folder gets the table's or partition's name, and what was there before goes to where the
new one was. Killed at any moment the table is wholly old or wholly new. The next run
removes what dead runs left: a lock that nobody holds is a dead run's.

File systems without that call (NFS, most that are not Linux's own) get two renames with a
journal. Between them a reader finds no such partition; if the process is killed just
there, the next run finishes the second rename.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from model_envelope.errors import BatchPredictionFailed, InvalidInput
from model_envelope.spark_jobs.leases import leased_folder, locked

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"

_JOURNAL = "journal.json"
# What Spark escapes in the name of a partition's folder.
_ESCAPED = re.compile(r"""[\x01-\x1f\x7f"#%'*/:=?\\{\[\]^]""")
_PARTITION = re.compile(r"[^=./][^=/]*=.+")
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTTY)


def partition_folder(values: Mapping[str, str | None]) -> Path:
    """The folder of a partition within its table, named as Hive and Spark name it."""
    return Path(*(f"{escaped(key)}={escaped(value)}" for key, value in values.items()))


def escaped(value: str | None) -> str:
    """A partition's value as part of a folder's name."""
    if not value:
        return NULL_PARTITION
    return _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", value)


def check_table_folder(table: Path, *, suffix: str) -> None:
    """Refuse a folder that holds anything but a table partitioned by folders.

    Raises:
        InvalidInput: it is a file, or holds other files or folders.
    """
    if table.exists() and not table.is_dir():
        raise InvalidInput(f"The output {table} is a file; a table is a folder of files.")
    for entry in table.iterdir() if table.exists() else ():
        if entry.name.startswith((".", "_")) or (
            entry.is_dir() and _PARTITION.fullmatch(entry.name)
        ):
            continue
        kind = "a table without partitions" if entry.name.endswith(suffix) else "no table"
        raise InvalidInput(
            f"The output {table} is {kind}: it holds {entry.name!r}. Predictions are partitioned "
            "by logical_date. Choose a folder that is empty or does not exist."
        )


@contextmanager
def staging(table: Path) -> Iterator[Path]:
    """A folder for the files of one run, gone afterwards with what was not published.

    Also removes what killed runs left behind.

    Raises:
        BatchPredictionFailed: the folder of the table cannot be written to.
    """
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(leased_folder(_workshop(table), before_removal=_finish))
        except OSError as error:
            raise BatchPredictionFailed(
                f"Nothing can be written beside {table}: {error}. The user that runs Spark needs "
                f"to write to {table.parent}."
            ) from error
        yield folder


def publish(staged: Path, table: Path, partition: Path | None) -> None:
    """Put a staged folder in the place of a partition, or of the whole table for None.

    Args:
        staged: a folder within `staging(table)`; afterwards it is gone or holds what the
            table had.
        table: the folder of the table, which need not exist.
        partition: the partition within the table.
    """
    _sync(staged)
    with locked(_workshop(table)):
        target = table if partition is None else table / partition
        target.parent.mkdir(parents=True, exist_ok=True)
        _swap(staged, target)
        _sync_folder(target.parent)


def _swap(staged: Path, target: Path) -> None:
    if not target.exists():
        staged.rename(target)
    elif not _exchange(staged, target):
        _replace_journalled(staged, target)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names at once; False where the file system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    names = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    if rename(*names, _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NO_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(other))


def _replace_journalled(staged: Path, target: Path) -> None:
    journal = staged.parent / _JOURNAL
    before = staged.with_name(f"{staged.name}.before")
    writing = journal.with_suffix(".new")
    writing.write_text(json.dumps([str(staged), str(before), str(target)]))
    writing.rename(journal)
    target.rename(before)
    staged.rename(target)
    journal.unlink()


def _finish(folder: Path) -> None:
    """Give a target its name again that was cut off, or failed, between two renames."""
    journal = folder / _JOURNAL
    if not journal.exists():
        return
    staged, before, target = map(Path, json.loads(journal.read_text()))
    if not target.exists():
        (staged if staged.exists() else before).rename(target)


def _workshop(table: Path) -> Path:
    return table.parent / f".{table.name}.model-envelope"


def _sync(folder: Path) -> None:
    """Make a folder's content outlive a power failure before anything points to it."""
    for parent, _, files in os.walk(folder, topdown=False):
        for name in files:
            _sync_folder(Path(parent, name))
        _sync_folder(Path(parent))


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
