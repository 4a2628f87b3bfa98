"""The model file: one pickle with its buffers beside it, and the only place that loads it.

Layout, all offsets 64-byte aligned so that arrays can be used where they lie:

    magic (8 bytes) | header length (8 bytes, little endian) | header (JSON)
    pickle | buffer 0 | buffer 1 | …

The header is `{"format": 1, "pickle": [offset, length], "buffers": [[offset, length], …]}`
with offsets from the start of the file. Raise `FORMAT` when a reader of today could not
read the file; keep the old reader and a test of it, and say so in the changelog.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import pickle
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from model_envelope.errors import ArtifactCorrupted, ArtifactMissing, PredictionFailed

MAGIC = b"\x93MENVLP\n"
FORMAT = 1
ALIGNMENT = 64
_PREFIX = struct.Struct("<8sQ")


def write(path: Path, stream: bytes, buffers: Sequence[pickle.PickleBuffer]) -> None:
    """Lay out a protocol 5 pickle and its out-of-band buffers in one file."""
    contents = (memoryview(stream), *(buffer.raw() for buffer in buffers))
    sizes = [content.nbytes for content in contents]
    # The header's own length moves the offsets; room for the longest is cheap.
    room = _aligned(_PREFIX.size + 64 + 48 * len(sizes))
    places = []
    offset = room
    for size in sizes:
        places.append([offset, size])
        offset = _aligned(offset + size)
    header = json.dumps({"format": FORMAT, "pickle": places[0], "buffers": places[1:]}).encode()
    with path.open("wb") as file:
        file.write(_PREFIX.pack(MAGIC, len(header)) + header)
        for (start, _), content in zip(places, contents, strict=True):
            file.write(bytes(start - file.tell()))
            file.write(content)


def load(path: Path, *, sha256: str) -> dict[str, Callable[..., Any]]:
    """The callables of a model file, by query function name.

    The digest is checked over the very mapping that is then loaded. Arrays stay in the
    mapping: processes on one machine share its pages until one of them writes.

    Raises:
        ArtifactMissing: there is no such file.
        ArtifactCorrupted: the digest differs, or the file is none of ours. Nothing ran.
        PredictionFailed: the model's code raised while it was being loaded.
    """
    mapping = _map(path)
    found = hashlib.sha256(mapping).hexdigest()
    if found != sha256:
        raise ArtifactCorrupted(
            f"{path} has SHA-256 {found}, but {sha256} was saved. It was not loaded. "
            "Restore the file from a backup, or save the model again."
        )
    stream, buffers = _parts(path, mapping)
    try:
        functions: dict[str, Callable[..., Any]] = pickle.loads(stream, buffers=buffers)  # noqa: S301
    except Exception as error:
        raise PredictionFailed(
            f"The model in {path} cannot be loaded here: {type(error).__name__}: {error}. "
            "If a package is missing or has another version, use isolated=True: it runs the "
            "model in its own environment."
        ) from error
    return functions


def _map(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            # Private and writable: a model that scribbles on its arrays gets its own page.
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except FileNotFoundError as error:
        raise ArtifactMissing(f"{path} is not there.") from error
    except ValueError as error:
        raise ArtifactCorrupted(f"{path} is empty.") from error


def _parts(path: Path, mapping: mmap.mmap) -> tuple[memoryview, list[memoryview]]:
    view = memoryview(mapping)
    try:
        magic, length = _PREFIX.unpack_from(mapping)
        if magic != MAGIC:
            raise ArtifactCorrupted(f"{path} is no model file.")
        header = json.loads(mapping[_PREFIX.size : _PREFIX.size + length])
        if header["format"] != FORMAT:
            raise ArtifactCorrupted(
                f"{path} has format {header['format']}; this version of model-envelope reads "
                f"{FORMAT}. Upgrade the package."
            )
        places = [header["pickle"], *header["buffers"]]
    except (struct.error, ValueError, KeyError) as error:
        raise ArtifactCorrupted(f"The header of {path} cannot be read: {error}") from error
    stream, *buffers = (view[start : start + size] for start, size in places)
    return stream, buffers


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT
