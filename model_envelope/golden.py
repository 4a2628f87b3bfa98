"""Golden rows: a few real inputs of a model, and what it gave for them when it was saved."""

from __future__ import annotations

import pyarrow as pa

from model_envelope import derivation
from model_envelope.artifacts.protocol import ArtifactStore
from model_envelope.envelope import EnvelopeRecord
from model_envelope.errors import InvalidInput

GOLDEN_INPUT = "golden-input.arrow"


def golden_file(function: str) -> str:
    """The name of the file with what a function gave for the golden rows."""
    return f"golden-{function}.arrow"


def has_golden_rows(record: EnvelopeRecord, function: str) -> bool:
    """Whether there are golden rows for a function: not if it was saved undescribed."""
    return GOLDEN_INPUT in record.files and golden_file(function) in record.files


def golden_rows(
    artifacts: ArtifactStore, record: EnvelopeRecord, function: str
) -> tuple[pa.Table, pa.Table]:
    """Golden inputs and what a function gave for them, once their digests are verified.

    Raises:
        InvalidInput: the envelope has none.
        ArtifactError: a file is missing, or is not what was saved.
    """
    if not has_golden_rows(record, function):
        raise InvalidInput(
            f"Envelope {record.id} has no golden rows for {function!r}: it was saved "
            "without api_input."
        )
    tables = []
    for name in (GOLDEN_INPUT, golden_file(function)):
        path = artifacts.fetch(f"{record.id}/{name}", sha256=record.files[name].sha256)
        tables.append(derivation.from_ipc(path.read_bytes()))
    return tables[0], tables[1]
