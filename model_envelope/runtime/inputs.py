"""Model inputs as Arrow tables, and Arrow tables as model inputs.

One rule for missing values: NaN in a float column is missing, and missing is null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from model_envelope.errors import SchemaError
from model_envelope.runtime import schemas
from model_envelope.runtime.spec import InputKind, Signature

if TYPE_CHECKING:
    import pandas as pd


CONVERSION_ERRORS = (pa.ArrowException, TypeError, ValueError, OverflowError)
"""What Arrow and pandas raise for values that are of no Arrow type."""


def kind_of(data: Any) -> InputKind:
    """How a model that was given `data` wants its input.

    Raises:
        SchemaError: it is of no supported form.
    """
    module = type(data).__module__.partition(".")[0]
    name = type(data).__name__
    if module == "pandas" and name in ("DataFrame", "Series"):
        return "frame" if name == "DataFrame" else "series"
    if module == "numpy" and name == "ndarray":
        return "ndarray"
    if isinstance(data, Mapping):
        return "dict"
    if isinstance(data, list) and all(isinstance(row, Mapping) for row in data):
        return "records"
    raise SchemaError(
        f"api_input is a {type(data).__module__}.{name}. Pass a pandas DataFrame or Series, a "
        "numpy array, a dict (one row) or a list of dicts; or api_input=None for a model whose "
        "input cannot be described."
    )


def to_table(data: Any) -> pa.Table:
    """Input data as a table, one row for each prediction.

    Raises:
        SchemaError: columns are unnamed, duplicate, of mixed types or none at all.
    """
    kind = kind_of(data)
    if kind == "frame":
        return _from_frame(data)
    if kind == "series":
        return _from_frame(data.to_frame(data.name if data.name is not None else "value"))
    if kind == "ndarray":
        return _from_ndarray(data)
    rows = [data] if kind == "dict" else data
    return _from_records(rows)


def from_table(table: pa.Table, kind: InputKind) -> Any:
    """The inverse of `to_table`, for a table that `conform` has made fit.

    A `dict` gives a list of dicts, to be passed one by one.
    """
    if kind in ("frame", "series"):
        frame = _to_frame(table)
        return frame if kind == "frame" else frame.iloc[:, 0]
    if kind == "ndarray":
        return _to_ndarray(table)
    return table.to_pylist()


def conform(table: pa.Table, signature: Signature) -> pa.Table:
    """The columns that the signature names, in its order and types.

    Raises:
        SchemaError: a column is missing, of another type, holds null where none was seen
            when the model was saved, or a value that its type cannot hold.
    """
    schemas.require(signature, table.schema, "The input")
    schema = schemas.to_schema(signature)
    columns, problems = [], []
    for field in schema:
        column = table.column(field.name)
        try:
            columns.append(_cast(column, field))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, SchemaError) as error:
            problems.append(f"column {field.name!r}: {error}")
            continue
        missing = count_missing(columns[-1])
        if missing and not field.nullable:
            problems.append(
                f"column {field.name!r} has {missing} missing values in {len(column)} rows, but "
                "had none when the model was saved"
            )
    if problems:
        raise SchemaError("The input does not fit what the model takes:", problems=tuple(problems))
    return pa.Table.from_arrays(columns, schema=schema)


def count_missing(column: pa.ChunkedArray) -> int:
    """Nulls and NaNs of a column."""
    missing = column.null_count
    # A NaN shows in the sum, which is cheaper than looking at each value.
    # (Arrow has no sum of half floats.)
    half = pa.types.is_float16(column.type)
    if pa.types.is_floating(column.type) and (half or math.isnan(pc.sum(column).as_py() or 0.0)):
        missing += pc.sum(pc.is_nan(column)).as_py() or 0
    return int(missing)


def with_nullability(table: pa.Table) -> pa.Table:
    """The table with `nullable` set for just the columns that hold missing values."""
    fields = [
        field.with_nullable(count_missing(column) > 0)
        for field, column in zip(table.schema, table.columns, strict=True)
    ]
    return table.cast(pa.schema(fields, metadata=table.schema.metadata))


def _from_frame(frame: pd.DataFrame) -> pa.Table:
    problems = _naming_problems(frame)
    if problems:
        raise SchemaError("The columns of api_input cannot be described:", problems=problems)
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except CONVERSION_ERRORS as error:
        raise SchemaError(
            f"A column of api_input has values of mixed or unknown types: {error}. Give the "
            "column one type (`astype`), or leave it out."
        ) from error
    columns = [_normalise(table.column(i), table.field(i)) for i in range(table.num_columns)]
    fields = [field for field, _ in columns]
    return pa.Table.from_arrays(
        [column for _, column in columns],
        schema=pa.schema(fields, metadata=table.schema.metadata),
    )


def _naming_problems(frame: pd.DataFrame) -> tuple[str, ...]:
    if frame.columns.nlevels > 1:
        return ("column names have several levels: flatten them first",)
    problems = [
        f"column {name!r} is no string: use `frame.rename(columns=str)` before training"
        for name in frame.columns
        if not isinstance(name, str)
    ]
    doubles = frame.columns[frame.columns.duplicated()].unique()
    problems += [f"column {name!r} is there more than once: rename one" for name in doubles]
    if any(name is not None for name in frame.index.names):
        problems.append(
            f"the index is named {list(frame.index.names)}: make it a column by "
            "`reset_index()`, or drop it by `reset_index(drop=True)`"
        )
    if not len(frame.columns):
        problems.append("there are no columns")
    return tuple(problems)


def _normalise(column: pa.ChunkedArray, field: pa.Field) -> tuple[pa.Field, pa.ChunkedArray]:
    if pa.types.is_null(column.type):
        raise SchemaError(
            f"column {field.name!r} of api_input holds nothing but missing values, so its type "
            "is unknown: give it one, e.g. `astype('float64')`."
        )
    problem = schemas.untransportable(column.type)
    if problem:
        raise SchemaError(f"column {field.name!r} of api_input {problem}.")
    if pa.types.is_dictionary(column.type):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        values = column.dictionary.to_pylist()
        body = json.dumps({"values": values, "ordered": column.type.ordered}, default=str)
        type_ = schemas.normalised(column.type)
        column = pa.chunked_array([column.cast(type_)])
        return pa.field(field.name, type_, metadata={schemas.CATEGORIES: body}), column
    type_ = schemas.normalised(column.type)
    return pa.field(field.name, type_), column.cast(type_)


def _to_frame(table: pa.Table) -> pd.DataFrame:
    import pandas as pd

    if _is_one_block(table):
        # Arrow's own way looks for nulls value by value, and takes long to begin.
        return pd.DataFrame(_block(table), columns=table.column_names, copy=False)
    frame: pd.DataFrame = table.to_pandas(date_as_object=True)
    for field in table.schema:
        known = schemas.categories(field)
        if known is not None:
            dtype = pd.CategoricalDtype(known[0], ordered=known[1])
            frame[field.name] = frame[field.name].astype(dtype)
    return frame


def _is_one_block(table: pa.Table) -> bool:
    """Whether all columns are doubles without nulls: such is most of what models take."""
    return all(
        pa.types.is_float64(column.type) and not column.null_count for column in table.columns
    )


def _block(table: pa.Table) -> Any:
    """A matrix of columns of one type, each of them contiguous."""
    import numpy as np

    # Filled column by column: half the time of np.column_stack.
    first = table.column(0).to_numpy()
    block = np.empty((table.num_rows, table.num_columns), dtype=first.dtype, order="F")
    for i, column in enumerate(table.columns):
        block[:, i] = column.to_numpy()
    return block


def _from_ndarray(array: Any) -> pa.Table:
    if array.ndim == 0 or array.dtype.kind not in "biufUSM":
        raise SchemaError(
            f"api_input is an array of {array.dtype} with {array.ndim} dimensions: pass numbers, "
            "strings or times, one row for each prediction."
        )
    try:
        if array.ndim == 1:
            columns, names = [pa.array(array)], ["x"]
        elif array.ndim == 2:
            columns = [pa.array(array[:, i]) for i in range(array.shape[1])]
            names = [f"x{i}" for i in range(array.shape[1])]
        else:
            import numpy as np

            columns = [pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(array))]
            names = ["x"]
    except CONVERSION_ERRORS as error:
        raise SchemaError(f"api_input cannot be described: {error}") from error
    if not columns:
        raise SchemaError("api_input has no columns.")
    metadata = {schemas.NDIM: str(array.ndim).encode()}
    return pa.table(columns, names=names).replace_schema_metadata(metadata)


def _to_ndarray(table: pa.Table) -> Any:
    ndim = int((table.schema.metadata or {}).get(schemas.NDIM, b"2"))
    if ndim > 2:
        return table.column(0).combine_chunks().to_numpy_ndarray()
    if ndim == 1:
        return table.column(0).to_numpy()
    return _block(table)


def _from_records(rows: list[Mapping[str, Any]]) -> pa.Table:
    wrong = [key for row in rows for key in row if not isinstance(key, str)]
    if wrong:
        raise SchemaError(f"api_input has the key {wrong[0]!r}: keys must be strings.")
    if not rows or not rows[0]:
        raise SchemaError("api_input is empty: at least one row with one key is needed.")
    names = list(dict.fromkeys(key for row in rows for key in row))
    try:
        arrays = [pa.array([row.get(name) for row in rows], from_pandas=True) for name in names]
    except CONVERSION_ERRORS as error:
        raise SchemaError(f"api_input has values of mixed or unknown types: {error}") from error
    columns = [
        _normalise(pa.chunked_array([array]), pa.field(name, array.type))
        for name, array in zip(names, arrays, strict=True)
    ]
    return pa.Table.from_arrays(
        [column for _, column in columns], schema=pa.schema([field for field, _ in columns])
    )


def _cast(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    if column.type.equals(field.type):
        known = schemas.categories(field)
        if known is None:
            return column
    if pa.types.is_dictionary(field.type):
        return _as_category(column, field)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(field.type)


def _as_category(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    values, _ = schemas.categories(field) or ([], False)
    plain = column.cast(field.type.value_type)
    known = pa.array(values, field.type.value_type)
    codes = pc.index_in(plain, value_set=known)
    unknown = pc.and_(pc.is_null(codes), pc.is_valid(plain))
    if pc.any(unknown).as_py():
        first = pc.filter(plain, unknown)[0].as_py()
        raise SchemaError(f"{first!r} is none of the {len(values)} categories of the training data")
    chunks = [
        pa.DictionaryArray.from_arrays(
            chunk.cast(field.type.index_type), known, ordered=field.type.ordered
        )
        for chunk in codes.chunks
    ]
    return pa.chunked_array(chunks, type=field.type)
