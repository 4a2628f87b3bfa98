"""Bodies of `/predict` and of the other functions' routes.

- `[{"a": 1}, …]`: records, answered by records;
- `{"a": 1}`: one record, answered by one;
- `{"columns": {"a": [1, …]}}`: columns, answered by columns. An object whose only member is
  `columns` is always this; a model whose only column is called so takes arrays of records.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa

from model_envelope.serving.formats.answers import Answers
from model_envelope.serving.formats.columns import Columns
from model_envelope.serving.formats.media import JSON
from model_envelope.serving.formats.response import Response
from model_envelope.serving.formats.rows import RowReader, decode

COLUMNS = "columns"

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])

Write = Callable[[pa.Table], Response]


def read(body: bytes, reader: RowReader, answers: Answers) -> tuple[Columns, Write]:
    """Rows, and how to answer them.

    Raises:
        BadRequest: it is no JSON, or does not fit.
    """
    if not body.lstrip(b" \t\r\n").startswith(b"{"):
        return reader.records(body), lambda table: _json(answers.encode(answers.rows(table)))
    members: Any
    try:
        members = _MEMBERS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        members = decode(body)
    if members.keys() == {COLUMNS}:
        found = members[COLUMNS]
        is_raw = isinstance(found, msgspec.Raw)
        columns = reader.columnar(found) if is_raw else reader.columnar_values(found)
        return columns, lambda table: _json(_columnar(answers, table))
    return reader.one(body), lambda table: _json(answers.encode(answers.rows(table)[0]))


def _columnar(answers: Answers, table: pa.Table) -> bytes:
    named = dict(zip(answers.names, answers.columns(table), strict=True))
    return answers.encode({COLUMNS: named})


def _json(body: bytes) -> Response:
    return Response(body, JSON)
