"""The fast way to a model gives it the very input that the way through Arrow does."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_envelope import derivation
from model_envelope.runtime import calling, inputs
from model_envelope.runtime.calling import Predictor
from model_envelope.serving.formats import ARROW, JSON, Codec

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
INFINITE = FLOATS | st.sampled_from(["Infinity", "-Infinity"])
COLUMNS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "float": (np.array([0.1, 2.5]), INFINITE),
    "missing": (np.array([0.1, np.nan]), INFINITE | st.none()),
    "narrow": (
        np.array([0.1, np.nan], "float32"),
        st.floats(width=32, allow_nan=False, allow_infinity=False) | st.none() | st.just(0.1),
    ),
    "half": (np.array([0.5, 1.5], "float16"), st.just(0.1)),
    "integer": (np.array([1, 2]), st.integers(-(2**63), 2**63 - 1)),
    "byte": (np.array([1, 2], "int8"), st.integers(-128, 127)),
    "huge": (np.array([1, 2], "uint64"), st.integers(0, 2**64 - 1)),
    "flag": (np.array([True, False]), st.booleans()),
    "count": (pd.array([1, None], "Int64"), st.integers(-(2**63), 2**63 - 1) | st.none()),
    "maybe": (pd.array([True, None], "boolean"), st.booleans() | st.none()),
    "text": (pd.array(["a", "b"], "str"), TEXT),
    "blank": (pd.array(["a", None], "str"), TEXT | st.none()),
    "object": (np.array(["a", None], dtype=object), TEXT | st.none()),
    "string": (pd.array(["a", None], "string"), TEXT | st.none()),
    "kind": (pd.Categorical(["b", "a"], ordered=True), st.sampled_from(["a", "b"])),
    "grade": (pd.Categorical([3, None], categories=[1, 3]), st.sampled_from([1, 3, None])),
    "share": (pd.Categorical([0.5, None]), st.sampled_from([0.5, None])),
    "when": (pd.to_datetime(["2024-01-01", "2024-01-02"]), st.just("2024-02-29T00:00:00")),
    "list": (pd.Series([[1.0], [2.0]]), st.lists(FLOATS, max_size=2)),
}


class Listener:
    """A model that keeps what it was given."""

    def __init__(self) -> None:
        self.given: list[Any] = []

    def __call__(self, data: Any) -> Any:
        self.given.append(data)
        return np.zeros(len(data))


def listening(sample: Any) -> tuple[Codec, Predictor, Listener]:
    table = derivation.describe_input(sample)
    taken = derivation.take_sample(table, inputs.kind_of(sample), table.num_rows)
    model = Listener()
    spec = derivation.derive("predict", model, taken, file="model").spec
    model.given.clear()
    return Codec(spec), Predictor(spec, model), model


def both_ways(model: tuple[Codec, Predictor, Listener], *bodies: bytes) -> tuple[Any, Any]:
    """What the model is given for some requests at once, by the codec and by Arrow."""
    codec, predictor, listener = model
    columns = [codec.read(body, JSON, "native").columns for body in bodies]
    listener.given.clear()
    output = codec.predict(predictor, columns)
    table = pa.concat_tables([part.table() for part in columns])
    assert output.equals(predictor.predict(table))
    fast, slow = listener.given
    return fast, slow


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_frames_are_the_same_both_ways(data: st.DataObject) -> None:
    some = st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=4)
    names = {f"{name} {i}": COLUMNS[name] for i, name in enumerate(data.draw(some))}
    model = listening(pd.DataFrame({name: values for name, (values, _) in names.items()}))
    row = st.fixed_dictionaries({name: values for name, (_, values) in names.items()})
    bodies = data.draw(st.lists(st.lists(row, min_size=1, max_size=3), min_size=1, max_size=3))
    fast, slow = both_ways(model, *(json.dumps(rows).encode() for rows in bodies))
    pd.testing.assert_frame_equal(fast, slow, check_exact=True, check_column_type=True)
    assert type(fast.columns) is type(slow.columns)
    assert [type(v) for v in fast.iloc[0]] == [type(v) for v in slow.iloc[0]]
    if len(set(slow.dtypes)) == 1 and slow.dtypes.iloc[0].kind == "f":
        # Sums over other orders of memory differ in the last digit.
        assert fast.to_numpy().strides == slow.to_numpy().strides


@pytest.mark.parametrize("dtype", ["float64", "float32", "int32", "bool", "uint64", "float16"])
@pytest.mark.parametrize("shape", [(2,), (2, 3), (2, 3, 2)])
def test_arrays_are_the_same_both_ways(shape: tuple[int, ...], dtype: str) -> None:
    if dtype == "bool" and len(shape) > 2:
        pytest.skip("Arrow has no tensors of booleans")
    sample = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    model = listening(sample)
    codec, _, _ = model
    body = codec.read(b"[]", JSON, "native")  # no rows: the form of an empty body
    assert body.rows == 0
    names = codec.layout.names
    rows = [
        dict(zip(names, row.tolist() if len(names) > 1 else [row.tolist()], strict=True))
        for row in sample
    ]
    one = json.dumps(rows[:1]).encode()
    fast, slow = both_ways(model, json.dumps(rows).encode(), one)
    assert fast.dtype == slow.dtype == sample.dtype
    assert fast.strides == slow.strides
    np.testing.assert_array_equal(fast, slow)
    np.testing.assert_array_equal(fast[:2], sample)


def test_a_series_is_the_same_both_ways() -> None:
    model = listening(pd.Series([1.0, None], name="x"))
    fast, slow = both_ways(model, b'[{"x":null},{"x":1}]')
    pd.testing.assert_series_equal(fast, slow, check_exact=True)


def test_requests_in_json_and_arrow_go_together() -> None:
    sample = pd.DataFrame({"a": [1.0, 2.0], "b": [1, 2], "c": ["x", "y"]})
    for chosen in (["a"], ["a", "b"], ["a", "b", "c"]):
        codec, predictor, listener = listening(sample[chosen])
        table = pa.Table.from_pandas(sample[chosen], preserve_index=False)
        streamed = codec.read(derivation.to_ipc(table), ARROW, "native").columns
        written = codec.read(sample[chosen].to_json(orient="records").encode(), JSON, "native")
        codec.predict(predictor, [streamed, written.columns, streamed])
        expected = pd.concat([sample[chosen]] * 3, ignore_index=True)
        pd.testing.assert_frame_equal(listener.given[-1], expected, check_exact=True)


def test_a_model_may_do_with_its_input_what_it_likes() -> None:
    codec, predictor, listener = listening(pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, 2.0]}))
    request = codec.read(b'[{"a":1,"b":2}]', JSON, "native")
    codec.predict(predictor, [request.columns])
    frame = listener.given[-1]
    frame.columns.name = "changed"
    frame.loc[0, "a"] = 99.0
    frame.insert(0, "new", 1)
    codec.predict(predictor, [request.columns])
    pd.testing.assert_frame_equal(listener.given[-1], pd.DataFrame({"a": [1.0], "b": [2.0]}))


OUTPUTS: dict[str, Any] = {
    "floats": {"a": [0.1, np.nan], "b": np.array([1, 2], "float32")},
    "numbers": {"a": [1, 2], 0: np.array([1, 2], "uint8"), "c": [True, False]},
    "masked": {"a": pd.array([1, None], "Int64"), "b": pd.array([0.5, None], "Float64")},
    "others": {"a": ["x", None], "b": pd.to_datetime(pd.Series(["2024-01-01", None])).to_numpy()},
}


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("index", [[0, 1], [1, 0], ["x", "y"]], ids=str)
def test_outputs_are_the_same_both_ways(name: str, index: list[Any]) -> None:
    frame = pd.DataFrame(OUTPUTS[name])
    frame.index = pd.RangeIndex(2) if index == [0, 1] else pd.Index(index)
    ordered = frame.sort_index() if index == [1, 0] else frame
    expected = pa.Table.from_pandas(ordered.rename(columns=str), preserve_index=False)
    found = calling.outputs_table(frame, 2, rows="many")
    assert found.equals(expected)
    for column in frame:
        series = calling.outputs_table(frame[column], 2, rows="many")
        assert series.equals(expected.select([str(column)]))
