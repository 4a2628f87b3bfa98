"""The Open Inference Protocol, version 2: tensors in, tensors out.

One input tensor for each column, named as it is, of shape `[n]` or `[n, 1]`; or one tensor of
shape `[n, columns]` for all, if they are numbers, under any other name. Text and whatever
has no number type (times, decimals, structs) is `BYTES`, written as in JSON. Missing numbers
are null in JSON and NaN in binary. The binary tensor data extension is spoken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
import pyarrow as pa

from model_envelope.runtime.spec import FunctionSpec
from model_envelope.serving.formats import tables, tensors
from model_envelope.serving.formats.answers import Answers, Part
from model_envelope.serving.formats.columns import Columns, Layout
from model_envelope.serving.formats.media import BINARY, JSON
from model_envelope.serving.formats.refusals import (
    BadRequest,
    Problems,
    problem,
    shortened,
    unfit,
)
from model_envelope.serving.formats.response import Response
from model_envelope.serving.formats.rows import decode
from model_envelope.serving.formats.tensors import BINARY_SIZE, BYTES, Tensor

HEADER_LENGTH = "Inference-Header-Content-Length"
"""The header with the length of the JSON part of a body that goes on in binary."""

EXTENSIONS = ("binary_tensor_data",)
MATRIX = "x"
"""The name of one tensor for all columns."""

_Length = Annotated[int, msgspec.Meta(ge=0)]


class InputTensor(msgspec.Struct):
    """A tensor of a request. Its elements are in `data`, or binary behind the JSON."""

    name: str
    shape: Annotated[list[_Length], msgspec.Meta(min_length=1, max_length=8)]
    datatype: str
    parameters: dict[str, Any] = {}
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class OutputWanted(msgspec.Struct):
    """A tensor that the answer is to have."""

    name: str
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct):
    """The JSON part of a request."""

    inputs: Annotated[list[InputTensor], msgspec.Meta(min_length=1)]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[OutputWanted] = []


_DECODER = msgspec.json.Decoder(InferRequest)


class V2:
    """The protocol for one function."""

    def __init__(
        self, spec: FunctionSpec, layout: Layout, answers: Answers, *, model: str, version: str
    ) -> None:
        self.model = model or spec.name
        self.version = version
        self._layout = layout
        self._answers = answers
        self._prefers_matrix = spec.input_kind == "ndarray" and len(layout.names) > 1
        types = layout.schema.types
        self._takes_matrix = not any(
            tensors.datatype_of(type_) == BYTES or tensors.holds_numbers(type_) for type_ in types
        )

    def metadata(self) -> dict[str, Any]:
        """The document of `GET /v2/models/{name}`."""
        schema = self._layout.schema
        given = [tensors.described(field) for field in schema]
        if self._prefers_matrix and self._takes_matrix:
            given = [given[0] | {"name": MATRIX, "shape": [-1, len(schema)]}]
        return {
            "name": self.model,
            "versions": [self.version] if self.version else [],
            "platform": "model-envelope",
            "inputs": given,
            "outputs": [tensors.described(field) for field in self._answers.schema],
        }

    def question(self, table: pa.Table) -> dict[str, Any]:
        """A request for the rows of a table, in JSON."""
        columns = [
            tensors.to_json(name, column, wire, data=True)
            for name, column, wire in zip(
                self._layout.names, table.columns, self._layout.wires, strict=True
            )
        ]
        (*_, described) = self.metadata()["inputs"]
        if described["name"] == MATRIX and len(columns) > 1:
            data = [list(row) for row in zip(*(column["data"] for column in columns), strict=True)]
            columns = [described | {"shape": [len(data), len(columns)], "data": data}]
        return {"inputs": columns}

    def read(
        self, body: bytes, media: str, header_length: int | None
    ) -> tuple[Columns, Callable[[Part], Response]]:
        """Rows, and how to answer them.

        Raises:
            BadRequest: 400 it is no request of the protocol, 415 of another media type, 422
                its tensors do not fit.
        """
        if media not in (JSON, BINARY):
            raise BadRequest(f"{media} is not taken here, but {JSON} or {BINARY}.", status=415)
        length = len(body) if header_length is None else header_length
        if not 0 <= length <= len(body):
            raise BadRequest(
                f"{HEADER_LENGTH} is {length}, but the body has {len(body)} bytes.", status=400
            )
        request = _decoded(body[:length])
        self._check_outputs(request.outputs)
        found = self._columns(_tensors(request.inputs, body[length:]))
        return found, lambda part: self._write(part.table(), request)

    def _columns(self, found: Sequence[Tensor]) -> Columns:
        layout = self._layout
        if len(found) == 1 and self._is_matrix(found[0]):
            found = _unstacked(found[0], layout.names)
        rows = {tensor.shape[0] for tensor in found}
        if len(rows) > 1:
            raise BadRequest(f"All tensors must have as many rows; they have {sorted(rows)}.")
        at = {name: i for i, name in enumerate(layout.names)}
        problems = Problems()
        for tensor in found:
            if tensor.name not in at:
                problems.add(tensor.name, None, "an input of the model", "no such one")
        problems.raise_if_any()
        arrays = [self._column(tensor, at[tensor.name]) for tensor in found]
        names = [tensor.name for tensor in found]
        return tables.fitted(pa.Table.from_arrays(arrays, names=names), layout)

    def _column(self, tensor: Tensor, i: int) -> pa.Array:
        layout = self._layout
        return tensors.to_column(
            tensor, layout.schema.field(i).type, layout.wires[i], layout.expected(i)
        )

    def _is_matrix(self, tensor: Tensor) -> bool:
        names = self._layout.names
        fits = len(tensor.shape) == 2 and tensor.shape[1] == len(names)
        return self._takes_matrix and fits and tensor.name not in names

    def _check_outputs(self, wanted: Sequence[OutputWanted]) -> None:
        for output in wanted:
            if output.name not in self._answers.names:
                told = ", ".join(self._answers.names)
                raise BadRequest(f"There is no output {shortened(output.name)!r}, but {told}.")

    def _write(self, table: pa.Table, request: InferRequest) -> Response:
        binary = request.parameters.get("binary_data_output") is True
        wanted = request.outputs or [OutputWanted(name) for name in self._answers.names]
        outputs, tail = [], []
        for output in wanted:
            i = self._answers.names.index(output.name)
            column, wire = table.column(i), self._answers.wires[i]
            in_binary = output.parameters.get("binary_data", binary) is True
            body = tensors.to_bytes(column, wire) if in_binary else None
            told = tensors.to_json(output.name, column, wire, data=body is None)
            if body is not None:
                told["parameters"] = {BINARY_SIZE: len(body)}
                tail.append(body)
            outputs.append(told)
        answer = {"model_name": self.model, "outputs": outputs}
        answer |= {"model_version": self.version} if self.version else {}
        answer |= {"id": request.id} if request.id else {}
        head = self._answers.encode(answer)
        if not tail:
            return Response(head, JSON)
        headers = ((HEADER_LENGTH, str(len(head))),)
        return Response(b"".join((head, *tail)), BINARY, headers=headers)


def server_metadata(version: str) -> dict[str, Any]:
    """The document of `GET /v2`."""
    return {"name": "model-envelope", "version": version, "extensions": list(EXTENSIONS)}


def _decoded(head: bytes) -> InferRequest:
    try:
        return _DECODER.decode(head)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The body is no inference request: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        decode(head)
        raise BadRequest("NaN is no JSON: write null.") from error


def _tensors(given: Sequence[InputTensor], tail: bytes) -> list[Tensor]:
    found, at = [], 0
    for tensor in given:
        size = tensor.parameters.get(BINARY_SIZE)
        arguments = (tensor.name, tensor.datatype, tensor.shape)
        if size is None and tensor.data is not msgspec.UNSET:
            found.append(tensors.from_json(*arguments, tensor.data))
            continue
        if not isinstance(size, int) or not 0 <= size <= len(tail) - at:
            expected = f"`data`, or a {BINARY_SIZE} within the body"
            raise unfit([problem(tensor.name, None, expected, "neither")])
        found.append(tensors.from_bytes(*arguments, tail[at : at + size]))
        at += size
    if at != len(tail):
        raise BadRequest(f"{len(tail) - at} bytes behind the tensors belong to none.", status=400)
    if len({tensor.name for tensor in found}) < len(found):
        raise BadRequest("Two tensors have one name.")
    return found


def _unstacked(tensor: Tensor, names: Sequence[str]) -> list[Tensor]:
    """The columns of a matrix."""
    rows, width = tensor.shape
    places = [pa.array(range(i, rows * width, width), pa.int64()) for i in range(width)]
    return [
        Tensor(name, tensor.datatype, [rows], tensor.values.take(place))
        for name, place in zip(names, places, strict=True)
    ]
