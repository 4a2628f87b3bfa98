"""From an address to a place for artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from model_envelope import config
from model_envelope.artifacts.local import LocalArtifacts
from model_envelope.artifacts.protocol import ArtifactStore
from model_envelope.errors import InvalidInput


def open_artifacts(address: str, *, s3_access: Mapping[str, str] | None = None) -> ArtifactStore:
    """The place for artifacts at a directory or `s3://bucket/prefix`. Nothing is touched yet.

    Args:
        address: as above.
        s3_access: credentials, region and endpoint; see `S3Artifacts`.

    Raises:
        InvalidInput: it is neither.
    """
    parts = urlsplit(str(address))
    if parts.scheme == "s3" and parts.netloc:
        from model_envelope.artifacts.s3 import S3Artifacts

        return S3Artifacts(parts.netloc, parts.path, access=s3_access)
    if parts.scheme in ("", "file") and parts.path:
        return LocalArtifacts(Path(parts.path if parts.scheme else address))
    raise InvalidInput(
        f"{address!r} is no place for artifacts: give a directory or s3://bucket/prefix, e.g. "
        f"in {config.ARTIFACTS}."
    )
