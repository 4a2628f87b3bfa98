"""From callables to one model file: what they reach, and what cannot be saved."""

from __future__ import annotations

import dis
import io
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import cloudpickle

from model_envelope.errors import InvalidInput, ModelNotPicklable
from model_envelope.runtime import bundle

_AIRFLOW_DAG_FILE = "unusual_prefix_"
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_MAX_DEPTH = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """A model file, and the dotted names of the modules that loading it will import."""

    path: Path
    reached: frozenset[str]


def pack(functions: Mapping[str, Callable[..., Any]], path: Path) -> Packed:
    """Write callables into one file; state that they share is written once.

    Raises:
        ModelNotPicklable: names the attribute that cannot be saved.
    """
    buffers: list[Any] = []
    stream = io.BytesIO()
    pickler = _Recorder(stream, protocol=5, buffer_callback=buffers.append)
    with _dag_files_by_value(functions.values()):
        try:
            pickler.dump(dict(functions))
        except Exception as error:
            raise _explain(functions, error) from error
    bundle.write(path, stream.getvalue(), buffers)
    return Packed(path=path, reached=frozenset(pickler.reached))


def archive(modules: Iterable[ModuleType], path: Path) -> tuple[str, ...]:
    """Write the source of modules into a zip; the same source gives the same bytes.

    Returns:
        Their top-level names, sorted.

    Raises:
        InvalidInput: one of them has no source that could travel.
    """
    files = {name: file for module in modules for name, file in _files(module)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(files):
            target.writestr(zipfile.ZipInfo(name, _ZIP_EPOCH), files[name].read_bytes())
    return tuple(sorted({Path(name).parts[0].removesuffix(".py") for name in files}))


def check_modules(modules: Iterable[ModuleType]) -> tuple[ModuleType, ...]:
    """Custom modules, as given.

    Raises:
        InvalidInput: one of them is no module, or a part of a package, or has no source.
    """
    found = tuple(modules)
    for module in found:
        roots(module)
    return found


def roots(module: ModuleType) -> list[Path]:
    """The folders of a custom package, or the one file of a custom module.

    Raises:
        InvalidInput: see `check_modules`.
    """
    if not isinstance(module, ModuleType):
        raise InvalidInput(f"modules takes modules, not {module!r:.60}: `import it` and pass that.")
    top = module.__name__.partition(".")[0]
    if top != module.__name__:
        raise InvalidInput(
            f"{module.__name__} is a part of {top}, and parts import each other: pass "
            f"modules=[{top}]."
        )
    if top == "__main__":
        raise InvalidInput(
            "modules=[__main__] is not needed: functions of a script travel by themselves."
        )
    if hasattr(module, "__path__"):
        return [Path(root) for root in module.__path__]
    if module.__file__ is None:
        raise InvalidInput(f"Module {top} has no source file: it cannot travel with a model.")
    return [Path(module.__file__)]


def _files(module: ModuleType) -> Iterator[tuple[str, Path]]:
    for root in roots(module):
        if root.is_file():
            yield root.name, root
        for file in root.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".pyc":
                yield str(Path(module.__name__) / file.relative_to(root)), file


class _Recorder(cloudpickle.Pickler):  # type: ignore[misc]
    """Writes down the modules that reading the pickle will import."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reached: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, ModuleType):
            self.reached.add(obj.__name__)
        elif isinstance(obj, FunctionType | BuiltinFunctionType | type):
            if _by_reference(obj):
                # A base may be of a package that the class's own needs only if it is there.
                line = obj.__mro__ if isinstance(obj, type) else (obj,)
                self.reached.update(part.__module__ for part in line)
            elif isinstance(obj, FunctionType):
                self.reached.update(_imported_in(obj.__code__))
        return super().reducer_override(obj)


def _by_reference(obj: Any) -> bool:
    """Whether reading the pickle will import `obj` instead of rebuilding it."""
    name = getattr(obj, "__module__", None)
    module = sys.modules.get(name or "")
    if module is None or name == "__main__" or name in cloudpickle.list_registry_pickle_by_value():
        return False
    found: Any = module
    for part in obj.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is obj


def _imported_in(code: CodeType) -> Iterator[str]:
    """Modules that a function imports when it is called, by absolute imports.

    `from a import b` gives `a` and `a.b`: a namespace package says nothing by itself.
    """
    found = list(dis.get_instructions(code))
    for level, wanted, instruction in zip(found, found[1:], found[2:], strict=False):
        if instruction.opname == "IMPORT_NAME" and level.argval == 0:
            yield instruction.argval
            yield from (f"{instruction.argval}.{name}" for name in wanted.argval or ())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _imported_in(constant)


class _dag_files_by_value:  # noqa: N801 - reads as a statement
    """Airflow imports a DAG file under a name that nothing else can import."""

    def __init__(self, functions: Iterable[Callable[..., Any]]) -> None:
        names = {getattr(f, "__module__", None) or type(f).__module__ for f in functions}
        self._modules = [
            sys.modules[name]
            for name in names
            if name.startswith(_AIRFLOW_DAG_FILE) and name in sys.modules
        ]

    def __enter__(self) -> None:
        for module in self._modules:
            cloudpickle.register_pickle_by_value(module)

    def __exit__(self, *_: object) -> None:
        for module in self._modules:
            cloudpickle.unregister_pickle_by_value(module)


def _explain(functions: Mapping[str, Callable[..., Any]], error: Exception) -> ModelNotPicklable:
    for name, function in functions.items():
        found = _culprit(function, _label(function, name), _MAX_DEPTH)
        if found is not None:
            path, value, cause = found
            return ModelNotPicklable(
                f"{path} is a {type(value).__module__}.{type(value).__qualname__}, which cannot "
                f"be saved: {cause}. Make it inside the function when it is called, or leave it "
                "out by `__getstate__`."
            )
    return ModelNotPicklable(f"The model cannot be saved: {type(error).__name__}: {error}")


def _label(function: Callable[..., Any], name: str) -> str:
    return getattr(function, "__qualname__", None) or f"{type(function).__name__} ({name})"


def _culprit(value: Any, path: str, depth: int) -> tuple[str, Any, Exception] | None:
    """The innermost part of `value` that cannot be pickled by itself."""
    try:
        cloudpickle.dumps(value)
    except Exception as error:
        for name, part in _parts(value, path) if depth else ():
            found = _culprit(part, name, depth - 1)
            if found is not None:
                return found
        return path, value, error
    return None


def _parts(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((f"{path}[{key!r:.40}]", part) for key, part in value.items())
    elif isinstance(value, list | tuple | set):
        yield from ((f"{path}[{i}]", part) for i, part in enumerate(value))
    elif isinstance(value, FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        yield from ((f"{path}: {name}", cell.cell_contents) for name, cell in cells)
        names = [name for name in value.__code__.co_names if name in value.__globals__]
        yield from ((f"{path}: global {name}", value.__globals__[name]) for name in names)
    elif hasattr(value, "__self__") and hasattr(value, "__func__"):
        yield path.rpartition(".")[0] or path, value.__self__
    elif hasattr(value, "__dict__"):
        yield from ((f"{path}.{name}", part) for name, part in vars(value).items())
