"""How a query function is called and what it takes and gives: plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

InputKind = Literal["frame", "series", "ndarray", "dict", "records"]
"""What the callable receives: a pandas DataFrame or Series, a numpy array, one dict of
scalars, or a list of dicts."""

OutputKind = Literal["scalar", "series", "frame", "ndarray", "list", "dict", "records"]
"""What the callable returned for the sample."""

Rows = Literal["many", "single"]
"""Whether one call takes many rows, or exactly one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column. `type` is Arrow's name for the type, e.g. `timestamp[us, tz=UTC]`."""

    name: str
    type: str
    nullable: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """Columns of an input or output table, in order.

    `arrow` is the Arrow schema in IPC form, base64: exact types, and the pandas
    metadata that restores nullable, categorical and zoned dtypes.
    """

    columns: tuple[Column, ...]
    arrow: str

    @property
    def names(self) -> tuple[str, ...]:
        """The column names, in order."""
        return tuple(column.name for column in self.columns)


@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionSpec:
    """One query function of an envelope.

    `row_independent` says whether the answer for a row was the same alone and
    among others on the golden rows; None where that could not be tried.
    """

    name: str
    file: str
    doc: str = ""
    input_kind: InputKind = "frame"
    output_kind: OutputKind = "series"
    rows: Rows = "many"
    row_independent: bool | None = None
    input: Signature | None = None
    output: Signature | None = None

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> FunctionSpec:
        """Read what `msgspec.to_builtins` or `dataclasses.asdict` wrote."""
        return cls(
            **{**body, "input": _signature(body["input"]), "output": _signature(body["output"])}
        )


def _signature(body: dict[str, Any] | None) -> Signature | None:
    if body is None:
        return None
    return Signature(columns=tuple(Column(**c) for c in body["columns"]), arrow=body["arrow"])
