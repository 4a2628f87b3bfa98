"""Output tables as JSON: those of a batch are turned into values once for all its requests."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import msgspec
import pyarrow as pa

from model_envelope.runtime import schemas
from model_envelope.runtime.spec import Signature
from model_envelope.serving.formats import wires

Values = list[list[Any]]
"""The values of each column, as they are encoded."""


class Answers:
    """Writes tables of one output signature."""

    def __init__(self, signature: Signature) -> None:
        self.schema = schemas.to_schema(signature)
        self.names: tuple[str, ...] = tuple(self.schema.names)
        self.wires = tuple(wires.wire_of(field) for field in self.schema)
        self._encode = msgspec.json.Encoder().encode

    def columns(self, table: pa.Table) -> Values:
        """The values of each column, as they are encoded."""
        return [
            wire.write(column) for wire, column in zip(self.wires, table.itercolumns(), strict=True)
        ]

    def rows(self, table: pa.Table) -> list[dict[str, Any]]:
        """One dict for each row."""
        return self.records(self.columns(table))

    def records(self, columns: Values) -> list[dict[str, Any]]:
        """The same of values that `columns` gave."""
        names = self.names
        if len(names) == 1:
            return [{names[0]: value} for value in columns[0]]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def encode(self, value: Any) -> bytes:
        """JSON; floats with as many digits as they need."""
        return self._encode(value)


class Output:
    """The predictions for a batch."""

    def __init__(self, answers: Answers, table: pa.Table) -> None:
        self.table = table
        self._answers = answers

    @cached_property
    def columns(self) -> Values:
        """The values of all rows."""
        return self._answers.columns(self.table)


class Part(msgspec.Struct, frozen=True):
    """The rows of an output that answer one request."""

    output: Output
    start: int
    stop: int

    def table(self) -> pa.Table:
        """As a table."""
        return self.output.table.slice(self.start, self.stop - self.start)

    def columns(self) -> Values:
        """As values."""
        return [column[self.start : self.stop] for column in self.output.columns]
