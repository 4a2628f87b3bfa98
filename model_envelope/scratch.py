"""Folders for files on their way."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_envelope.errors import ArtifactError

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder, gone afterwards.

    Raises:
        ArtifactError: there is no room for what is written to it, or no place for it.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="model-envelope-") as name:
            yield Path(name)
    except FileNotFoundError as error:
        if error.filename is not None:
            raise
        raise ArtifactError(f"{error.strerror}: set TMPDIR to a folder of yours.") from error
    except OSError as error:
        if error.errno not in _FULL:
            raise
        place = tempfile.gettempdir()
        free = shutil.disk_usage(place).free
        raise ArtifactError(
            f"There is no room for temporary files in {place}: {free:,} bytes are free. Make room "
            "there, or set TMPDIR to a folder on another disk. Nothing was kept."
        ) from error
