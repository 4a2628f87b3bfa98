"""Artifact files in a directory."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from model_envelope import names
from model_envelope.artifacts import copying, keys
from model_envelope.artifacts.protocol import ArtifactStore, Progress
from model_envelope.errors import ArtifactError, ArtifactExists, ArtifactMissing

NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems without hard links answer."""


class LocalArtifacts:
    """Files under `root/<envelope id>/`.

    A file appears whole, by a rename, and is never written again. Nothing is followed out
    of the root: a symbolic link in it is treated as what it is, a file that is not ours.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()

    @property
    def address(self) -> str:
        """The directory."""
        return str(self.root)

    def put(
        self, key: str, source: Path | bytes, *, sha256: str, progress: Progress | None = None
    ) -> None:
        """See `ArtifactStore.put`."""
        target = self._path(key)
        if os.path.lexists(target):
            self._compare(target, key, sha256)
            return
        size = copying.size(source)
        with copying.opened(source) as stream, copying.written(target) as partial:
            self._make_folder(target.parent)
            found = copying.copy(stream, partial, size=size, progress=progress)
            copying.check(found, sha256, f"What was to be stored as {key}")
            try:
                _publish(partial, target)
            except FileExistsError:
                self._compare(target, key, sha256)
            copying.sync_folder(target.parent)

    def _make_folder(self, folder: Path) -> None:
        created = not self.root.exists()
        self.root.mkdir(parents=True, exist_ok=True)
        if created:
            copying.sync_folder(self.root.parent)
        folder.mkdir(exist_ok=True)
        if folder.is_symlink():
            raise ArtifactError(f"{folder} is a symbolic link: it could lead anywhere. Remove it.")
        copying.sync_folder(self.root)

    def _compare(self, target: Path, key: str, sha256: str) -> None:
        if target.is_symlink() or copying.digest(target) != sha256:
            raise ArtifactExists(f"Other content is stored as {key} in {self.root}; it was kept.")

    def fetch(self, key: str, *, sha256: str, progress: Progress | None = None) -> Path:
        """See `ArtifactStore.fetch`; the path is that of the stored file itself."""
        path = self._path(key)
        if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
            raise ArtifactMissing(
                f"{key} is not in {self.root}. If the artifacts were moved, set "
                "MODEL_ENVELOPE_ARTIFACTS; if they are lost, restore them or save the model again."
            )
        copying.check(copying.digest(path), sha256, str(path))
        if progress:
            progress(path.stat().st_size, path.stat().st_size)
        return path

    def list_ids(self) -> Iterator[str]:
        """See `ArtifactStore.list_ids`."""
        with suppress(FileNotFoundError), os.scandir(self.root) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False) and names.ID.fullmatch(entry.name):
                    yield entry.name

    def delete(self, envelope_id: str) -> None:
        """See `ArtifactStore.delete`."""
        folder = self.root / names.check_id(envelope_id)
        if folder.is_symlink():
            folder.unlink()
            return
        for more_tries in (True, True, False):
            try:
                shutil.rmtree(folder)
            except FileNotFoundError:
                return
            except OSError as error:
                # A save that lost its lease may still be writing there.
                if error.errno != errno.ENOTEMPTY or not more_tries:
                    raise ArtifactError(f"{folder} cannot be removed: {error.strerror}.") from error

    def _path(self, key: str) -> Path:
        return self.root.joinpath(*keys.split(key))


def _publish(partial: Path, target: Path) -> None:
    try:
        # Unlike a rename, a link never replaces a file.
        target.hardlink_to(partial)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        partial.rename(target)


if TYPE_CHECKING:
    _: type[ArtifactStore] = LocalArtifacts
