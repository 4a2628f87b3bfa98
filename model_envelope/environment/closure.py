"""From modules and requirements to all distributions that they need, transitively."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from model_envelope.environment.installed import Installation, Origin, Package, location

_STANDARD = sys.stdlib_module_names | {"__main__", "__mp_main__"}

# What a model needs of this package travels with it.
_OWN_MODULE, _OWN_DISTRIBUTION = "model_envelope", "model-envelope"

_NOT_FROM_AN_INDEX = {
    "local": "from a directory that other machines do not have",
    "vcs": "from version control, where there are no files with hashes to lock",
    "url": "from a file that is in no package index",
}


class Closure:
    """Collects distributions, and every reason why they could not be installed elsewhere.

    Args:
        installed: what is installed here.
        custom: modules that travel by value; their distributions need no index.
    """

    def __init__(self, installed: Installation, custom: Collection[str]) -> None:
        self._installed = installed
        self._custom = frozenset(custom)
        self._extras: defaultdict[str, set[str]] = defaultdict(set)
        self._unindexed: defaultdict[tuple[str, Origin], set[str]] = defaultdict(set)
        self._problems: dict[str, str] = {}
        self._covered = {o for module in custom for o in installed.owners_of(module) or ()}
        for name in self._covered:
            self._add(name)

    @property
    def names(self) -> Collection[str]:
        """Canonical names of what is collected."""
        return self._extras.keys()

    @property
    def packages(self) -> list[Package]:
        """What is collected."""
        return [self._installed.packages[name] for name in self._extras]

    @property
    def problems(self) -> list[str]:
        """What stands against it: one sentence each, with what to do."""
        unindexed = [_unindexed_message(*item) for item in self._unindexed.items()]
        return sorted([*self._problems.values(), *unindexed])

    def add_module(self, module: str) -> None:
        """Collect the distribution that a module belongs to."""
        top = module.partition(".")[0]
        if top in _STANDARD or top == _OWN_MODULE or self._travels(module):
            return
        owners = self._installed.owners_of(module)
        if owners is None:
            self._problems[top] = self._unowned_message(module)
        for name in owners or ():
            self._add(name)
            self._require_index(name, [top])

    def add_requirement(self, requirement: Requirement) -> None:
        """Collect a distribution that was asked for by name."""
        name = canonicalize_name(requirement.name)
        package = self._installed.packages.get(name)
        if package is None:
            problem = "but not installed here: a model is saved with what it runs with"
        elif not requirement.specifier.contains(package.version, prereleases=True):
            problem = f"but {package.version} is installed here"
        elif unknown := {canonicalize_name(e) for e in requirement.extras} - package.extras:
            problem = f"but {name} {package.version} has no extra {', '.join(sorted(unknown))}"
        else:
            self._add(name, requirement.extras)
            return
        self._problems[str(requirement)] = (
            f"{requirement} is asked for, {problem}. Install it, or correct the requirement."
        )

    def close(self) -> None:
        """Collect all that the collected distributions require here."""
        waiting = [(name, extra) for name, extras in self._extras.items() for extra in extras]
        seen = set(waiting)
        while waiting:
            for target, extra in self._required_by(*waiting.pop()):
                if (target, extra) not in seen:
                    seen.add((target, extra))
                    waiting.append((target, extra))
                    self._extras[target].add(extra)
        for package in self.packages:
            if package.name not in self._covered:
                self._require_index(package.name, package.top_level)
            if not package.version:
                self._problems[package.name] = f"{package.name} has no version: reinstall it."

    def _required_by(self, name: str, extra: str) -> Iterable[tuple[str, str]]:
        try:
            requirements = self._installed.packages[name].requirements(extra)
        except InvalidRequirement as error:
            self._problems[name] = f"The metadata of {name} cannot be read: {error}"
            return
        for requirement in requirements:
            target = canonicalize_name(requirement.name)
            if target == _OWN_DISTRIBUTION:
                continue
            if target not in self._installed.packages:
                self._problems[target] = (
                    f"{target} is required by {name} but not installed here: "
                    f"pip install '{requirement.name}{requirement.specifier}'."
                )
                continue
            yield target, ""
            for wanted in requirement.extras:
                yield target, canonicalize_name(wanted)

    def _add(self, name: str, extras: Iterable[str] = ()) -> None:
        if name != _OWN_DISTRIBUTION:
            self._extras[name].update(("", *map(canonicalize_name, extras)))

    def _travels(self, module: str) -> bool:
        return any(module == name or module.startswith(f"{name}.") for name in self._custom)

    def _require_index(self, name: str, modules: Iterable[str]) -> None:
        origin = self._installed.packages[name].origin
        if origin is not None and name != _OWN_DISTRIBUTION:
            self._unindexed[name, origin].update(modules)

    def _unowned_message(self, module: str) -> str:
        top = module.partition(".")[0]
        if self._installed.owners_of(top) is not None or (
            top not in sys.modules and location(top) is None
        ):
            return (
                f"{module} is imported by the model's modules but not installed here: install "
                "it, or guard the import by `except ImportError` if the model can do without."
            )
        return (
            f"{top} ({location(top) or 'made at run time'}) belongs to no installed "
            f"distribution: pass modules=[{top}] to save its source with the model.{_conda()}"
        )


def _unindexed_message(item: tuple[str, Origin], modules: Collection[str]) -> str:
    name, origin = item
    return (
        f"{name} is installed {_NOT_FROM_AN_INDEX[origin.kind]} ({origin.source}): pass "
        f"modules=[{', '.join(sorted(modules))}] to save its source with the model, or install "
        "a published version."
    )


def _conda() -> str:
    if not (Path(sys.prefix) / "conda-meta").is_dir():
        return ""
    return " If conda installed it without a distribution's metadata, install it with pip."
