"""Query functions that are added to an envelope after it was saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_envelope import derivation, packing
from model_envelope.client import drafting, saving
from model_envelope.envelope import EnvelopeRecord
from model_envelope.environment.capture import capture
from model_envelope.errors import EnvironmentNotCapturable, InvalidInput
from model_envelope.golden import GOLDEN_INPUT, golden_file
from model_envelope.runtime.spec import Rows

if TYPE_CHECKING:
    from model_envelope.client.client import Client


@dataclass(frozen=True, kw_only=True, slots=True)
class Addition:
    """A function to add, its name, and whether one call takes one row or many."""

    name: str
    function: Callable[..., Any]
    rows: Rows | None = None


def add(client: Client, record: EnvelopeRecord, addition: Addition, folder: Path) -> None:
    """Try a function on the golden rows, store it, and add it to the envelope.

    Raises:
        InvalidInput: there is a function of that name.
        EnvironmentNotCapturable: it needs what the envelope's environment does not hold.
        PredictionFailed: it raised on the golden rows.
    """
    name, function = addition.name, addition.function
    if name in record.functions:
        raise InvalidInput(f"Envelope {record.id} has a query function {name!r} already.")
    if not callable(function):
        raise InvalidInput(f"Query function {name!r} is {function!r:.60}: pass a callable.")
    file = f"function-{name}.bin"
    sample = _golden_sample(client, record)
    derived = derivation.derive(name, function, sample, file=file, rows=addition.rows)
    packed = packing.pack({name: function}, folder / file)
    _check_environment(record, packed.reached)
    if derived.golden_output is not None:
        content = derivation.to_ipc(derived.golden_output)
        (folder / golden_file(name)).write_bytes(content)
    files = drafting.references(folder)
    saving.put_files(client.artifacts, record.id, folder, files)
    client.store.add_function(record.id, derived.spec, files, client.actor)


def _golden_sample(client: Client, record: EnvelopeRecord) -> derivation.Sample | None:
    ref = record.files.get(GOLDEN_INPUT)
    if ref is None:
        return None
    path = client.artifacts.fetch(f"{record.id}/{GOLDEN_INPUT}", sha256=ref.sha256)
    table = derivation.from_ipc(path.read_bytes())
    kind = record.functions[drafting.PREDICT].input_kind
    return derivation.Sample(trial=table, golden_rows=table.num_rows, kind=kind)


def _check_environment(record: EnvelopeRecord, reached: frozenset[str]) -> None:
    """The environment is fixed: what the function reaches must be in it, at its version."""
    has = {d.name: d.version for d in record.manifest.environment.distributions}
    needed = capture(reached, custom=record.manifest.modules).distributions
    missing = [f"{d.name}=={d.version}" for d in needed if has.get(d.name) != d.version]
    if missing:
        raise EnvironmentNotCapturable(
            f"The function needs {', '.join(missing)}, which the environment of envelope "
            f"{record.id} does not hold. Save a new envelope with it instead."
        )
