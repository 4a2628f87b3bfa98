"""What is installed in this interpreter, read from its metadata."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_CODE = (".py", ".so", ".pyd", ".pyc")
_SITE_FOLDERS = {"site-packages", "dist-packages"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a distribution came from that no index can give again.

    `kind` is `local`, `vcs` or `url`; `source` is fit to be shown: it has no credentials.
    """

    kind: str
    source: str
    folder: Path | None = None


class Package:
    """One installed distribution."""

    def __init__(self, distribution: metadata.Distribution, name: str) -> None:
        self._distribution = distribution
        self.name = canonicalize_name(name)

    @cached_property
    def version(self) -> str:
        """The installed version; empty where the metadata has none."""
        return _first(self._distribution, "Version")

    @cached_property
    def extras(self) -> frozenset[str]:
        """The extras it offers."""
        offered = self._distribution.metadata.get_all("Provides-Extra") or []
        return frozenset(canonicalize_name(extra) for extra in offered)

    @cached_property
    def _requirements(self) -> tuple[Requirement, ...]:
        return tuple(Requirement(text) for text in self._distribution.requires or ())

    def requirements(self, extra: str = "") -> list[Requirement]:
        """What it requires in this interpreter, with `extra` where one is named.

        Raises:
            packaging.requirements.InvalidRequirement: its metadata cannot be read.
        """
        return [
            requirement
            for requirement in self._requirements
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        ]

    @cached_property
    def modules(self) -> frozenset[str]:
        """Dotted names of the modules it installed, as far as it tells."""
        recorded = frozenset(_recorded_modules(self._distribution.read_text("RECORD") or ""))
        # Where both exist, only the record can tell apart the parts of a namespace package.
        declared = (self._distribution.read_text("top_level.txt") or "").split()
        return recorded or frozenset(declared)

    @property
    def top_level(self) -> list[str]:
        """Names under which its code is imported."""
        return sorted({module.partition(".")[0] for module in self.modules})

    @cached_property
    def origin(self) -> Origin | None:
        """Where it came from, unless from an index."""
        read = self._distribution.read_text
        # conda leaves the folder of its build machine in direct_url.json.
        if (read("INSTALLER") or "").strip() == "conda":
            return None
        direct_url = read("direct_url.json")
        if direct_url is not None:
            return _origin(json.loads(direct_url))
        place = Path(str(self._distribution.locate_file("")))
        if read("METADATA") is None and place.name not in _SITE_FOLDERS:
            return Origin(kind="local", source=place.resolve().as_uri(), folder=place.resolve())
        return None


@dataclass(kw_only=True)
class Installation:
    """Everything installed: `packages` by canonical name, `owners` by dotted module name."""

    packages: dict[str, Package]
    owners: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, package in self.packages.items():
            for module in package.modules:
                self.owners.setdefault(module, []).append(name)

    @cached_property
    def _parents(self) -> frozenset[str]:
        return frozenset(parent for module in self.owners for parent in _ancestors(module))

    @cached_property
    def _checkouts(self) -> list[tuple[Path, str]]:
        origins = ((package.origin, name) for name, package in self.packages.items())
        return [(o.folder, name) for o, name in origins if o is not None and o.folder is not None]

    def owners_of(self, module: str) -> list[str] | None:
        """Names of the distributions that `module`, or its nearest parent, belongs to.

        Empty for a namespace package, which holds no code of its own.

        Returns:
            None when no distribution has it.
        """
        checkout = self._checkout_of(module)
        if checkout is not None:
            return [checkout]
        for name in (module, *_ancestors(module)):
            if name in self.owners:
                return self.owners[name]
        return [] if module in self._parents else None

    def _checkout_of(self, module: str) -> str | None:
        # An editable install records only a pointer, so its modules are known by their place.
        place = location(module)
        if place is None or _SITE_FOLDERS & set(place.parts):
            return None
        inside = [pair for pair in self._checkouts if place.is_relative_to(pair[0])]
        return max(inside, key=lambda pair: len(pair[0].parts))[1] if inside else None


def installation() -> Installation:
    """What is installed now; read again only after an install or a change of `sys.path`."""
    return _read(tuple((entry, _changed(entry)) for entry in sys.path))


@lru_cache(maxsize=1)
def _read(_: tuple[tuple[str, int], ...]) -> Installation:
    packages: dict[str, Package] = {}
    for distribution in metadata.distributions():
        # Folders left by broken installs have no name.
        name = _first(distribution, "Name")
        if name:
            package = Package(distribution, name)
            packages.setdefault(package.name, package)
    return Installation(packages=packages)


def location(module: str) -> Path | None:
    """The file or folder of a module that is imported, or could be; None for neither."""
    loaded = sys.modules.get(module)
    if loaded is None and "." in module:
        return location(module.rpartition(".")[0])
    try:
        spec = loaded.__spec__ if loaded is not None else importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        spec = None
    file = getattr(loaded, "__file__", None) or (spec.origin if spec is not None else None)
    if file is not None and Path(file).is_absolute():
        return Path(file).resolve()
    folders = list(getattr(spec, "submodule_search_locations", None) or ())
    return Path(folders[0]).resolve() if folders else None


def _first(distribution: metadata.Distribution, field: str) -> str:
    return next(iter(distribution.metadata.get_all(field) or ()), "")


def _changed(entry: str) -> int:
    try:
        return Path(entry or ".").stat().st_mtime_ns
    except OSError:
        return 0


def _recorded_modules(record: str) -> Iterator[str]:
    for path, *_ in csv.reader(record.splitlines()):
        if not path.endswith(_CODE) or path.startswith(("..", "/")) or "__pycache__" in path:
            continue
        *folders, file = path.split("/")
        stem = file.partition(".")[0]
        names = folders if stem == "__init__" else [*folders, stem]
        if names and names[0].isidentifier() and not names[0].startswith("__editable__"):
            yield ".".join(names)


def _ancestors(module: str) -> Iterator[str]:
    while "." in module:
        module = module.rpartition(".")[0]
        yield module


def _origin(direct_url: dict[str, object]) -> Origin:
    url = _without_credentials(str(direct_url["url"]))
    version_control = direct_url.get("vcs_info")
    if isinstance(version_control, dict):
        commit = version_control.get("commit_id", "")
        return Origin(kind="vcs", source=f"{version_control.get('vcs')}+{url}@{commit}")
    if "dir_info" in direct_url:
        return Origin(kind="local", source=url, folder=Path(unquote(urlsplit(url).path)))
    return Origin(kind="url", source=url)


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
