"""From cells to what a function takes, past Arrow: for one row the way costs more than the model.

What comes out equals `inputs.from_table` of the same rows, to the dtype and the layout in
memory. Columns that are not known to come out alike go by Arrow.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa

from model_envelope.runtime import inputs
from model_envelope.runtime.spec import FunctionSpec
from model_envelope.serving.formats.columns import Cells, Columns, Layout

Build = Callable[[Columns], Any]
"""Makes a function's input; gives None where the rows must go by Arrow."""

_ARROW = (pa.Array, pa.ChunkedArray)


def builder(spec: FunctionSpec, layout: Layout) -> Build:
    """The direct way to a function's input, as far as there is one."""
    if spec.rows != "many" or spec.input_kind in ("dict", "records"):
        return _by_arrow
    if spec.input_kind == "ndarray":
        return _for_array(layout)
    build = _for_frame(layout)
    if spec.input_kind == "frame":
        return build
    return lambda columns: None if (frame := build(columns)) is None else frame.iloc[:, 0]


def _by_arrow(_: Columns) -> None:
    return None


def _for_array(layout: Layout) -> Build:
    if not all(map(_is_plain, layout.schema)) or _mixed(layout.schema):
        return _by_arrow
    template = inputs.from_table(layout.schema.empty_table(), "ndarray")
    if template.ndim == 1:
        return lambda columns: _block(template.dtype, columns.cells)[0]
    return lambda columns: _block(template.dtype, columns.cells).T


def _for_frame(layout: Layout) -> Build:
    import pandas as pd

    template = inputs.from_table(layout.schema.empty_table(), "frame")
    names = template.columns
    if all(map(_is_plain, layout.schema)) and not _mixed(layout.schema):
        dtype = template.dtypes.iloc[0]

        def one_block(columns: Columns) -> Any:
            # Views of the names, because whoever gets a frame may name its index.
            block = _block(dtype, columns.cells)
            return pd.DataFrame(block.T, columns=names.view(), copy=False)

        return one_block
    try:
        from pandas.api.internals import (  # type: ignore[import-not-found]
            create_dataframe_from_blocks,
        )
    except ImportError:  # pandas before 3
        return _by_arrow
    parts = _parts(layout, template)
    if parts is None:
        return _by_arrow

    def several_blocks(columns: Columns) -> Any:
        blocks = []
        for places, make in parts:
            values = make([columns.cells[place] for place in places])
            if values is None:
                return None
            blocks.append((values, places))
        index = pd.RangeIndex(columns.rows)
        return create_dataframe_from_blocks(blocks, index=index, columns=names.view())

    return several_blocks


def _parts(layout: Layout, template: Any) -> list[tuple[Any, Callable[[list[Cells]], Any]]] | None:
    """How to make each block of a frame, and the places of its columns; None if one cannot be."""
    import numpy as np

    parts: list[tuple[Any, Callable[[list[Cells]], Any]]] = []
    plain: dict[Any, list[int]] = {}
    for i, (field, dtype) in enumerate(zip(layout.schema, template.dtypes, strict=True)):
        if _is_plain(field) and dtype == field.type.to_pandas_dtype():
            plain.setdefault(dtype, []).append(i)
            continue
        make = _extension(layout, i, dtype)
        if make is None:
            return None
        parts.append((np.array([i]), make))
    parts += [(np.array(places), partial(_block, dtype)) for dtype, places in plain.items()]
    return parts


def _extension(layout: Layout, i: int, dtype: Any) -> Callable[[list[Cells]], Any] | None:
    """Strings, categoricals, and integers and booleans that may be missing."""
    import pandas as pd

    if not layout.wires[i].complete:
        return None
    if isinstance(dtype, pd.CategoricalDtype):
        codes = {value: code for code, value in enumerate(dtype.categories)}

        def categorical(cells: list[Cells]) -> Any:
            found = [codes.get(value, -1) for value in cells[0]]
            return pd.Categorical.from_codes(found, dtype=dtype, validate=False)

        return _unless_arrow(categorical)
    is_masked = isinstance(dtype, pd.api.extensions.ExtensionDtype) and dtype.kind in "biu"
    if is_masked or isinstance(dtype, pd.StringDtype):
        return _unless_arrow(lambda cells: pd.array(cells[0], dtype=dtype))
    return None


def _unless_arrow(make: Callable[[list[Cells]], Any]) -> Callable[[list[Cells]], Any]:
    return lambda cells: None if isinstance(cells[0], _ARROW) else make(cells)


def _block(dtype: Any, cells: Any) -> Any:
    """One row for each column, as in the blocks of a frame. None becomes NaN."""
    import numpy as np

    columns = [part.to_numpy(False) if isinstance(part, pa.Array) else part for part in cells]
    columns = [part.to_numpy() if isinstance(part, pa.ChunkedArray) else part for part in columns]
    return np.array(columns, dtype=dtype)


def _is_plain(field: pa.Field) -> bool:
    """A column that numpy holds as it is: numbers, missing only where that is NaN."""
    if field.type in (pa.float32(), pa.float64()):
        return True
    return not field.nullable and (
        pa.types.is_integer(field.type) or pa.types.is_boolean(field.type)
    )


def _mixed(schema: pa.Schema) -> bool:
    return len(set(schema.types)) > 1
