"""One function's codec: bodies in, answers out, in every dialect that a service speaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from model_envelope.errors import SchemaError
from model_envelope.runtime.calling import Predictor
from model_envelope.runtime.spec import FunctionSpec
from model_envelope.serving.formats import native
from model_envelope.serving.formats.answers import Answers
from model_envelope.serving.formats.columns import Columns, Layout
from model_envelope.serving.formats.media import JSON, media_of
from model_envelope.serving.formats.refusals import BadRequest
from model_envelope.serving.formats.response import Response
from model_envelope.serving.formats.rows import RowReader

Dialect = Literal["native", "mlflow", "v2"]
"""Which protocol a route speaks."""


@dataclass(frozen=True, slots=True)
class Request:
    """A body that fits the function.

    Attributes:
        columns: its rows.
        rows: how many.
        write: makes the answer from the output table of just these rows.
    """

    columns: Columns
    rows: int
    write: Callable[[pa.Table], Response]

    def table(self) -> pa.Table:
        """The rows as a table of the input signature's schema."""
        return self.columns.table()


class Codec:
    """Reads requests for one query function and writes their answers.

    Made once; may be used by many threads.
    """

    def __init__(self, spec: FunctionSpec) -> None:
        if spec.input is None or spec.output is None:
            raise SchemaError(
                f"{spec.name!r} was saved without api_input: it cannot be served. Save it again "
                "with a sample of its input."
            )
        self.spec = spec
        self.layout = Layout(spec.input)
        self.answers = Answers(spec.output)
        self._reader = RowReader(self.layout)

    def read(
        self,
        body: bytes,
        media_type: str,
        dialect: Dialect,
        *,
        accept: str = "",
        header_length: int | None = None,
    ) -> Request:
        """Read a body.

        Args:
            body: as it came.
            media_type: the header `Content-Type`.
            dialect: of the route.
            accept: the header `Accept`.
            header_length: the header `Inference-Header-Content-Length` of the Open
                Inference Protocol's binary extension.

        Raises:
            BadRequest: it cannot be predicted; says what is wrong where.
        """
        media = media_of(media_type)
        if media != JSON:
            raise BadRequest(f"{media!r} is not taken here.", status=415)
        columns, write = native.read(body, self._reader, self.answers)
        return Request(columns, columns.rows, write)

    def predict(self, predictor: Predictor, parts: Sequence[Columns]) -> pa.Table:
        """Predict the rows of one or many requests at once.

        Returns:
            As many rows, in order: slice it for each request's `write`.

        Raises:
            SchemaError: the rows do not fit after all.
            PredictionFailed: the model raised.
        """
        return predictor.predict(Columns.concat(parts).table())
