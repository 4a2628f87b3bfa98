"""One function's codec: bodies in, answers out, in every dialect that a service speaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import msgspec
import pyarrow as pa

from model_envelope.errors import SchemaError
from model_envelope.runtime.calling import Predictor
from model_envelope.runtime.spec import FunctionSpec
from model_envelope.serving.formats import direct, mlflow, native, tables
from model_envelope.serving.formats.answers import Answers, Output, Part
from model_envelope.serving.formats.columns import Columns, Layout
from model_envelope.serving.formats.media import ARROW, CSV, JSON, media_of, preferred
from model_envelope.serving.formats.native import Encode
from model_envelope.serving.formats.refusals import BadRequest
from model_envelope.serving.formats.response import Response
from model_envelope.serving.formats.rows import RowReader
from model_envelope.serving.formats.v2 import V2

Dialect = Literal["native", "mlflow", "v2"]
"""Which protocol a route speaks."""


class Request(msgspec.Struct, frozen=True):
    """A body that fits the function.

    Attributes:
        columns: its rows.
        rows: how many.
        write: makes the answer from the output for just these rows.
    """

    columns: Columns
    rows: int
    write: Callable[[Part], Response]

    def table(self) -> pa.Table:
        """The rows as a table of the input signature's schema."""
        return self.columns.table()


class Codec:
    """Reads requests for one query function and writes their answers.

    Made once; may be used by many threads.

    Args:
        spec: the function. SchemaError if it was saved without a sample.
        model: the name in the answers of the Open Inference Protocol.
        version: the same of its version.
        max_rows: more rows are refused before Arrow unpacks them.
    """

    def __init__(
        self,
        spec: FunctionSpec,
        *,
        model: str = "",
        version: str = "",
        max_rows: int | None = None,
    ) -> None:
        if spec.input is None or spec.output is None:
            raise SchemaError(
                f"{spec.name!r} was saved without api_input: it cannot be served. Save it again "
                "with a sample of its input."
            )
        self.spec = spec
        self.layout = Layout(spec.input)
        self.answers = Answers(spec.output)
        self.v2 = V2(spec, self.layout, self.answers, model=model, version=version)
        self._max_rows = max_rows
        self._can_be_csv = tables.can_be_csv(self.answers.schema)
        self._reader = RowReader(self.layout)
        self.predictions = mlflow.Predictions(spec)
        self._build = direct.builder(spec, self.layout)
        self._writers = {JSON: self._write_json, ARROW: self._write_arrow, CSV: self._write_csv}

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
        if dialect == "v2":
            # Its most used client does not say what it sends.
            return self._read_v2(body, media_of(media_type or JSON), header_length)
        media = media_of(media_type)
        if media == JSON:
            return self._read_json(body, dialect, accept)
        if media == ARROW:
            columns = tables.read_arrow(body, self.layout, self._max_rows)
            return self._request(columns, native.records, accept, media)
        if media == CSV:
            columns = tables.read_csv(body, self.layout)
            if dialect == "mlflow":
                return self._request(columns, self.predictions.encode, accept, JSON)
            return self._request(columns, native.records, accept, media)
        raise BadRequest(f"{media} is not taken here, but {JSON}, {ARROW} and {CSV}.", status=415)

    def _read_json(self, body: bytes, dialect: Dialect, accept: str) -> Request:
        if dialect == "mlflow":
            columns = mlflow.read(body, self._reader)
            return self._request(columns, self.predictions.encode, accept, JSON)
        columns, encode = native.read(body, self._reader)
        return self._request(columns, encode, accept, JSON)

    def _read_v2(self, body: bytes, media: str, header_length: int | None) -> Request:
        columns, write = self.v2.read(body, media, header_length)
        return Request(columns, columns.rows, write)

    def _request(self, columns: Columns, encode: Encode, accept: str, default: str) -> Request:
        media = preferred(accept, default)
        write = self._writers[media]
        return Request(columns, columns.rows, partial(write, encode))

    def _write_json(self, encode: Encode, part: Part) -> Response:
        return Response(encode(self.answers, part.columns()), JSON)

    def _write_arrow(self, _: Encode, part: Part) -> Response:
        return Response(tables.write_arrow(part.table()), ARROW)

    def _write_csv(self, encode: Encode, part: Part) -> Response:
        if not self._can_be_csv:
            return self._write_json(encode, part)
        return Response(tables.write_csv(part.table()), CSV)

    def predict(self, predictor: Predictor, parts: Sequence[Columns]) -> pa.Table:
        """Predict the rows of one or many requests at once.

        Returns:
            As many rows, in order.

        Raises:
            SchemaError: the rows do not fit after all.
            PredictionFailed: the model raised.
        """
        columns = Columns.concat(parts)
        data = self._build(columns) if columns.rows else None
        if data is None:
            return predictor.predict(columns.table())
        return predictor.predict_prepared(data, columns.rows)

    def respond(self, requests: Sequence[Request], table: pa.Table) -> list[Response]:
        """The answer to each request, from the predictions for the rows of all of them."""
        output, responses, start = Output(self.answers, table), [], 0
        for request in requests:
            stop = start + request.rows
            responses.append(request.write(Part(output, start, stop)))
            start = stop
        return responses
