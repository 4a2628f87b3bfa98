"""What goes into images: files by name, and the tar archive of them, the same each time."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO

from model_envelope.artifacts.protocol import ArtifactStore
from model_envelope.deployment.images import inside, template
from model_envelope.envelope import EnvelopeRecord
from model_envelope.isolation import service_plan
from model_envelope.shipping import service_archive

Files = Mapping[str, "Path | bytes"]

_INSIDE = Path(inside.__file__).parent


def dependencies_files(packed: Path) -> Files:
    """The build context of a dependencies image, but for its Dockerfile."""
    return {"environment.tar.gz": packed, **programs()}


def programs() -> dict[str, bytes]:
    """What runs inside, by name."""
    return {n: (_INSIDE / n).read_bytes() for n in ("check.py", "start.py", "health.py")}


def model_files(record: EnvelopeRecord, artifacts: ArtifactStore, cache: Path) -> Files:
    """The build context of a model's image, but for its Dockerfile.

    Everything that users wrote is in `plan.json`, as JSON, or in the artifact's files.

    Raises:
        InvalidInput: the envelope cannot be served.
        ArtifactError: a file is missing, or is not what was saved.
    """
    plan = service_plan(
        record,
        service="model",
        release=record.id,
        directory=Path(template.ROOT, "artifact"),
        scratch=Path("/tmp/modules"),  # noqa: S108 - in a container
        control_token="",
    )
    digests = dict(plan.golden)
    for function in plan.functions:
        digests |= function.files
    files: dict[str, Path | bytes] = {
        f"model/artifact/{name}": artifacts.fetch(f"{record.id}/{name}", sha256=digest)
        for name, digest in digests.items()
    }
    files["model/service.zip"] = service_archive(cache)
    files["model/plan.json"] = json.dumps(plan.to_json(), sort_keys=True).encode()
    return files


def digest_of(files: Files) -> str:
    """SHA-256, in hex, of what is in a model's image: the plan has the artifact's digests."""
    total = hashlib.sha256()
    for name in ("model/plan.json", "model/service.zip"):
        content = files[name]
        total.update(content if isinstance(content, bytes) else content.read_bytes())
    return total.hexdigest()


def write_tar(target: IO[bytes], files: Files) -> None:
    """An uncompressed archive, owned by root, readable by all, without times."""
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as tar:
        folders = {str(parent) for name in files for parent in PurePosixPath(name).parents}
        for name in sorted((folders - {"."}) | files.keys()):
            entry = tarfile.TarInfo(name)
            content = files.get(name)
            if content is None:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
            elif isinstance(content, bytes):
                entry.size, entry.mode = len(content), 0o644
                tar.addfile(entry, io.BytesIO(content))
            else:
                with content.open("rb") as file:
                    entry.size, entry.mode = os.fstat(file.fileno()).st_size, 0o644
                    tar.addfile(entry, file)
