"""Proof that an envelope's environment can be rebuilt and gives the same answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model_envelope import derivation
from model_envelope.envelope import Reproducible
from model_envelope.errors import (
    ArtifactError,
    EnvironmentNotBuildable,
    PredictionFailed,
    SchemaError,
)
from model_envelope.golden import golden_rows

if TYPE_CHECKING:
    from model_envelope.client.client import Client
    from model_envelope.client.envelope import Envelope

_REASON = 2_000


def verify(client: Client, envelope: Envelope) -> tuple[Reproducible, str]:
    """Predict the golden rows in a rebuilt environment: the outcome, and why it failed.

    Raises:
        InvalidInput: there are no golden rows.
        MissingDependency: uv is not installed.
    """
    record = envelope.record
    for name in record.functions:
        given, expected = golden_rows(client.artifacts, record, name)
        try:
            found = client.predict_isolated(envelope, given, name)
        except (ArtifactError, EnvironmentNotBuildable, PredictionFailed, SchemaError) as error:
            return "failed", f"{name}: {error}"[:_REASON]
        problems = derivation.differences(expected, found)
        if problems:
            return "failed", f"{name}: {'; '.join(problems)}"[:_REASON]
    return "proved", ""
