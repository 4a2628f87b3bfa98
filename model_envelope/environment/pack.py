"""A built environment as one archive that runs wherever it is unpacked."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from model_envelope.environment.build import BuiltEnvironment
from model_envelope.environment.caching import locked, mark_used, staged, sweep
from model_envelope.errors import EnvironmentNotBuildable

LAYOUT = 1
"""Raise it when what `pack` writes changes, so that archives of before are not found."""

_COMPRESSION = 3

# Neither the parts of the standard library that no model imports, nor what ties it to a host.
_LEFT_OUT_STANDARD = {
    "__pycache__",
    "dist-packages",
    "ensurepip",
    "idlelib",
    "site-packages",
    "sitecustomize.py",
    "test",
    "tests",
    "tkinter",
    "turtledemo",
}
_LEFT_OUT_BUILT = ("pyvenv.cfg", "CACHEDIR.TAG", ".", "environment.lock")
_LEFT_OUT_PROGRAMS = ("activate", "deactivate", "pydoc", "python")

_PROBE = """
import json, os, site, sys, sysconfig
with open("/proc/self/maps") as maps:
    mapped = {line.split(None, 5)[-1].strip() for line in maps}
print(json.dumps({
    "program": os.path.realpath(sys.executable),
    "prefix": sys.prefix,
    "standard": sorted({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}),
    "site": os.path.relpath(site.getsitepackages()[0], sys.prefix),
    "libraries": sorted(p for p in mapped if os.path.basename(p).startswith("libpython")),
}))
"""

# An interpreter that is a shared library finds it here, wherever here is.
_LAUNCHER = """#!/bin/sh
root=$(dirname "$(dirname "$(readlink -f "$0")")")
unset PYTHONHOME
export PYTHONNOUSERSITE=1
export LD_LIBRARY_PATH="$root/libexec${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"
exec "$root/libexec/{program}" "$@"
"""


def pack(built: BuiltEnvironment) -> Path:
    """Write an environment with its interpreter and standard library to a `.tar.gz`.

    Unpacked anywhere, `bin/python` runs with all that it needs but libraries of the system
    (libc, libssl, libffi and the like). The archive is kept beside the environment; the same
    environment gives the same bytes.

    Raises:
        EnvironmentNotBuildable: this is not Linux, or the interpreter does not run.
    """
    archive = built.prefix.with_name(f"{built.prefix.name}.v{LAYOUT}.tar.gz")
    if not archive.exists():
        with locked(built.prefix.with_name(f"{built.prefix.name}.lock")):
            sweep(built.prefix.parent, built.prefix.name)
            if not archive.exists():
                with staged(built.prefix) as file:
                    _write(file, _contents(built))
                    file.rename(archive)
    mark_used(archive)
    return archive


@dataclass(frozen=True, kw_only=True, slots=True)
class _Interpreter:
    program: Path
    prefix: Path
    standard: list[Path]
    site: PurePosixPath
    libraries: list[Path]


def _probe(built: BuiltEnvironment) -> _Interpreter:
    if sys.platform != "linux":
        raise EnvironmentNotBuildable(f"Environments are packed on Linux, not on {sys.platform}.")
    program = built.python.resolve()
    try:
        done = subprocess.run(
            [program, "-I", "-c", _PROBE], capture_output=True, check=True, text=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EnvironmentNotBuildable(
            f"The interpreter of the environment, {program}, does not run: {error}"
        ) from error
    told = json.loads(done.stdout)
    return _Interpreter(
        program=Path(told["program"]),
        prefix=Path(told["prefix"]),
        standard=[Path(folder) for folder in told["standard"]],
        site=PurePosixPath(told["site"]),
        libraries=[Path(file) for file in told["libraries"]],
    )


def _contents(built: BuiltEnvironment) -> dict[str, Path | bytes | str]:
    """What is in the archive by name: a file, bytes of a program, or a link's target."""
    interpreter = _probe(built)
    launcher = _LAUNCHER.format(program=interpreter.program.name)
    contents: dict[str, Path | bytes | str] = {
        f"bin/{interpreter.program.name}": "python",
        "bin/python3": "python",
        "bin/python": launcher.encode(),
    }
    for file in (interpreter.program, *interpreter.libraries):
        contents[f"libexec/{file.name}"] = file
    for folder in interpreter.standard:
        for file in _standard_library(folder):
            contents[file.relative_to(interpreter.prefix).as_posix()] = file
    for file in _installed(built.prefix):
        inside = PurePosixPath(file.relative_to(built.prefix))
        if inside.parts[2:3] == ("site-packages",):
            # Debian's Python looks into a folder of another name.
            inside = interpreter.site.joinpath(*inside.parts[3:])
        contents.setdefault(str(inside), file)
    return contents


def _standard_library(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if name not in _LEFT_OUT_STANDARD and not name.startswith("config-")
        ]
        for name in files:
            if name not in _LEFT_OUT_STANDARD and not name.startswith(("_tkinter", "_test")):
                yield Path(parent, name)


def _installed(prefix: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(prefix):
        folders[:] = [name for name in folders if name != "__pycache__"]
        left_out: tuple[str, ...] = ()
        if Path(parent) == prefix:
            left_out = _LEFT_OUT_BUILT
        elif Path(parent) == prefix / "bin":
            left_out = _LEFT_OUT_PROGRAMS
        yield from (Path(parent, name) for name in files if not name.startswith(left_out))


def _write(archive: Path, contents: dict[str, Path | bytes | str]) -> None:
    with (
        archive.open("wb") as file,
        gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for name, content in sorted(contents.items()):
            _add(tar, name, content)


def _add(tar: tarfile.TarFile, name: str, content: Path | bytes | str) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode = 0o755
    if isinstance(content, str):
        entry.type, entry.linkname = tarfile.SYMTYPE, content
        tar.addfile(entry)
    elif isinstance(content, bytes):
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    else:
        with content.open("rb") as file:
            found = os.fstat(file.fileno())
            entry.size = found.st_size
            entry.mode = 0o755 if found.st_mode & 0o100 else 0o644
            tar.addfile(entry, file)
