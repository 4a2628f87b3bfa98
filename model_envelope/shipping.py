"""The part of this package that travels into the models' own environments."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

_PACKAGE = Path(__file__).parent
_RUNTIME = ("__init__.py", "_version.py", "errors.py", "runtime/*.py")
_PREDICTS = (
    *_RUNTIME,
    "batch/__init__.py",
    "batch/request.py",
    "batch/tables.py",
    "spark_jobs/*.py",
)
_SERVES = (*_RUNTIME, "serving/*.py", "serving/*/*.py")
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def runtime_archive(cache: Path) -> Path:
    """A zip to put on `PYTHONPATH`: what runs a model needs, and pyarrow, nothing else.

    Made once for each content, under its digest, so that a running job keeps the archive
    it started with while this package is upgraded.
    """
    return _archive(cache, _PREDICTS)


def service_archive(cache: Path) -> Path:
    """The same for services: `python -m model_envelope.serving` runs from it.

    It needs what the extra `serve` names besides.
    """
    return _archive(cache, _SERVES)


def _archive(cache: Path, patterns: Iterable[str]) -> Path:
    content = _zip(patterns)
    path = cache / "runtime" / f"{hashlib.sha256(content).hexdigest()[:16]}.zip"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, staging = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(staging).replace(path)
    return path


def _zip(patterns: Iterable[str]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for pattern in patterns:
            for file in sorted(_PACKAGE.glob(pattern)):
                name = f"model_envelope/{file.relative_to(_PACKAGE).as_posix()}"
                archive.writestr(zipfile.ZipInfo(name, _ZIP_EPOCH), file.read_bytes())
    return target.getvalue()
