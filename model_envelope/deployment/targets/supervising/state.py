"""What a supervisor must know again after it was killed: one file, replaced whole."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_FILE = "state.json"
LOG = "supervisor.log"
"""What supervisors themselves have to say, in the folder of their service."""

SUCCESSOR = "successor.json"
"""How a keeper of another version of this code is started, in that folder, too."""


def release_folder(service: Path, release: str) -> Path:
    """Where all is that a release leaves, in the folder of its service."""
    return service / "releases" / release


def log_of(service: Path, release: str) -> Path:
    """What the processes of a release print."""
    return release_folder(service, release) / "log"


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """How the processes of a release are started.

    `command` is completed with the options that say what they inherit; `environment` is
    all they get to see. `token` opens their control endpoints. A process that does not answer
    for `hang_seconds` is killed and started again. `needs` are files and folders without which
    none can be started; `in_use` are files whose times say when these were last used.
    """

    release: str
    fence: int
    command: tuple[str, ...]
    environment: Mapping[str, str]
    token: str
    replicas: int = 1
    memory_bytes: int | None = None
    nice: int = 0
    hang_seconds: float = 60.0
    needs: tuple[str, ...] = ()
    in_use: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Launch:
        """Read `asdict` again."""
        lists = {name: tuple(body[name]) for name in ("command", "needs", "in_use")}
        return cls(**{**body, **lists})

    @property
    def can_start(self) -> bool:
        """Whether what it needs is there; a cache may have been lost that it was in."""
        return all(Path(name).exists() for name in self.needs)


@dataclass(kw_only=True, slots=True)
class ServiceState:
    """A service: who may start releases, which there are, and whose the traffic is.

    `fence` is the highest of any start: an older one starts nothing. `live_fence` is that of
    the last route: an older one gets no traffic. They are two, because what is live keeps its
    fence while a later one starts releases, and may have to be routed again meanwhile.
    """

    fence: int = 0
    live: str | None = None
    live_fence: int = 0
    launches: dict[str, Launch] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> ServiceState:
        """What was last written to a service's folder; the initial state if nothing was."""
        try:
            body = json.loads((folder / _FILE).read_text())
        except FileNotFoundError:
            return cls()
        launches = {name: Launch.from_json(launch) for name, launch in body["launches"].items()}
        return cls(**{**body, "launches": launches})

    def write(self, folder: Path) -> None:
        """Replace what is in the folder, in one step that a crash cannot halve."""
        write_private(folder / _FILE, json.dumps(asdict(self)))


def left_over(service: Path) -> list[Path]:
    """What was left of releases whose start or end was cut short by a crash.

    Call it while nobody else changes the folder of the service.
    """
    known = ServiceState.read(service).launches
    folders = [f for f in (service / "releases").glob("*") if f.name not in known]
    return sorted([*folders, *service.glob(f".{_FILE}-*")])


def remove(item: Path) -> None:
    """Remove a file, or a folder with all that is in it."""
    if item.is_dir():
        shutil.rmtree(item, ignore_errors=True)
    else:
        item.unlink(missing_ok=True)


def write_private(file: Path, text: str) -> None:
    """Replace a file that only its owner may read; it is whole at any time."""
    handle, staging = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    with os.fdopen(handle, "w") as staged:
        staged.write(text)
        staged.flush()
        os.fsync(staged.fileno())
    Path(staging).replace(file)
