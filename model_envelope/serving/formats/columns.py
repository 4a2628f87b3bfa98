"""The rows of one or many requests, by column."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec
import pyarrow as pa

from model_envelope.runtime import schemas
from model_envelope.runtime.spec import Signature
from model_envelope.serving.formats import wires
from model_envelope.serving.formats.wires import Wire

Cells = Any
"""One column: `Values` that need no more checks, or an Arrow array, chunked or not."""

_VALUES = frozenset((list, tuple))


class Layout:
    """The columns that a function takes: schema and wires, worked out once."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.schema = schemas.to_schema(signature)
        self.names: tuple[str, ...] = tuple(self.schema.names)
        self.nullable: tuple[bool, ...] = tuple(field.nullable for field in self.schema)
        self.wires: tuple[Wire, ...] = tuple(wires.wire_of(field) for field in self.schema)
        self.is_complete = all(wire.complete for wire in self.wires)
        """Whether decoding leaves nothing to refuse."""
        self.forms: tuple[Any, ...] = tuple(
            wire.form | None if nullable else wire.form
            for wire, nullable in zip(self.wires, self.nullable, strict=True)
        )

    def expected(self, i: int) -> str:
        """What column `i` takes, in words."""
        return self.wires[i].expected + (" or null" if self.nullable[i] else "")


class Columns(msgspec.Struct, frozen=True):
    """Rows that fit a layout. Arrow arrays are made as late as can be: once a batch."""

    layout: Layout
    cells: tuple[Cells, ...]
    rows: int

    @classmethod
    def concat(cls, parts: Sequence[Columns]) -> Columns:
        """The rows of all parts, in order. There must be at least one part."""
        if len(parts) == 1:
            return parts[0]
        layout = parts[0].layout
        columns = zip(*[part.cells for part in parts], strict=True)
        cells = tuple(map(_joined, columns, layout.wires))
        return cls(layout, cells, sum([part.rows for part in parts]))

    def table(self) -> pa.Table:
        """The rows as a table of the input signature's schema."""
        layout = self.layout
        arrays = [
            cells if isinstance(cells, (pa.Array, pa.ChunkedArray)) else wire.read(cells)
            for cells, wire in zip(self.cells, layout.wires, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=layout.schema)


def _joined(parts: tuple[Cells, ...], wire: Wire) -> Cells:
    if _VALUES.issuperset(map(type, parts)):
        return list(chain.from_iterable(parts))
    chunks: list[pa.Array] = []
    for part in parts:
        if isinstance(part, pa.ChunkedArray):
            chunks += part.chunks
        else:
            chunks.append(part if isinstance(part, pa.Array) else wire.read(part))
    return pa.chunked_array(chunks)
