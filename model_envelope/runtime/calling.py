"""Calling a model: a table in, a table of predictions out, whatever the callable takes."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from model_envelope.errors import PredictionFailed
from model_envelope.runtime import inputs, schemas
from model_envelope.runtime.spec import FunctionSpec, OutputKind, Rows

if TYPE_CHECKING:
    import pandas as pd

PREDICTION = "prediction"
"""The name of an output column that the model does not name."""


class Predictor:
    """A loaded query function.

    `scope` surrounds each call: it makes custom modules importable in hosts that must
    not keep them.
    """

    def __init__(
        self,
        spec: FunctionSpec,
        function: Callable[..., Any],
        scope: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.spec = spec
        self.function = function
        self._scope = scope

    def predict(self, table: pa.Table) -> pa.Table:
        """Predict every row.

        Returns:
            As many rows, in order, with the output signature's columns and types.

        Raises:
            SchemaError: the table does not fit the input signature.
            PredictionFailed: the model raised, or gave something else than it did when it
                was saved.
        """
        spec = self.spec
        if spec.input is None or spec.output is None:
            raise PredictionFailed(
                f"{spec.name!r} was saved without api_input: it can be called, but not be given "
                "tables. Save it again with a sample of its input."
            )
        table = inputs.conform(table, spec.input)
        schema = schemas.to_schema(spec.output)
        if not table.num_rows:
            return schema.empty_table()
        with self._scope():
            result = call(self.function, table, kind=spec.input_kind, rows=spec.rows)
            found = outputs_table(result, table.num_rows, rows=spec.rows)
        return _conform_output(found, schema, spec.name)

    def predict_prepared(self, data: Any, count: int) -> pa.Table:
        """Predict `count` rows that are in the very form that the model takes.

        For functions that take many rows and were saved with a sample. Nothing is checked
        but the answer.

        Raises:
            PredictionFailed: see `predict`.
        """
        with self._scope():
            result = _guarded(self.function, data, "")
            found = outputs_table(result, count, rows="many")
        assert self.spec.output is not None  # noqa: S101
        return _conform_output(found, schemas.to_schema(self.spec.output), self.spec.name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model as it is, with nothing converted."""
        with self._scope():
            return self.function(*args, **kwargs)


def call(function: Callable[..., Any], table: pa.Table, *, kind: Any, rows: Rows) -> Any:
    """What the model gives for a table: one result, or a list of one for each row.

    Raises:
        PredictionFailed: the model's code raised; the cause is chained.
    """
    data = inputs.from_table(table, kind)
    if rows == "many":
        return _guarded(function, data, "")
    return [_guarded(function, _row(data, kind, i), f" on row {i}") for i in range(table.num_rows)]


def output_kind(result: Any) -> OutputKind:
    """The form of one result.

    Raises:
        PredictionFailed: it is of no supported form.
    """
    module, name = type(result).__module__.partition(".")[0], type(result).__name__
    forms: dict[tuple[str, str], OutputKind] = {
        ("pandas", "DataFrame"): "frame",
        ("pandas", "Series"): "series",
        ("numpy", "ndarray"): "ndarray",
    }
    if (module, name) in forms:
        return "scalar" if name == "ndarray" and result.ndim == 0 else forms[module, name]
    if isinstance(result, Mapping):
        return "dict"
    if isinstance(result, (list, tuple)):
        records = bool(result) and all(isinstance(row, Mapping) for row in result)
        return "records" if records else "list"
    if result is None or isinstance(result, (bool, int, float, str, bytes)) or _is_time(result):
        return "scalar"
    if module == "numpy" and hasattr(result, "item") and not result.ndim:
        return "scalar"
    raise PredictionFailed(
        f"The model returned a {type(result).__module__}.{name}. Return a number, a string, a "
        "list, a dict, a numpy array, or a pandas Series or DataFrame."
    )


def outputs_table(result: Any, count: int, *, rows: Rows) -> pa.Table:
    """Results as a table of `count` rows.

    Raises:
        PredictionFailed: there are not as many results as rows, or results of no one type.
    """
    try:
        if rows == "single":
            tables = [_one_row(value) for value in result]
            table = pa.concat_tables(tables, promote_options="permissive")
        else:
            table = _many_rows(result, count)
    except inputs.CONVERSION_ERRORS as error:
        raise PredictionFailed(f"The model's output has no Arrow type: {error}") from error
    if not table.num_columns:
        raise PredictionFailed("The model returned no columns.")
    if table.num_rows != count:
        raise PredictionFailed(f"The model returned {table.num_rows} rows for {count} rows.")
    return table


def _guarded(function: Callable[..., Any], data: Any, where: str) -> Any:
    try:
        return function(data)
    except Exception as error:
        raise PredictionFailed(
            f"The model raised{where}: {type(error).__name__}: {error}"
        ) from error


def _row(data: Any, kind: Any, i: int) -> Any:
    if kind in ("frame", "series"):
        return data.iloc[i : i + 1].reset_index(drop=True)
    return data[i : i + 1] if kind == "ndarray" else data[i]


def _one_row(value: Any) -> pa.Table:
    kind = output_kind(value)
    if kind == "dict":
        return _many_rows([value], 1)
    if kind == "scalar":
        return _many_rows([value], 1)
    table = _many_rows(value, 1)
    if table.num_rows == 1 or not table.num_columns:
        return table
    # Several values for one row are one vector.
    return pa.table({PREDICTION: [table.column(0).to_pylist()]})


def _many_rows(result: Any, count: int) -> pa.Table:
    kind = output_kind(result)
    if kind in ("series", "frame"):
        return _from_pandas(result, count)
    if kind == "ndarray":
        return _from_ndarray(result)
    if kind == "dict":
        return pa.table({str(k): _array(v) for k, v in result.items()})
    if kind == "records":
        return pa.Table.from_pylist([dict(row) for row in result])
    if kind == "scalar":
        raise PredictionFailed(
            f"The model returned one {type(result).__name__} for {count} rows. If it takes one "
            "row at a time, say rows='single'."
        )
    return pa.table({PREDICTION: _array(result)})


def _from_pandas(result: Any, count: int) -> pa.Table:
    import pandas as pd

    # Plain numbers in order need not go through a frame's conversion: it takes ten times as long.
    if isinstance(result, pd.Series):
        name = PREDICTION if result.name is None else result.name
        if result.dtype.kind in "biuf" and _is_default(result.index, count):
            return pa.table({str(name): pa.array(result, from_pandas=True)})
        result = result.to_frame(name)
    names = [str(name) for name in result.columns]
    simple = all(dtype.kind in "biuf" for dtype in result.dtypes)
    if simple and _is_default(result.index, count) and len(set(names)) == len(names):
        columns = [pa.array(column, from_pandas=True) for _, column in result.items()]
        return pa.Table.from_arrays(columns, names=names)
    frame = _in_order(result.rename(columns=str), pd.RangeIndex(count))
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)


def _is_default(index: pd.Index[Any], count: int) -> bool:
    import pandas as pd

    return isinstance(index, pd.RangeIndex) and index.equals(pd.RangeIndex(count))


def _in_order(frame: pd.DataFrame, order: pd.Index[Any]) -> pd.DataFrame:
    """The input's index is 0, 1, …: a result sorted by something else is put back."""
    if len(frame) != len(order) or frame.index.equals(order):
        return frame
    is_permutation = frame.index.is_unique and frame.index.isin(order).all()
    return frame.loc[order] if is_permutation else frame


def _from_ndarray(array: Any) -> pa.Table:
    if array.ndim == 1:
        return pa.table({PREDICTION: _array(array)})
    if array.ndim == 2 and array.shape[1] == 1:
        return pa.table({PREDICTION: _array(array[:, 0])})
    if array.ndim == 2:
        return pa.table({f"{PREDICTION}_{i}": _array(array[:, i]) for i in range(array.shape[1])})
    raise PredictionFailed(f"The model returned an array of {array.ndim} dimensions; at most 2.")


def _array(values: Any) -> pa.Array:
    if isinstance(values, Sequence) and not isinstance(values, str):
        values = [_plain(value) for value in values]
    return pa.array(values, from_pandas=True)


def _plain(value: Any) -> Any:
    """A value of a numeric library as Python's own: a number, or a list of an array's."""
    if not hasattr(value, "item"):
        return value
    is_vector = getattr(value, "ndim", 0) and getattr(value, "size", None) != 1
    return value.tolist() if is_vector else value.item()


def _conform_output(table: pa.Table, schema: pa.Schema, name: str) -> pa.Table:
    missing = [column for column in schema.names if column not in table.column_names]
    if missing:
        raise PredictionFailed(
            f"{name!r} returned the columns {table.column_names}, without {missing}, which it "
            "gave when it was saved."
        )
    try:
        table = table.select(schema.names)
        return table if table.schema == schema else table.cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise PredictionFailed(
            f"{name!r} returned {table.schema.types}, but {schema.types} when it was saved: {error}"
        ) from error


def _is_time(value: Any) -> bool:
    return isinstance(value, (datetime.date, datetime.time, datetime.timedelta))
