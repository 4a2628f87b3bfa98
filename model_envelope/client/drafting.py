"""A save in the making: everything derived, checked and written to a local folder."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from model_envelope import derivation, names, packing, statistics
from model_envelope.derivation import Derived, Sample
from model_envelope.envelope import FileRef, Manifest
from model_envelope.environment.capture import capture
from model_envelope.environment.imports import imports_of
from model_envelope.environment.provenance import provenance
from model_envelope.errors import InvalidInput
from model_envelope.golden import GOLDEN_INPUT, golden_file
from model_envelope.runtime import inputs
from model_envelope.runtime.loading import MODULES
from model_envelope.runtime.spec import Rows

MODEL = "model.bin"
PREDICT = "predict"


class Undescribed:
    """The default of `api_input`: leaving it out is a mistake, None is a decision."""


UNDESCRIBED = Undescribed()


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """What a save will make visible, and the folder with its files."""

    folder: Path
    manifest: Manifest
    description: str
    tags: Mapping[str, str]


def callables(
    model: Any, query_functions: Mapping[str, Callable[..., Any] | str] | None
) -> dict[str, Callable[..., Any]]:
    """The query functions of a model by name, `predict` first.

    Raises:
        InvalidInput: something is not callable.
    """
    found = {PREDICT: _predict_of(model)}
    for name, given in (query_functions or {}).items():
        names.check_identifier(name, "query function's name")
        if name == PREDICT:
            raise InvalidInput("The model itself is the query function 'predict'.")
        function = getattr(model, given, None) if isinstance(given, str) else given
        if not callable(function):
            raise InvalidInput(
                f"Query function {name!r} is {given!r:.60}: pass a callable, or the name of a "
                "method of the model."
            )
        found[name] = function
    return found


def draft(
    folder: Path,
    functions: Mapping[str, Callable[..., Any]],
    *,
    description: str,
    tags: Mapping[str, str],
    api_input: Any,
    api_output: Any = None,
    modules: Sequence[ModuleType] = (),
    requirements: Sequence[str] | None = None,
    golden_rows: int = 20,
    rows: Rows | None = None,
) -> Draft:
    """Derive everything that a save needs and write its files into `folder`.

    Raises:
        EnvelopeError: something cannot be derived or saved; nothing was stored.
    """
    if isinstance(api_input, Undescribed):
        raise InvalidInput(
            "api_input is missing: pass a sample of what the model takes, from which schema, "
            "statistics and golden rows are derived, or api_input=None to do without them."
        )
    tags = names.check_tags(tags)
    description = names.check_description(description)
    modules = packing.check_modules(modules)
    table = None if api_input is None else derivation.describe_input(api_input)
    sample = None
    if table is not None:
        sample = derivation.take_sample(table, inputs.kind_of(api_input), golden_rows)
    derived = {
        name: derivation.derive(
            name,
            function,
            sample,
            file=MODEL,
            rows=rows,
            api_output=api_output if name == PREDICT else None,
        )
        for name, function in functions.items()
    }
    packed = packing.pack(functions, folder / MODEL)
    custom = packing.archive(modules, folder / MODULES) if modules else ()
    environment = capture(
        packed.reached | _needed_for(sample) | _imported_by(modules),
        custom=custom,
        requirements=requirements,
    )
    write_golden(folder, sample, derived.values())
    manifest = Manifest(
        id=names.new_id(),
        created_at=datetime.now(UTC),
        functions={name: found.spec for name, found in derived.items()},
        files=references(folder),
        modules=custom,
        environment=environment,
        provenance=provenance(_folder_of(functions[PREDICT])),
        statistics={} if table is None else statistics.describe(table),
    )
    return Draft(folder=folder, manifest=manifest, description=description, tags=tags)


def write_golden(folder: Path, sample: Sample | None, derived: Iterable[Derived]) -> None:
    """Write the golden rows: the inputs once, the outputs of each function."""
    if sample is None:
        return
    (folder / GOLDEN_INPUT).write_bytes(derivation.to_ipc(sample.golden))
    for found in derived:
        if found.golden_output is not None:
            content = derivation.to_ipc(found.golden_output)
            (folder / golden_file(found.spec.name)).write_bytes(content)


def references(folder: Path) -> dict[str, FileRef]:
    """Digest and size of every file in a folder."""
    found = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found[path.name] = FileRef(sha256=digest, size=path.stat().st_size)
    return found


def _predict_of(model: Any) -> Callable[..., Any]:
    if isinstance(model, type):
        raise InvalidInput(f"{model.__name__} is a class: pass an instance of it, trained.")
    method = getattr(model, "predict", None)
    if callable(method):
        found: Callable[..., Any] = method
        return found
    if callable(model):
        return model  # type: ignore[no-any-return]
    raise InvalidInput(
        f"The model is a {type(model).__name__}: pass a function, or an object with a method "
        "`predict`."
    )


def _needed_for(sample: Sample | None) -> frozenset[str]:
    """What makes the model's input from a table."""
    packages = {"frame": {"pandas"}, "series": {"pandas"}, "ndarray": {"numpy"}}
    return frozenset(packages.get(sample.kind, ())) if sample else frozenset()


def _imported_by(modules: Iterable[ModuleType]) -> frozenset[str]:
    return frozenset(
        name for module in modules for root in packing.roots(module) for name in imports_of(root)
    )


def _folder_of(function: Callable[..., Any]) -> Path | None:
    """Where the model's code is: its git checkout is the one to record."""
    try:
        return Path(inspect.getfile(inspect.unwrap(function))).parent
    except (TypeError, OSError):
        return None
