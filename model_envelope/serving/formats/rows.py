"""JSON rows and columns as `Columns`: typed decoding, and a careful reading where it fails.

The decoder of msgspec tells the first problem only. A body that it refuses is read again,
value by value, so that the answer can name every column and row that is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec.structs import astuple

from model_envelope.serving.formats import naming, nested
from model_envelope.serving.formats.columns import Cells, Columns, Layout
from model_envelope.serving.formats.refusals import BadRequest, Constant, Problems, excerpt
from model_envelope.serving.formats.wires import REFUSED, Values, array_of, tuple_of

_ORDERS = 32


class RowReader:
    """Reads JSON records, columns and positional rows of one layout."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        record: Any = dict[str, Any]
        columns: Any = dict[str, Any]
        self._typed = all(map(nested.can_be_named, layout.names))
        if self._typed:
            named = list(zip(layout.names, layout.forms, strict=True))
            record = nested.record_type("Record", named)
            columns = nested.record_type("Columns", [(n, array_of(form)) for n, form in named])
        self._one = msgspec.json.Decoder(record)
        self._many = msgspec.json.Decoder(array_of(record))
        self._columnar = msgspec.json.Decoder(columns)
        self._positional: dict[tuple[str, ...], msgspec.json.Decoder[list[Any]]] = {}

    def records(self, body: bytes | msgspec.Raw) -> Columns:
        """`[{…}, …]`.

        Raises:
            BadRequest: 400 it is no JSON, 422 a record does not fit.
        """
        if self._typed:
            try:
                rows = self._many.decode(body)
                return self._checked(_transposed(rows, len(self.layout.names)), len(rows))
            except _REFUSED_BY_DECODER:
                pass
        found = decode(body)
        if not isinstance(found, list):
            raise BadRequest("An array of records is expected.")
        return self.record_values(found)

    def one(self, body: bytes | msgspec.Raw) -> Columns:
        """`{…}`."""
        if self._typed:
            try:
                row = self._one.decode(body)
                return self._checked([(value,) for value in astuple(row)], 1)
            except _REFUSED_BY_DECODER:
                pass
        return self.record_values([decode(body)], single=True)

    def columnar(self, body: Any) -> Columns:
        """`{"a": […], …}`; decoded already, if it is no bytes."""
        if not isinstance(body, (bytes, msgspec.Raw)):
            return self.columnar_values(body)
        if self._typed:
            try:
                cells = astuple(self._columnar.decode(body))
                return self._checked(cells, self._height(cells))
            except _REFUSED_BY_DECODER:
                pass
        return self.columnar_values(decode(body))

    def columnar_values(self, found: Any) -> Columns:
        """Columns that are decoded already."""
        if not isinstance(found, dict):
            raise BadRequest("An object with an array for each column is expected.")
        naming.require([(found, None)], self.layout)
        problems = Problems()
        for name in self.layout.names:
            if not isinstance(found[name], list):
                problems.add(name, None, "an array", excerpt(found[name]))
        problems.raise_if_any()
        cells = tuple(found[name] for name in self.layout.names)
        return self._slow_cells(cells, self._height(cells))

    def positional(self, rows: Any, names: Sequence[str] | None = None) -> Columns:
        """Rows of values, for `names` or else for all columns in order."""
        if names is None:
            names = self.layout.names
        else:
            naming.require_once(names, self.layout)
        if isinstance(rows, msgspec.Raw):
            try:
                typed = self._decoder_of(names).decode(rows)
                return self._arranged(typed, names, self._checked)
            except _REFUSED_BY_DECODER:
                rows = decode(rows)
        if not isinstance(rows, list):
            raise BadRequest("An array of rows is expected.")
        problems = Problems()
        for i, row in enumerate(rows):
            if not isinstance(row, list) or len(row) != len(names):
                problems.add(None, i, f"an array of {len(names)} values", excerpt(row))
        problems.raise_if_any()
        return self._arranged(rows, names, self._slow_cells)

    def _arranged(
        self, rows: list[Any], names: Sequence[str], read: Callable[[list[Values], int], Columns]
    ) -> Columns:
        columns: list[Values] = list(zip(*rows, strict=True)) if rows else [()] * len(names)
        given = dict(zip(names, columns, strict=True))
        return read([given[name] for name in self.layout.names], len(rows))

    def _decoder_of(self, names: Sequence[str]) -> msgspec.json.Decoder[list[Any]]:
        """The decoder of rows in an order; clients keep to one, so few are kept."""
        order = tuple(names)
        found = self._positional.get(order)
        if found is None:
            forms = dict(zip(self.layout.names, self.layout.forms, strict=True))
            found = msgspec.json.Decoder(array_of(tuple_of([forms[name] for name in order])))
            if len(self._positional) == _ORDERS:
                self._positional.clear()
            self._positional[order] = found
        return found

    def _checked(self, cells: Sequence[Values], rows: int) -> Columns:
        """Convert now what could still be refused; leave the rest for the whole batch."""
        if self.layout.is_complete:
            return Columns(self.layout, tuple(cells), rows)
        ready: list[Cells] = []
        for i, wire in enumerate(self.layout.wires):
            try:
                ready.append(cells[i] if wire.complete else wire.read(cells[i]))
            except REFUSED as error:
                self._find_refused(i, cells[i])
                raise BadRequest(f"column {self.layout.names[i]!r}: {error}") from error
        return Columns(self.layout, tuple(ready), rows)

    def _find_refused(self, i: int, values: Values) -> None:
        problems, expected = Problems(), self.layout.expected(i)
        for row, value in enumerate(values):
            try:
                self.layout.wires[i].read([value])
            except REFUSED:
                problems.add(self.layout.names[i], row, expected, excerpt(value))
        problems.raise_if_any()

    def record_values(self, rows: list[Any], *, single: bool = False) -> Columns:
        """Records that are decoded already."""
        problems = Problems()
        for i, row in enumerate(rows):
            if not isinstance(row, dict):
                problems.add(None, None if single else i, "an object", excerpt(row))
        problems.raise_if_any()
        naming.require(((row, None if single else i) for i, row in enumerate(rows)), self.layout)
        cells = tuple([row[name] for row in rows] for name in self.layout.names)
        return self._slow_cells(cells, len(rows))

    def _slow_cells(self, cells: Sequence[Values], rows: int) -> Columns:
        problems = Problems()
        typed: list[list[Any]] = []
        for i, (name, form) in enumerate(zip(self.layout.names, self.layout.forms, strict=True)):
            column, expected = [], self.layout.expected(i)
            for row, value in enumerate(cells[i]):
                try:
                    column.append(msgspec.convert(whole(value), form))
                except (msgspec.ValidationError, ValueError, RecursionError):
                    problems.add(name, row, expected, excerpt(value))
            typed.append(column)
        problems.raise_if_any()
        return self._checked(typed, rows)

    def _height(self, cells: Sequence[Values]) -> int:
        heights = {len(column) for column in cells}
        if len(heights) > 1:
            told = ", ".join(
                f"{name!r} {len(column)}"
                for name, column in zip(self.layout.names, cells, strict=True)
            )
            raise BadRequest(f"All columns must have as many values; they have: {told}.")
        return heights.pop()


def decode(body: bytes | msgspec.Raw) -> Any:
    """JSON as plain values.

    NaN and Infinity are no JSON, but are read so that they can be shown where they are.

    Raises:
        BadRequest: 400, it is no JSON; says why.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _lenient(bytes(body), error)
    except RecursionError as error:
        raise BadRequest("The body is nested too deeply.", status=400) from error


def _lenient(body: bytes, error: Exception) -> Any:
    # Only what can be pointed at: `NaN`, and numbers that no double holds.
    if b"NaN" not in body and b"Infinity" not in body and "out of range" not in str(error):
        raise BadRequest(_no_json(body, error), status=400) from error
    try:
        found = json.loads(body.decode(), parse_constant=Constant, parse_float=_finite)
        # Half of a surrogate pair would break whatever shows it.
        json.dumps(found, ensure_ascii=False, default=str).encode()
    except (ValueError, RecursionError) as worse:
        raise BadRequest(_no_json(body, error), status=400) from worse
    return found


def _finite(text: str) -> Any:
    value = float(text)
    return value if value - value == 0 else Constant(text)


def whole(value: Any) -> Any:
    """A value with its floats without fraction as integers, which JSON does not tell apart.

    Zero keeps its sign, and what is beyond 2**53 stays a float: it may not be exact.
    """
    if isinstance(value, float) and value.is_integer() and 0 < abs(value) <= 2**53:
        return int(value)
    if isinstance(value, list):
        return [whole(element) for element in value]
    if isinstance(value, dict):
        return {name: whole(element) for name, element in value.items()}
    return int(value) if isinstance(value, float) and str(value) == "0.0" else value


def _no_json(body: bytes, error: Exception) -> str:
    marks = {b"\xef\xbb\xbf": "a byte order mark", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
    marks |= {b"\x1f\x8b": "gzip"}
    for mark, name in marks.items():
        if body.startswith(mark):
            return f"The body starts as {name} does. Send JSON as plain UTF-8."
    if not body.strip():
        return "The body is empty. Send JSON."
    return f"The body is no JSON: {error}."


def _transposed(rows: Sequence[msgspec.Struct], width: int) -> Sequence[Values]:
    return list(zip(*map(astuple, rows), strict=True)) if rows else [()] * width


# Recursion: typed decoding skips over unknown members without an end.
_REFUSED_BY_DECODER = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
