"""The file of an exported envelope: what it holds, and what is refused in one from elsewhere.

A zip whose members are stored as they are, so that they are no larger than the file:

    envelope.json   the manifest, whose SHA-256 is the envelope's own
    contents.json   what was said of the envelope since; see `Contents`
    files/<name>    every file of the artifact

Raise `FORMAT` when a reader of today could not read the file; keep the old reader and a
test of it, and say so in the changelog.
"""

from __future__ import annotations

import errno
import hashlib
import re
import stat
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from model_envelope import names
from model_envelope.artifacts import copying, keys
from model_envelope.artifacts.protocol import Progress
from model_envelope.client.drafting import MODEL, PREDICT
from model_envelope.client.saving import MANIFEST
from model_envelope.envelope import FileRef, Manifest
from model_envelope.environment.capture import environment_digest
from model_envelope.environment.lock import check_lock
from model_envelope.errors import ArtifactCorrupted, EnvelopeError, InvalidInput
from model_envelope.metrics.metric_type import TYPE_NAME
from model_envelope.metrics.points import MAX_BODY
from model_envelope.metrics.scalar import NOT_FINITE, Scalar
from model_envelope.runtime.loading import MODULES
from model_envelope.runtime.spec import FunctionSpec
from model_envelope.store.rows import MetricPoint

FORMAT = 1
CONTENTS = "contents.json"
FILES = "files/"

_EPOCH = (1980, 1, 1, 0, 0, 0)  # equal envelopes give equal files
_LONGEST_JSON = 256 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What the file holds besides the manifest.

    `functions` and `files` are those that were added after the save; `lock` is the hashed
    lock of the environment, where it was resolved.
    """

    format: int = FORMAT
    description: str
    tags: dict[str, str]
    archived: bool
    metrics: tuple[MetricPoint, ...]
    hyperparameters: dict[str, Any]
    functions: dict[str, FunctionSpec]
    files: dict[str, FileRef]
    lock: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """The descriptions in an exported file, every word of them checked."""

    manifest: Manifest
    manifest_sha256: str
    contents: Contents

    @property
    def files(self) -> dict[str, FileRef]:
        """Every file of the artifact but the manifest itself."""
        return {**self.manifest.files, **self.contents.files}


def add_text(archive: zipfile.ZipFile, name: str, text: bytes) -> None:
    """Write a description."""
    archive.writestr(_member(name), text)


def add_file(
    archive: zipfile.ZipFile, name: str, ref: FileRef, source: Path, report: Progress
) -> None:
    """Write a file of the artifact.

    Raises:
        ArtifactCorrupted: it is not what was recorded.
    """
    with (
        source.open("rb") as content,
        archive.open(_member(FILES + name), "w", force_zip64=True) as target,
    ):
        found = _copy(content, target, ref.size, report)
    copying.check(found, ref.sha256, str(source))


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _EPOCH)
    member.external_attr = (stat.S_IFREG | 0o444) << 16
    return member


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """An exported file, to read.

    Raises:
        InvalidInput: there is none, or it may not be read.
        ArtifactCorrupted: it is something else.
    """
    try:
        with _as_corrupted(path):
            archive = zipfile.ZipFile(path)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}.") from error
    with archive:
        yield archive


def describe(archive: zipfile.ZipFile) -> Exported:
    """Read and check everything but the files of the artifact.

    Raises:
        ArtifactCorrupted: something in it is not as it is written.
    """
    path, members = _path(archive), archive.infolist()
    problem = _members_problem(members, path.stat().st_size)
    if problem:
        raise _refused(path, problem)
    with _as_corrupted(path):
        body, described = _text(archive, MANIFEST), _text(archive, CONTENTS)
        manifest = Manifest.from_bytes(body)
        _check_format(described, path)
        contents = msgspec.json.decode(described, type=Contents)
        problem = (
            _manifest_problem(manifest)
            or _contents_problem(manifest, contents)
            or _files_problem(members, {**manifest.files, **contents.files})
        )
    if problem:
        raise _refused(path, problem)
    digest = hashlib.sha256(body).hexdigest()
    return Exported(manifest=manifest, manifest_sha256=digest, contents=contents)


def extract(
    archive: zipfile.ZipFile, name: str, ref: FileRef, target: Path, report: Progress
) -> None:
    """Copy a file of the artifact out of the archive.

    Raises:
        ArtifactCorrupted: it is not what the manifest says.
        ArtifactError: it cannot be written.
    """
    path = _path(archive)
    with copying.written(target) as partial:
        with (
            _as_corrupted(path),
            archive.open(FILES + name) as content,
            partial.open("xb") as out,
        ):
            found = _copy(content, out, ref.size, report)
        copying.check(found, ref.sha256, f"{name} in {path}")
        partial.rename(target)


def _path(archive: zipfile.ZipFile) -> Path:
    return Path(str(archive.filename))


def _copy(source: IO[bytes], target: IO[bytes], size: int, report: Progress) -> str:
    """Copy a stream; gives the SHA-256 of what came."""
    hashed = hashlib.sha256()
    done = 0
    while chunk := source.read(copying.CHUNK):
        target.write(chunk)
        hashed.update(chunk)
        done += len(chunk)
        report(done, size)
    return hashed.hexdigest()


@contextmanager
def _as_corrupted(path: Path) -> Iterator[None]:
    """Name what zipfile and msgspec say of a file that is none of ours."""
    try:
        yield
    except EnvelopeError:
        raise
    except (
        zipfile.BadZipFile,
        NotImplementedError,  # a compression or a version that zipfile does not know
        EOFError,
        KeyError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,  # msgspec's too
        struct.error,
    ) as error:
        raise _refused(path, str(error) or type(error).__name__) from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # an offset before the start of the file
            raise
        raise _refused(path, "an offset is wrong") from error


def _refused(path: Path, reason: str) -> ArtifactCorrupted:
    return ArtifactCorrupted(
        f"{path} is no exported envelope, or was changed since: {reason.rstrip('.')}. Nothing "
        "was stored. Export the envelope again."
    )


def _text(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > _LONGEST_JSON:
        raise ValueError(f"{name} is too long")
    return archive.read(name)


def _check_format(described: bytes, path: Path) -> None:
    found = msgspec.json.decode(described)["format"]
    if found != FORMAT:
        raise ArtifactCorrupted(
            f"{path} has format {found!r:.20}; this version of model-envelope reads {FORMAT}. "
            "Upgrade the package."
        )


def _members_problem(members: list[zipfile.ZipInfo], size: int) -> str:
    listed = [member.filename for member in members]
    if len(set(listed)) != len(listed):
        return "two members have one name"
    for member in members:
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or member.is_dir():
            return f"{member.filename!r:.80} is no regular file"
        if member.flag_bits & 1 or member.compress_type != zipfile.ZIP_STORED:
            return f"{member.filename!r:.80} is encrypted or compressed"
    return "its members overlap" if sum(member.file_size for member in members) > size else ""


def _files_problem(members: list[zipfile.ZipInfo], refs: Mapping[str, FileRef]) -> str:
    sizes = {member.filename: member.file_size for member in members}
    del sizes[MANIFEST], sizes[CONTENTS]
    wanted = {FILES + name: ref.size for name, ref in refs.items()}
    differing = sorted(wanted.items() ^ sizes.items())
    return f"{differing[0][0]!r:.80} is missing, unknown or of another size" if differing else ""


def _manifest_problem(manifest: Manifest) -> str:
    environment = manifest.environment
    digest = environment_digest(environment.python, environment.platform, environment.distributions)
    if not names.ID.fullmatch(manifest.id) or manifest.created_at.tzinfo is None:
        return "its id or its time is none"
    # Another environment's digest would let this file's lock stand for that environment.
    if environment.digest != digest:
        return "the digest of the environment is not that of its distributions"
    if PREDICT not in manifest.functions or MODEL not in manifest.files:
        return "it has no model"
    if manifest.modules and MODULES not in manifest.files:
        return f"{MODULES} is missing"
    if not all(names.IDENTIFIER.fullmatch(module) for module in manifest.modules):
        return "a module's name is none"
    return _references_problem(manifest.functions, manifest.files)


def _contents_problem(manifest: Manifest, contents: Contents) -> str:
    if contents.functions.keys() & manifest.functions.keys():
        return "a query function is there twice"
    if contents.files.keys() & manifest.files.keys():
        return "a file is there twice"
    try:
        names.check_tags(contents.tags)
        names.check_description(contents.description)
        for name in contents.hyperparameters:
            names.check_metric_name(name)
        if contents.lock is not None:
            check_lock(contents.lock, manifest.environment)
    except EnvelopeError as error:
        return str(error)
    for point in contents.metrics:
        if not _is_sound(point):
            return f"metric {point.name!r:.80} has no value of its type"
    return _references_problem(contents.functions, contents.files)


def _references_problem(functions: Mapping[str, FunctionSpec], files: Mapping[str, FileRef]) -> str:
    for name, spec in functions.items():
        if not names.IDENTIFIER.fullmatch(name) or spec.name != name:
            return f"query function {name!r:.80} has no name, or two"
        if spec.file not in files:
            return f"the file of query function {name!r} is missing"
    for file, ref in files.items():
        if not keys.NAME.fullmatch(file) or file == MANIFEST:
            return f"{file!r:.80} is no file of an artifact"
        if not _SHA256.fullmatch(ref.sha256):
            return f"{file!r} has no digest"
    return ""


def _is_sound(point: MetricPoint) -> bool:
    named = names.METRIC.fullmatch(point.name) and TYPE_NAME.fullmatch(point.type)
    if not named or point.at.tzinfo is None or not -(2**63) <= point.step < 2**63:
        return False
    if point.type != Scalar.type:
        return point.value is None and 0 < len(point.body or "") <= MAX_BODY
    return point.body in NOT_FINITE if point.value is None else point.body is None
