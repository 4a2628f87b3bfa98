"""Output tables as JSON."""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow as pa

from model_envelope.runtime import schemas
from model_envelope.runtime.spec import Signature
from model_envelope.serving.formats import wires


class Answers:
    """Writes tables of one output signature."""

    def __init__(self, signature: Signature) -> None:
        self.schema = schemas.to_schema(signature)
        self.names: tuple[str, ...] = tuple(self.schema.names)
        self.wires = tuple(wires.wire_of(field) for field in self.schema)
        self._encode = msgspec.json.Encoder().encode

    def columns(self, table: pa.Table) -> list[list[Any]]:
        """The values of each column, as they are encoded."""
        return [
            wire.write(column) for wire, column in zip(self.wires, table.itercolumns(), strict=True)
        ]

    def rows(self, table: pa.Table) -> list[dict[str, Any]]:
        """One dict for each row."""
        names, columns = self.names, self.columns(table)
        if len(names) == 1:
            return [{names[0]: value} for value in columns[0]]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def encode(self, value: Any) -> bytes:
        """JSON; floats with as many digits as they need."""
        return self._encode(value)
