"""Proof that an envelope's environment can be rebuilt and gives the same answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from model_envelope import derivation
from model_envelope.client.drafting import GOLDEN_INPUT, golden_file
from model_envelope.envelope import EnvelopeRecord, Reproducible
from model_envelope.errors import (
    ArtifactError,
    EnvironmentNotBuildable,
    InvalidInput,
    PredictionFailed,
    SchemaError,
)

if TYPE_CHECKING:
    from model_envelope.client.client import Client
    from model_envelope.client.envelope import Envelope

_REASON = 2_000


def golden_rows(client: Client, record: EnvelopeRecord, function: str) -> tuple[pa.Table, pa.Table]:
    """Golden inputs and what a function gave for them.

    Raises:
        InvalidInput: the envelope has none.
    """
    tables = []
    for name in (GOLDEN_INPUT, golden_file(function)):
        if name not in record.files:
            raise InvalidInput(
                f"Envelope {record.id} has no golden rows for {function!r}: it was saved "
                "without api_input."
            )
        path = client.artifacts.fetch(f"{record.id}/{name}", sha256=record.files[name].sha256)
        tables.append(derivation.from_ipc(path.read_bytes()))
    return tables[0], tables[1]


def verify(client: Client, envelope: Envelope) -> tuple[Reproducible, str]:
    """Predict the golden rows in a rebuilt environment: the outcome, and why it failed.

    Raises:
        InvalidInput: there are no golden rows.
        MissingDependency: uv is not installed.
    """
    record = envelope.record
    for name in record.functions:
        given, expected = golden_rows(client, record, name)
        try:
            found = client.predict_isolated(envelope, given, name)
        except (ArtifactError, EnvironmentNotBuildable, PredictionFailed, SchemaError) as error:
            return "failed", f"{name}: {error}"[:_REASON]
        problems = derivation.differences(expected, found)
        if problems:
            return "failed", f"{name}: {'; '.join(problems)}"[:_REASON]
    return "proved", ""
