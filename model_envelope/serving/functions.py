"""Query functions as a service has them: requests in, responses out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from model_envelope.runtime.calling import Predictor
from model_envelope.runtime.loading import open_model
from model_envelope.serving.formats import Codec, Request, Response
from model_envelope.serving.plan import ServicePlan


class Function:
    """A loaded query function and the formats it speaks."""

    def __init__(
        self, predictor: Predictor, *, version: str = "", max_rows: int | None = None
    ) -> None:
        self.spec = predictor.spec
        self.name = predictor.spec.name
        self.codec = Codec(predictor.spec, version=version, max_rows=max_rows)
        self._predictor = predictor

    def predict(self, requests: Sequence[Request]) -> pa.Table:
        """The predictions for all rows of some requests, in order.

        Raises:
            SchemaError: a request does not fit the input signature.
            PredictionFailed: the model raised.
        """
        parts = [request.columns for request in requests]
        return self.codec.predict(self._predictor, parts)

    def respond(self, requests: Sequence[Request], output: pa.Table) -> list[Response]:
        """The answer to each request, from the predictions for all of them."""
        return self.codec.respond(requests, output)


def load(plan: ServicePlan) -> dict[str, Function]:
    """Every function of a plan that can be given tables, by name; `predict` first.

    Raises:
        ArtifactMissing: a file is not there.
        ArtifactCorrupted: a digest differs. Nothing was unpickled.
        PredictionFailed: the model cannot be loaded in this environment.
    """
    directory, scratch = Path(plan.directory), Path(plan.scratch)
    loaded = [open_model(directory, function, scratch=scratch) for function in plan.functions]
    return {
        predictor.spec.name: Function(
            predictor, version=plan.envelope_id, max_rows=plan.limits.queue_rows
        )
        for predictor in loaded
        if predictor.spec.input is not None
    }
