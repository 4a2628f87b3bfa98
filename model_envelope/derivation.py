"""What a save derives from a callable and a sample: how it is called, schemas, golden rows."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from model_envelope.errors import InvalidInput, PredictionFailed, SchemaError
from model_envelope.runtime import calling, inputs, schemas
from model_envelope.runtime.calling import Predictor
from model_envelope.runtime.spec import FunctionSpec, InputKind, Rows

SAMPLE_ROWS = 1_000
"""Rows on which a function is tried at save time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """Rows that functions are tried on: the golden ones first, then others of the data."""

    trial: pa.Table
    golden_rows: int
    kind: InputKind

    @property
    def golden(self) -> pa.Table:
        """The rows that are kept."""
        return self.trial.slice(0, self.golden_rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class Derived:
    """A function's spec, and what it gave for the golden rows."""

    spec: FunctionSpec
    golden_output: pa.Table | None = None


def describe_input(api_input: Any) -> pa.Table:
    """`api_input` as a table whose schema is the input's.

    Raises:
        SchemaError: it has no rows, or cannot be described.
    """
    table = inputs.with_nullability(inputs.to_table(api_input))
    if not table.num_rows:
        raise SchemaError(
            "api_input has no rows: the output's schema is derived by predicting some. Pass a "
            "few rows of real data."
        )
    return table


def take_sample(table: pa.Table, kind: InputKind, golden_rows: int) -> Sample:
    """Choose the golden rows, and others to try functions on.

    Raises:
        InvalidInput: `golden_rows` is no number from 1 to `SAMPLE_ROWS`.
    """
    if not isinstance(golden_rows, int) or not 1 <= golden_rows <= SAMPLE_ROWS:
        raise InvalidInput(f"golden_rows must be 1 to {SAMPLE_ROWS}, not {golden_rows!r}.")
    chosen = _golden_indices(table, golden_rows)
    others = sorted(set(range(min(table.num_rows, SAMPLE_ROWS))) - set(chosen))
    trial = from_ipc(to_ipc(table.take(chosen + others)))
    return Sample(trial=trial, golden_rows=len(chosen), kind=kind)


def to_ipc(table: pa.Table) -> bytes:
    """A table as an Arrow IPC stream: exact, and as rows reach a model that runs elsewhere."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def from_ipc(content: bytes | memoryview) -> pa.Table:
    """The table again."""
    return pa.ipc.open_stream(content).read_all()


def derive(
    name: str,
    function: Callable[..., Any],
    sample: Sample | None,
    *,
    file: str,
    rows: Rows | None = None,
    api_output: Any = None,
) -> Derived:
    """Try a function on the sample and write down how it behaves.

    Args:
        name: the query function's name.
        function: what will be called.
        sample: None for a function whose input cannot be described.
        file: the model file that will hold it.
        rows: whether a call takes one row or many; tried if None.
        api_output: the true type of the output, where the sample's output does not show it.

    Raises:
        PredictionFailed: the function raised on the sample, or gave something unusable.
        SchemaError: `api_output` does not fit what the function gives.
    """
    spec = FunctionSpec(name=name, file=file, doc=inspect.getdoc(function) or "")
    if sample is None:
        return Derived(spec=spec)
    rows, result = _try(function, sample, rows)
    output = calling.outputs_table(result, sample.trial.num_rows, rows=rows)
    spec = replace(
        spec,
        input_kind=sample.kind,
        rows=rows,
        output_kind=calling.output_kind(result[0] if rows == "single" else result),
        input=schemas.to_signature(sample.trial.schema),
        output=schemas.to_signature(_output_schema(output, api_output)),
    )
    model = Predictor(spec, function)
    expected = model.predict(sample.golden)
    independent = _row_independent(model, sample.golden, expected)
    return Derived(spec=replace(spec, row_independent=independent), golden_output=expected)


def differences(expected: pa.Table, found: pa.Table, *, digits: int = 9) -> tuple[str, ...]:
    """Where two tables of predictions differ, a line for each column that does.

    Doubles are held to `digits` significant digits, float32 to 5, all else to equality.
    """
    lines = []
    for name in expected.column_names:
        wanted, given = expected.column(name), found.column(name)
        bad = pc.invert(pc.fill_null(_same(wanted, given, digits), False))
        if pc.any(bad).as_py():
            row = pc.index(bad, True).as_py()
            lines.append(
                f"{name}: row {row} is {given[row].as_py()!r}, but {wanted[row].as_py()!r} is "
                f"expected ({pc.sum(bad).as_py()} of {len(bad)} rows differ)"
            )
    return tuple(lines)


def _same(wanted: pa.ChunkedArray, given: pa.ChunkedArray, digits: int) -> pa.ChunkedArray:
    both_missing = pc.and_(pc.is_null(wanted), pc.is_null(given))
    if not pa.types.is_floating(wanted.type):
        if pa.types.is_nested(wanted.type):
            pairs = zip(wanted.to_pylist(), given.to_pylist(), strict=True)
            return pa.chunked_array([[a == b for a, b in pairs]])
        return pc.or_kleene(both_missing, pc.equal(wanted, given))
    tolerance = 10.0 ** -(5 if wanted.type == pa.float32() else digits)
    wide, other = wanted.cast(pa.float64()), given.cast(pa.float64())
    gap = pc.abs(pc.subtract(wide, other))
    close = pc.less_equal(gap, pc.multiply(pc.abs(wide), tolerance))
    return pc.or_kleene(both_missing, pc.or_kleene(pc.equal(wide, other), close))


def _golden_indices(table: pa.Table, wanted: int) -> list[int]:
    """Rows spread over the data, one with a missing value for each column that has any."""
    count = table.num_rows
    chosen = dict.fromkeys(round(i * (count - 1) / max(wanted - 1, 1)) for i in range(wanted))
    for field, column in zip(table.schema, table.columns, strict=True):
        if field.nullable and not any(column[i].as_py() is None for i in chosen):
            missing = pc.is_null(column, nan_is_null=True)
            chosen[pc.index(missing, True).as_py()] = None
    return list(chosen)


def _try(function: Callable[..., Any], sample: Sample, rows: Rows | None) -> tuple[Rows, Any]:
    if sample.kind == "dict":
        rows = "single"
    if rows is not None:
        return rows, calling.call(function, sample.trial, kind=sample.kind, rows=rows)
    try:
        result = calling.call(function, sample.trial, kind=sample.kind, rows="many")
        calling.outputs_table(result, sample.trial.num_rows, rows="many")
    except PredictionFailed as many:
        try:
            result = calling.call(function, sample.trial, kind=sample.kind, rows="single")
            calling.outputs_table(result, sample.trial.num_rows, rows="single")
        except PredictionFailed:
            raise many from many.__cause__
        return "single", result
    return "many", result


def _output_schema(output: pa.Table, api_output: Any) -> pa.Schema:
    schema = output.schema
    if api_output is not None:
        declared = calling.outputs_table(api_output, len(api_output), rows="many").schema
        if len(declared) == len(schema) == 1:
            declared = pa.schema([declared.field(0).with_name(schema.names[0])])
        if declared.names != schema.names:
            raise SchemaError(
                f"api_output has the columns {declared.names}, but the model gives {schema.names}."
            )
        schema = declared
    for field in schema:
        if problem := schemas.untransportable(field.type):
            raise SchemaError(f"Column {field.name!r} of the model's output {problem}.")
    untyped = [field.name for field in schema if pa.types.is_null(field.type)]
    if untyped:
        raise SchemaError(
            f"The model gave only missing values for {untyped}, so their type is unknown: pass "
            "api_output= with some real ones."
        )
    # A model may always decline to answer, so every output can be missing.
    return pa.schema([pa.field(f.name, schemas.normalised(f.type), True) for f in schema])


def _row_independent(model: Predictor, golden: pa.Table, expected: pa.Table) -> bool | None:
    """Whether rows get the same answers one at a time."""
    if model.spec.rows == "single":
        return True
    if golden.num_rows < 2:
        return None
    try:
        each = [model.predict(golden.slice(i, 1)) for i in range(golden.num_rows)]
    except (PredictionFailed, SchemaError):
        return False
    return not differences(expected, pa.concat_tables(each))
