"""What a place for artifact files must do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


class ArtifactStore(Protocol):
    """Write-once files under keys `<envelope id>/<file name>`.

    Keys are made by this package, never by a user. Every read checks the digest
    before a byte is handed out.
    """

    @property
    def address(self) -> str:
        """Where it is, fit for a log: no credentials."""
        ...

    def put(
        self, key: str, source: Path | bytes, *, sha256: str, progress: Progress | None = None
    ) -> None:
        """Store durably. Nothing to do where the same content is there already.

        Raises:
            ArtifactExists: other content is there; it is left alone.
            ArtifactError: it could not be written (full disk, no permission, no answer).
        """
        ...

    def fetch(self, key: str, *, sha256: str, progress: Progress | None = None) -> Path:
        """A local, verified, read-only file with the content.

        Raises:
            ArtifactMissing: there is no such file.
            ArtifactCorrupted: the digest differs.
        """
        ...

    def list_ids(self) -> Iterator[str]:
        """First path components of all keys, each once."""
        ...

    def delete(self, envelope_id: str) -> None:
        """Remove every file of an envelope; nothing to do where there is none."""
        ...
