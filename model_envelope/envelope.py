"""The pure data of an envelope: what a save derived, and what was said of it since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import msgspec

from model_envelope.errors import ArtifactCorrupted
from model_envelope.runtime.spec import FunctionSpec

MANIFEST_FORMAT = 1
"""Raise it when a reader of today could not read the manifest; keep the old reader and a
test of it, and say so in the changelog."""

Reproducible = Literal["proved", "failed", "unproved"]
"""Whether the golden rows gave the saved outputs in a rebuilt environment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Distribution:
    """One installed distribution. `source` is a VCS URL with commit where it came from one."""

    name: str
    version: str
    direct: bool = False
    source: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """Everything that must be installed to run the model, exactly.

    `python` is the full version, `platform` the wheel platform (e.g. `linux_x86_64`);
    `digest` keys the lock and the built environment, and is the same for equal content.
    """

    python: str
    platform: str
    distributions: tuple[Distribution, ...]
    digest: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Where a save came from. Empty strings where there is nothing to say."""

    user: str = ""
    host: str = ""
    git_commit: str = ""
    git_dirty: bool = False
    python: str = ""
    platform: str = ""
    library_version: str = ""
    airflow: Mapping[str, str] = field(default_factory=dict)
    """`dag_id`, `run_id`, `task_id`, `try_number`, and of a mapped task `map_index`, when a task
    saved the model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRef:
    """A stored file: its SHA-256 in hex and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a save derived. Immutable; its own digest covers every file of the artifact."""

    format: int = MANIFEST_FORMAT
    id: str
    created_at: datetime
    functions: dict[str, FunctionSpec]
    files: dict[str, FileRef]
    modules: tuple[str, ...] = ()
    environment: Environment
    provenance: Provenance
    statistics: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Per column of the input signature; see `statistics.describe`."""

    def to_bytes(self) -> bytes:
        """Canonical JSON: the bytes whose SHA-256 identifies the artifact."""
        return msgspec.json.encode(self, order="sorted")

    @classmethod
    def from_bytes(cls, body: bytes) -> Manifest:
        """Read `to_bytes` again.

        Raises:
            ArtifactCorrupted: it is no manifest, or of a newer format.
        """
        try:
            found = msgspec.json.decode(body)["format"]
            if found != MANIFEST_FORMAT:
                raise ArtifactCorrupted(
                    f"The manifest has format {found}; this version of model-envelope reads "
                    f"{MANIFEST_FORMAT}. Upgrade the package."
                )
            return msgspec.json.decode(body, type=cls)
        except (msgspec.MsgspecError, KeyError, TypeError) as error:
            raise ArtifactCorrupted(f"The manifest cannot be read: {error}") from error

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(ref.size for ref in self.files.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvelopeRecord:
    """An envelope as the store knows it.

    `revision` is the commit order of the store: "latest" means greatest revision,
    never a clock. `functions` are those of the manifest and those added later;
    `added_files` are the artifact files of the latter.
    """

    id: str
    revision: int
    description: str
    tags: Mapping[str, str]
    manifest: Manifest
    manifest_sha256: str
    archived: bool = False
    added_functions: Mapping[str, FunctionSpec] = field(default_factory=dict)
    added_files: Mapping[str, FileRef] = field(default_factory=dict)
    reproducible: Reproducible = "unproved"
    reproducible_reason: str = ""

    @property
    def created_at(self) -> datetime:
        """When the model was saved, by the saver's clock; for display only."""
        return self.manifest.created_at

    @property
    def functions(self) -> dict[str, FunctionSpec]:
        """Every query function by name; `predict` first, then by name, then those added."""
        saved = self.manifest.functions
        first = {name: saved[name] for name in ("predict",) if name in saved}
        return {**first, **saved, **self.added_functions}

    @property
    def files(self) -> dict[str, FileRef]:
        """Every file of the artifact but the manifest itself."""
        return {**self.manifest.files, **self.added_files}

    def evolve(self, **changes: Any) -> EnvelopeRecord:
        """A copy with some fields changed."""
        return replace(self, **changes)
