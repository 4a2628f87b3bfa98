"""Golden rows as a client sends them, and what is wrong with the answers."""

from __future__ import annotations

import msgspec
import pyarrow as pa

from model_envelope import derivation
from model_envelope.deployment.probing import ARROW, Answer
from model_envelope.errors import InvalidInput
from model_envelope.golden import golden_rows, has_golden_rows
from model_envelope.runtime.spec import FunctionSpec
from model_envelope.serving.formats.answers import Answers
from model_envelope.serving.formats.columns import Layout
from model_envelope.serving.formats.refusals import BadRequest
from model_envelope.serving.formats.rows import RowReader

__all__ = ["golden_rows", "has_golden_rows", "problem", "written"]


def written(table: pa.Table, spec: FunctionSpec, media: str) -> bytes:
    """The rows as a client would send them."""
    if media == ARROW:
        return derivation.to_ipc(table)
    if spec.input is None:
        raise InvalidInput(f"{spec.name!r} was saved without api_input.")
    return msgspec.json.encode(Answers(spec.input).rows(table))


def problem(answer: Answer, spec: FunctionSpec, expected: pa.Table, media: str) -> str:
    """What is wrong with an answer; nothing where it is what was saved."""
    if answer.status != 200:
        return f"it answered {answer.status}: {answer.text}"
    try:
        found = _read(answer.body, spec, media)
    except (BadRequest, pa.ArrowException, ValueError) as error:
        return f"its answer cannot be read: {error}"
    if found.column_names != expected.column_names or found.num_rows != expected.num_rows:
        return (
            f"it gave {found.num_rows} rows of {found.column_names}, but {expected.num_rows} of "
            f"{expected.column_names} were saved"
        )
    return "; ".join(derivation.differences(expected, found))


def _read(body: bytes, spec: FunctionSpec, media: str) -> pa.Table:
    if media == ARROW:
        return derivation.from_ipc(body)
    if spec.output is None:
        raise InvalidInput(f"{spec.name!r} was saved without api_input.")
    return RowReader(Layout(spec.output)).records(body).table()
