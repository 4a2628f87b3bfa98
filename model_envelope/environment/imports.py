"""Which modules a piece of source imports, found without running it."""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from model_envelope.environment.installed import installation, location

_TESTS = re.compile(r"(.*/)?(tests?/.*|test_[^/]*|[^/]*_test|conftest)\.py")
_TOLERANT = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}


def imports_of(path: Path) -> frozenset[str]:
    """Dotted names of all modules that a source file, or a package's folder, imports.

    Imports inside functions count. Those that the source itself treats as optional, under
    `except ImportError` or a check of version or platform, count when they could succeed
    here; those for type checkers only do not, and neither do relative imports. In a folder,
    tests are left out, and so are files that are no Python of this version.

    For `from a import b` the name is `a.b`, which may be no module but a name within one.
    """
    found: set[str] = set()
    for file in _sources(path):
        try:
            with warnings.catch_warnings(action="ignore"):
                tree = ast.parse(file.read_bytes(), filename=str(file))
        except (SyntaxError, ValueError):
            # It cannot be imported either: a template, or code for another Python.
            continue
        found.update(_imports(tree.body, optional=False))
    return frozenset(found)


def _sources(path: Path) -> Iterable[Path]:
    if path.is_file():
        return [path]
    files = (file for file in sorted(path.rglob("*.py")) if file.is_file())
    return (file for file in files if not _TESTS.fullmatch(file.relative_to(path).as_posix()))


def _imports(nodes: Iterable[ast.AST], *, optional: bool) -> Iterator[str]:
    for node in nodes:
        match node:
            case ast.Import() | ast.ImportFrom():
                yield from (name for name in _names(node) if not optional or _available(name))
            case ast.Try() | ast.TryStar():
                guarded = optional or any(_tolerant(handler) for handler in node.handlers)
                yield from _imports(node.body, optional=guarded)
                yield from _imports(node.handlers, optional=guarded)
                yield from _imports([*node.orelse, *node.finalbody], optional=optional)
            case ast.If():
                tested = {_last_name(part) for part in ast.walk(node.test)}
                unsure = optional or bool(tested & {"version_info", "platform"})
                if _last_name(node.test) != "TYPE_CHECKING":
                    yield from _imports(node.body, optional=unsure)
                yield from _imports(node.orelse, optional=unsure)
            case _:
                yield from _imports(ast.iter_child_nodes(node), optional=optional)


def _names(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif node.level == 0 and node.module:
        for alias in node.names:
            yield node.module if alias.name == "*" else f"{node.module}.{alias.name}"


def _available(name: str) -> bool:
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or installation().owners_of(name) is not None:
        return True
    # A namespace package such as `google` is there as soon as any part of it is.
    return location(top) is not None and installation().owners_of(top) is None


def _tolerant(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    return any(_last_name(part) in _TOLERANT for part in ast.walk(handler.type))


def _last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""
