"""Custom modules that travel with a model: unpacked, imported, and kept out of the host."""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from model_envelope.errors import ArtifactCorrupted

_swap = threading.RLock()


def unpack(archive: Path, target: Path) -> Path:
    """Extract a module archive once; safe to call from many processes.

    Raises:
        ArtifactCorrupted: a member would land outside of `target`, or is a link.
    """
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=target.parent))
    try:
        with zipfile.ZipFile(archive) as file:
            for member in file.infolist():
                _refuse_escape(member, archive)
            file.extractall(staging)
        staging.replace(target)
    except OSError:
        if not target.is_dir():  # else another process was faster
            raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


class CustomModules:
    """The modules in one unpacked archive, by the names of their top-level packages."""

    def __init__(self, directory: Path, names: Collection[str]) -> None:
        self._directory = str(directory)
        self._names = frozenset(names)
        self._loaded: dict[str, ModuleType] = {}

    def install(self) -> None:
        """Make them importable for good: for processes that serve one model only."""
        sys.path.insert(0, self._directory)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Import from the archive inside the block only.

        The host's modules of the same names are out of the way meanwhile and back
        afterwards, so two envelopes with different versions of one package coexist.
        One thread at a time.
        """
        with _swap:
            hosts = self._take_out()
            sys.modules.update(self._loaded)
            sys.path.insert(0, self._directory)
            try:
                yield
            finally:
                sys.path.remove(self._directory)
                self._loaded = self._take_out()
                sys.modules.update(hosts)

    def _take_out(self) -> dict[str, ModuleType]:
        ours = [name for name in sys.modules if name.partition(".")[0] in self._names]
        return {name: sys.modules.pop(name) for name in ours}


def _refuse_escape(member: zipfile.ZipInfo, archive: Path) -> None:
    path = Path(member.filename)
    is_link = (member.external_attr >> 16) & 0o170000 == 0o120000
    if path.is_absolute() or ".." in path.parts or is_link:
        raise ArtifactCorrupted(f"{archive} holds {member.filename!r}, which leaves its folder.")
