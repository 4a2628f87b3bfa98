"""Git's index and the tree of a commit, read from their files."""

from __future__ import annotations

import hashlib
import mmap
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

LINK, SUBMODULE = 0o120000, 0o160000

_COMMIT = 1


class Unreadable(Exception):
    """The repository uses a form that is not read here."""


class Entry(NamedTuple):
    """A tracked file. `unchecked` ones are those that git was told not to look at."""

    path: str
    mode: int
    size: int
    mtime_ns: int
    hash: bytes
    stage: int
    unchecked: bool


def read_index(index: bytes, algorithm: str, *, most: int) -> list[Entry]:
    """The entries of an index file of version 2, 3 or 4; see gitformat-index(5).

    Raises:
        Unreadable: another version, or more than `most` entries.
    """
    version, count = _int(index, 4), _int(index, 8)
    if index[:4] != b"DIRC" or version not in (2, 3, 4) or count > most:
        raise Unreadable
    return list(_entries(index, version, count, hashlib.new(algorithm).digest_size))


def _entries(index: bytes, version: int, count: int, hash_size: int) -> Iterator[Entry]:
    position, path = 12, b""
    for _ in range(count):
        start = position
        position = start + 40 + hash_size
        flags = _int(index, position, 2)
        extended = _int(index, position + 2, 2) if flags & 0x4000 else 0
        position += 4 if flags & 0x4000 else 2
        kept = 0
        if version == 4:
            # Each path is written as what differs from the one before.
            dropped, position = _varint(index, position)
            kept = len(path) - dropped
        end = index.index(b"\0", position)
        path = path[:kept] + index[position:end]
        # Versions 2 and 3 fill an entry with 1 to 8 zeros to a multiple of 8 bytes.
        position = end + 1 if version == 4 else start + (end - start + 8) // 8 * 8
        yield Entry(
            path=os.fsdecode(path),
            mode=_int(index, start + 24),
            size=_int(index, start + 36),
            mtime_ns=_int(index, start + 8) * 10**9 + _int(index, start + 12),
            hash=index[start + 40 : start + 40 + hash_size],
            stage=flags >> 12 & 3,
            unchecked=bool(flags & 0x8000 or extended & 0x4000),
        )


def tree_hash(entries: Iterable[Entry], algorithm: str) -> bytes:
    """The hash of the tree that a commit of these entries has."""
    files: dict[bytes, Entry] = {}
    folders: dict[bytes, list[Entry]] = {}
    for entry in entries:
        folder, slash, rest = os.fsencode(entry.path).partition(b"/")
        if slash:
            inner = entry._replace(path=os.fsdecode(rest))
            folders.setdefault(folder, []).append(inner)
        else:
            files[folder] = entry
    lines = [(name, b"%o %s\0%s" % (e.mode, name, e.hash)) for name, e in files.items()]
    for name, inside in folders.items():
        # Git sorts a folder as if its name ended in a slash.
        lines.append((name + b"/", b"40000 %s\0%s" % (name, tree_hash(inside, algorithm))))
    return object_hash("tree", b"".join(line for _, line in sorted(lines)), algorithm)


def object_hash(kind: str, content: bytes, algorithm: str) -> bytes:
    """The name that git gives to an object."""
    return hashlib.new(algorithm, b"%s %d\0%s" % (kind.encode(), len(content), content)).digest()


def commit_tree(objects: Path, commit: str) -> bytes:
    """The hash of a commit's tree.

    Raises:
        Unreadable: the commit is stored as a difference to another, or is not there.
    """
    loose = objects / commit[:2] / commit[2:]
    if loose.is_file():
        body = zlib.decompress(loose.read_bytes()).partition(b"\0")[2]
    else:
        body = _packed_commit(objects, bytes.fromhex(commit))
    word, _, tree = body.partition(b"\n")[0].partition(b" ")
    if word != b"tree":
        raise Unreadable
    return bytes.fromhex(tree.decode())


def _packed_commit(objects: Path, commit: bytes) -> bytes:
    for index_file in (objects / "pack").glob("*.idx"):
        with (
            index_file.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as index,
        ):
            offset = _pack_offset(index, commit)
        if offset is not None:
            with index_file.with_suffix(".pack").open("rb") as pack:
                pack.seek(offset)
                # The tree comes first in a commit, so its beginning is enough.
                return _commit_start(pack.read(4096))
    raise Unreadable


def _commit_start(packed: bytes) -> bytes:
    if packed[0] >> 4 & 7 != _COMMIT:
        raise Unreadable
    position = 1
    while packed[position - 1] & 0x80:
        position += 1
    return zlib.decompressobj().decompress(packed[position:], 256)


def _pack_offset(index: mmap.mmap, name: bytes) -> int | None:
    """Where a pack holds an object, by its index of version 2; see gitformat-pack(5)."""
    if index[:8] != b"\xfftOc\0\0\0\2":
        raise Unreadable
    count, hashes, width = _int(index, 8 + 255 * 4), 8 + 256 * 4, len(name)
    low = _int(index, 8 + (name[0] - 1) * 4) if name[0] else 0
    high = _int(index, 8 + name[0] * 4)
    for number in range(low, high):
        if index[hashes + number * width : hashes + (number + 1) * width] == name:
            offsets = hashes + count * (width + 4)
            offset = _int(index, offsets + number * 4)
            if offset & 0x80000000:
                return _int(index, offsets + count * 4 + (offset & 0x7FFFFFFF) * 8, 8)
            return offset
    return None


def _int(data: bytes | mmap.mmap, position: int, size: int = 4) -> int:
    return int.from_bytes(data[position : position + size])


def _varint(data: bytes, position: int) -> tuple[int, int]:
    byte = data[position]
    value = byte & 0x7F
    while byte & 0x80:
        position += 1
        byte = data[position]
        value = (value + 1 << 7) | byte & 0x7F
    return value, position + 1
