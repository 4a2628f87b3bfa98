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

from model_envelope.serving.formats.answers import Answers, Values
from model_envelope.serving.formats.columns import Columns
from model_envelope.serving.formats.rows import RowReader, decode

COLUMNS = "columns"

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])

Encode = Callable[[Answers, Values], bytes]


def read(body: bytes, reader: RowReader) -> tuple[Columns, Encode]:
    """Rows, and how to answer them in JSON.

    Raises:
        BadRequest: it is no JSON, or does not fit.
    """
    if not body.lstrip(b" \t\r\n").startswith(b"{"):
        return reader.records(body), records
    found = members(body)
    if found.keys() == {COLUMNS}:
        return reader.columnar(found[COLUMNS]), _columnar
    return reader.one(body), _one


def members(body: bytes) -> dict[str, Any]:
    """The members of an object: not yet decoded, or decoded where NaN is to be shown.

    Raises:
        BadRequest: 400 it is no JSON.
    """
    try:
        return _MEMBERS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found: dict[str, Any] = decode(body)
        return found


def records(answers: Answers, columns: Values) -> bytes:
    """Records in an array."""
    return answers.encode(answers.records(columns))


def _one(answers: Answers, columns: Values) -> bytes:
    return answers.encode(answers.records(columns)[0])


def _columnar(answers: Answers, columns: Values) -> bytes:
    named = dict(zip(answers.names, columns, strict=True))
    return answers.encode({COLUMNS: named})
