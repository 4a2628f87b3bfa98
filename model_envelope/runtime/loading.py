"""From files to a callable: verify, then make modules importable, then load."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_envelope.errors import ArtifactCorrupted, ArtifactMissing
from model_envelope.runtime import bundle
from model_envelope.runtime.modules import CustomModules, unpack
from model_envelope.runtime.spec import FunctionSpec

if TYPE_CHECKING:
    from model_envelope.runtime.calling import Predictor

MODULES = "modules.zip"


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadPlan:
    """What to load and what it must be: made from the store, never from the artifact.

    `files` are the files this function needs with their SHA-256; `modules` the
    top-level names in `modules.zip`.
    """

    envelope_id: str
    function: FunctionSpec
    files: dict[str, str]
    modules: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data for a job description."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> LoadPlan:
        """Read `to_json` again."""
        return cls(
            envelope_id=body["envelope_id"],
            function=FunctionSpec.from_json(body["function"]),
            files=dict(body["files"]),
            modules=tuple(body["modules"]),
        )


def verify(path: Path, sha256: str) -> Path:
    """The path, once its content is what was saved.

    Raises:
        ArtifactMissing: there is no such file.
        ArtifactCorrupted: the digest differs.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise ArtifactMissing(f"{path} is not there.") from error
    if found != sha256:
        raise ArtifactCorrupted(f"{path} has SHA-256 {found}, but {sha256} was saved.")
    return path


def open_model(directory: Path, plan: LoadPlan, *, scratch: Path, keep: bool = True) -> Predictor:
    """Load a query function from a directory that holds the files of `plan`.

    Args:
        directory: where the files are.
        plan: what to load.
        scratch: where custom modules are unpacked.
        keep: leave custom modules importable in this process: right for a process that
            serves one model. False hides them between calls, for notebooks and scripts.

    Raises:
        ArtifactMissing: a file is not there.
        ArtifactCorrupted: a digest differs. Nothing was unpickled.
        PredictionFailed: the model cannot be loaded in this environment.
    """
    # Who only plans what to load needs no Arrow.
    from model_envelope.runtime.calling import Predictor

    modules = None
    if plan.modules:
        digest = plan.files[MODULES]
        archive = verify(directory / MODULES, digest)
        modules = CustomModules(unpack(archive, scratch / digest), plan.modules)
    file = directory / plan.function.file
    digest = plan.files[plan.function.file]
    name = plan.function.name
    if modules is None or keep:
        if modules is not None:
            modules.install()
        return Predictor(plan.function, bundle.load(file, sha256=digest)[name])
    with modules.active():
        function = bundle.load(file, sha256=digest)[name]
    return Predictor(plan.function, function, modules.active)
