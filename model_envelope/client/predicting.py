"""Predictions as a person wants them: data in the model's own form in, and out."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from model_envelope.errors import PredictionFailed
from model_envelope.runtime import inputs, schemas
from model_envelope.runtime.calling import PREDICTION, Predictor
from model_envelope.runtime.spec import FunctionSpec, OutputKind


class Model:
    """A loaded query function.

    Call it and the function gets its arguments as they are. `predict` goes the way that
    batch and online predictions go: checked against the signature, typed like the sample.
    """

    def __init__(self, envelope_id: str, predictor: Predictor) -> None:
        self.envelope_id = envelope_id
        self._predictor = predictor

    @property
    def spec(self) -> FunctionSpec:
        """How the function is called, and its signatures."""
        return self._predictor.spec

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function as it was saved."""
        return self._predictor(*args, **kwargs)

    def predict(self, data: Any) -> Any:
        """Predict every row of `data`: a frame, array, dict, list of dicts or Arrow table.

        Returns:
            What the function returned for the sample, in form and type; a Series where it
            returned one value a row. For an Arrow table, a table.

        Raises:
            SchemaError: the data does not fit the signature.
            PredictionFailed: the model raised.
        """
        found = self._predictor.predict(as_table(data, self.spec))
        return found if isinstance(data, pa.Table) else as_returned(found, data, self.spec)

    def __repr__(self) -> str:
        return f"Model({self.spec.name!r} of {self.envelope_id})"


def as_table(data: Any, spec: FunctionSpec) -> pa.Table:
    """Data of any supported form as a table with the names of the signature.

    Raises:
        SchemaError: it is of no supported form, or an array of another width.
        PredictionFailed: the function has no signature.
    """
    if spec.input is None:
        raise PredictionFailed(
            f"{spec.name!r} was saved without api_input, so it cannot be given data to check. "
            "Load it with `me.load` and call it."
        )
    if isinstance(data, pa.Table):
        return data
    if inputs.kind_of(data) == "series" and len(spec.input.columns) == 1:
        data = data.rename(spec.input.names[0])
    table = inputs.to_table(_only_columns(data, spec))
    if inputs.kind_of(data) == "ndarray":
        # An array carries the shape of its rows, not their names.
        schemas.require_width(spec.input, table.num_columns)
        table = table.rename_columns(list(spec.input.names))
    return table


def as_returned(table: pa.Table, data: Any, spec: FunctionSpec) -> Any:
    """Predictions in the form that the function returned."""
    import pandas as pd

    kind: OutputKind = spec.output_kind
    if inputs.kind_of(data) == "dict":
        row = table.to_pylist()[0]
        return row if kind == "dict" else next(iter(row.values()))
    if kind in ("frame", "dict", "records") or (table.num_columns > 1 and kind != "ndarray"):
        return table.to_pylist() if kind == "records" else table.to_pandas()
    if kind == "ndarray":
        return table.to_pandas().to_numpy() if table.num_columns > 1 else table.column(0).to_numpy()
    column = table.column(0).to_pandas()
    name = None if table.column_names == [PREDICTION] else table.column_names[0]
    return pd.Series(column.array, name=name)


def _only_columns(data: Any, spec: FunctionSpec) -> Any:
    """A frame without the columns that the model does not take: they need not be described."""
    if inputs.kind_of(data) != "frame" or spec.input is None:
        return data
    wanted = list(spec.input.names)
    complete = data.columns.nlevels == 1 and data.columns.isin(wanted).sum() == len(wanted)
    return data[wanted].reset_index(drop=True) if complete else data
