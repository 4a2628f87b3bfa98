"""A small table, kept with the model it describes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Self

from model_envelope.errors import InvalidInput
from model_envelope.metrics import checks, vega
from model_envelope.metrics.metric_type import MetricType

if TYPE_CHECKING:
    import pandas as pd

MAX_ROWS = 1_000
MAX_COLUMNS = 50
MAX_TEXT = 1_000

Cell = str | bool | int | float | None


@dataclass(frozen=True, repr=False)
class Table(MetricType):
    """Named columns of texts, numbers, booleans and nulls.

    Dates and times become ISO texts, NaN and NA become null.

    Attributes:
        columns: at most 50 names.
        cells: at most 1,000 rows of as many cells.
    """

    type: ClassVar[str] = "table"
    keys: ClassVar[tuple[str, ...]] = ("row", "column")
    columns: Sequence[str]
    cells: Sequence[Sequence[Cell]]

    def __post_init__(self) -> None:
        columns = checks.texts(self.columns, "columns")
        checks.same_length(columns=columns)
        checks.at_most(len(columns), MAX_COLUMNS, "columns", "Select those that matter.")
        lines = checks.listed(self.cells, "cells")
        checks.at_most(len(lines), MAX_ROWS, "rows", "Log frame.head(1000), or a summary.")
        cells = []
        for i, line in enumerate(
            checks.listed(line, f"cells[{i}]") for i, line in enumerate(lines)
        ):
            checks.same_length(**{"columns": columns, f"cells[{i}]": line})
            cells.append(
                tuple(
                    _cell(value, f"cells[{i}], column {column!r},")
                    for column, value in zip(columns, line, strict=True)
                )
            )
        self._normalise(columns=columns, cells=tuple(cells))

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> Self:
        """From a DataFrame's columns; use `reset_index()` to keep its index.

        Raises:
            InvalidInput: too large, or a cell holds something else.
        """
        if not hasattr(frame, "itertuples"):
            raise InvalidInput(f"from_frame takes a pandas DataFrame, not {type(frame).__name__}.")
        checks.at_most(len(frame), MAX_ROWS, "rows", "Log frame.head(1000), or a summary.")
        cells = frame.astype(object).itertuples(index=False, name=None)
        return cls(list(frame.columns), list(cells))

    def rows(self) -> list[dict[str, Any]]:
        """A row for each cell: `row`, `column`, `value`, `text`."""
        return [
            {"row": i, "column": column, "value": value, "text": _text(value)}
            for i, line in enumerate(self.cells)
            for column, value in zip(self.columns, line, strict=True)
        ]

    @classmethod
    def spec(cls, n_models: int) -> dict[str, Any]:
        """The texts of the cells; a table for each model."""
        cells = vega.chart(
            "Table",
            mark={"type": "text", "limit": 120},
            x=vega.nominal(
                "column", title=None, sort=None, axis={"orient": "top", "labelAngle": 0}
            ),
            y={"field": "row", "type": "ordinal", "title": None},
            text=vega.nominal("text"),
        )
        return vega.beside_each_other({**cells, "width": {"step": 125}}, n_models)

    def __repr__(self) -> str:
        return f"Table({len(self.cells)} rows, columns {', '.join(self.columns)})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        from model_envelope.metrics.charts import html_table

        lines = [dict(zip(self.columns, line, strict=True)) for line in self.cells]
        return {"text/html": html_table(lines, MAX_ROWS), "text/plain": repr(self)}


def _line(line: Sequence[Any], what: str, columns: tuple[str, ...]) -> tuple[Cell, ...]:
    values = checks.listed(line, what)
    checks.same_length(**{"columns": columns, what: values})
    return tuple(
        _cell(value, f"{what}, column {column!r},")
        for column, value in zip(columns, values, strict=True)
    )


def _cell(value: Any, what: str) -> Cell:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if checks.missing(value):
        return None
    if isinstance(value, date):
        value = value.isoformat()
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise InvalidInput(f"{what} holds {len(value)} characters; at most {MAX_TEXT} are kept.")
    if isinstance(value, str) and checks.is_unicode(value):
        return value
    if isinstance(value, bool | int) and -(2**63) <= value < 2**63:
        return value
    if isinstance(value, int | float | Decimal) and math.isfinite(value):
        return float(value)
    raise InvalidInput(
        f"{what} holds {type(value).__name__} {value!r:.60}: a text, a finite number, a boolean, "
        "a date or null is expected."
    )


def _text(value: Cell) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
