"""Bodies of `/invocations`, as clients of MLflow's scoring server send them.

An object with one of `dataframe_split`, `dataframe_records`, `inputs` or `instances`,
answered by `{"predictions": …}`. Arrays of arrays, or of scalars where there is one column,
are taken by position.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import msgspec

from model_envelope.runtime.spec import FunctionSpec
from model_envelope.serving.formats import native
from model_envelope.serving.formats.answers import Answers, Values
from model_envelope.serving.formats.columns import Columns
from model_envelope.serving.formats.refusals import BadRequest, excerpt, shortened
from model_envelope.serving.formats.rows import RowReader, decode

FORMS = ("dataframe_split", "dataframe_records", "inputs", "instances")

_PARAMETERS = "params"


def read(body: bytes, reader: RowReader) -> Columns:
    """Rows.

    Raises:
        BadRequest: it is no JSON, has none of the forms or several, or does not fit.
    """
    if not body.lstrip(b" \t\r\n").startswith(b"{"):
        decode(body)
        raise BadRequest(f"An object with one of {_list(FORMS)} is expected.")
    found = native.members(body)
    given = [form for form in FORMS if form in found]
    unknown = [name for name in found if name not in (*FORMS, _PARAMETERS)]
    if len(given) != 1 or unknown:
        raise BadRequest(
            f"An object with one of {_list(FORMS)} is expected, but it has {_list(found)}."
        )
    if _PARAMETERS in found and _plain(found[_PARAMETERS]):
        raise BadRequest("This model takes no `params`.")
    content = found[given[0]]
    if given[0] == "dataframe_split":
        return _split(content, reader)
    return _free(content, reader)


class Predictions:
    """How MLflow writes what this function gives.

    `form` is `values` of the only column, `rows` of several, or `records` of named ones.
    """

    def __init__(self, spec: FunctionSpec) -> None:
        columns = spec.output.columns if spec.output else ()
        named = spec.output_kind in ("frame", "dict", "records")
        self.form = "records" if named else "values" if len(columns) == 1 else "rows"

    def encode(self, answers: Answers, columns: Values) -> bytes:
        """`{"predictions": [...]}`: values, arrays of them, or records."""
        found: Any
        if self.form == "records":
            found = answers.records(columns)
        elif self.form == "values":
            found = columns[0]
        else:
            found = list(zip(*columns, strict=True))
        return answers.encode({"predictions": found})


def _split(content: Any, reader: RowReader) -> Columns:
    found: Any = native.members(content) if isinstance(content, msgspec.Raw) else content
    known = isinstance(found, dict) and {"data"} <= found.keys() <= {"columns", "index", "data"}
    if not known:
        raise BadRequest("dataframe_split must have `columns` and `data` (and may have `index`).")
    names = _plain(found.get("columns", []))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadRequest(f"`columns` must be an array of strings, not {excerpt(names)}.")
    return reader.positional(found["data"], names if "columns" in found else None)


def _free(content: Any, reader: RowReader) -> Columns:
    start = b""
    if isinstance(content, msgspec.Raw):
        start = bytes(memoryview(content)[:64]).translate(None, b" \t\r\n")[:2]
        if start.startswith(b"{"):
            return reader.columnar(content)
        if start in (b"[{", b"[]"):
            return reader.records(content)
    if len(reader.layout.names) > 1 and start.startswith(b"[["):
        return reader.positional(content)
    found = _plain(content)
    if isinstance(found, dict):
        return reader.columnar_values(found)
    if isinstance(found, list) and found and all(isinstance(row, dict) for row in found):
        return reader.record_values(found)
    if isinstance(found, list) and len(reader.layout.names) == 1:
        found = [row if isinstance(row, list) and len(row) == 1 else [row] for row in found]
    return reader.positional(found)


def _plain(content: Any) -> Any:
    return decode(content) if isinstance(content, msgspec.Raw) else content


def _list(names: Iterable[str]) -> str:
    first = list(itertools.islice(names, 9))
    told = ", ".join(f"`{shortened(name)}`" for name in first[:8])
    return f"{told}, …" if len(first) > 8 else told or "none"
