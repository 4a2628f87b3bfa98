"""The state of a git checkout, read from its files: no subprocess, no git needed."""

from __future__ import annotations

import os
import stat
import zlib
from dataclasses import dataclass
from pathlib import Path

from model_envelope.environment.git_objects import (
    LINK,
    SUBMODULE,
    Entry,
    Unreadable,
    commit_tree,
    object_hash,
    read_index,
    tree_hash,
)

_MOST_FILES = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkout:
    """A checked-out commit, in hex; empty before the first one or where it cannot be told.

    `dirty` is False only when every tracked file was found to be as in the commit. It is
    True after any change, staged or not, and also where that cannot be told cheaply: with
    more than 20,000 tracked files, a split or sparse index, or content filters. Untracked
    files do not count.
    """

    commit: str
    dirty: bool


def checkout(start: Path) -> Checkout | None:
    """The checkout that the folder `start` is in, if any."""
    try:
        start = start.resolve()
        for folder in (start, *start.parents):
            git = _git_folder(folder / ".git")
            if git is not None:
                return _read(folder, git)
    except OSError:
        # Not ours to read, or the working folder was deleted.
        pass
    return None


def _git_folder(place: Path) -> Path | None:
    if place.is_file():
        # A worktree's or a submodule's .git is a file that points to its folder.
        text = place.read_text(errors="replace")
        place = place.parent / text.removeprefix("gitdir:").strip()
    return place if (place / "HEAD").is_file() else None


def _read(worktree: Path, git: Path) -> Checkout:
    common_file = git / "commondir"
    common = git / common_file.read_text().strip() if common_file.is_file() else git
    try:
        commit = _resolve((git / "HEAD").read_text().strip(), git, common)
    except (OSError, Unreadable):
        return Checkout(commit="", dirty=True)
    try:
        dirty = _dirty(worktree, git, common, commit)
    except (OSError, ValueError, IndexError, zlib.error, Unreadable):
        dirty = True
    return Checkout(commit=commit, dirty=dirty)


def _resolve(head: str, git: Path, common: Path) -> str:
    for _ in range(5):
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        loose = next((f for f in (git / name, common / name) if f.is_file()), None)
        head = loose.read_text().strip() if loose is not None else _packed_ref(common, name)
    raise Unreadable


def _packed_ref(common: Path, name: str) -> str:
    packed = common / "packed-refs"
    lines = packed.read_text().splitlines() if packed.is_file() else []
    return next((line.split(" ")[0] for line in lines if line.endswith(f" {name}")), "")


def _dirty(worktree: Path, git: Path, common: Path, commit: str) -> bool:
    if not commit:
        return True
    index, algorithm = git / "index", "sha1" if len(commit) == 40 else "sha256"
    entries = read_index(index.read_bytes(), algorithm, most=_MOST_FILES)
    if any(entry.stage for entry in entries):
        return True
    if tree_hash(entries, algorithm) != commit_tree(common / "objects", commit):
        return True
    compare = _Comparison(
        index_written=index.stat().st_mtime_ns,
        algorithm=algorithm,
        modes="filemode = false" not in (common / "config").read_text(errors="replace"),
    )
    return any(compare.differs(worktree / entry.path, entry) for entry in entries)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Comparison:
    index_written: int
    algorithm: str
    modes: bool

    def differs(self, file: Path, entry: Entry) -> bool:
        if entry.unchecked or entry.mode == SUBMODULE:
            return False
        try:
            found = file.lstat()
        except OSError:
            return True
        if found.st_size & 0xFFFFFFFF != entry.size or self._mode(entry, found) != entry.mode:
            return True
        # A file written in the same moment as the index may have changed after it, unseen.
        if found.st_mtime_ns == entry.mtime_ns and found.st_mtime_ns < self.index_written:
            return False
        is_link = stat.S_ISLNK(found.st_mode)
        content = os.fsencode(file.readlink()) if is_link else file.read_bytes()
        return object_hash("blob", content, self.algorithm) != entry.hash

    def _mode(self, entry: Entry, found: os.stat_result) -> int:
        if stat.S_ISLNK(found.st_mode):
            return LINK
        if not self.modes:
            return entry.mode
        return 0o100755 if found.st_mode & stat.S_IXUSR else 0o100644
