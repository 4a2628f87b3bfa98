"""Values that data has and that not every library knows: each works, or is refused with advice."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

import model_envelope as me
from model_envelope.errors import PredictionFailed, SchemaError

TAGS = {"canonical_name": "odd"}
FRAME = pd.DataFrame({"x": [1.0, 2.0, 3.0]})


def save(data: Any) -> me.Envelope:
    return me.save_model(lambda given: np.ones(len(given)), tags=TAGS, api_input=data)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([Decimal("1.10"), None]),
        pd.Series(pd.to_timedelta([1, 2], unit="s")),
        pd.Series([b"x", b"y"]),
        pd.Series(np.array([1, 2**64 - 1], dtype="uint64")),
        pd.Series(np.array([1, np.nan], dtype="float16")),
        pd.Series([np.inf, -np.inf]),
        pd.Series([dt.date(1, 1, 1), dt.date(9999, 12, 31)]),
        pd.Series(np.array(["0001-01-01", "9999-12-31"], dtype="datetime64[s]")),
        pd.Series(np.array(["1500-01-01", "9999-12-31"], dtype="datetime64[us]")),
        pd.Series(np.array(["2020-01-01T00:00:00.123456789", "NaT"], dtype="datetime64[ns]")),
        pd.Series([dt.time(1), dt.time(2)]),
        pd.Series(pd.Categorical([3, 1], categories=[3, 2, 1], ordered=True)),
        pd.Series(pd.Categorical([0.5, None])),
        pd.Series(pd.Categorical([True, False])),
        pd.Series([{"a": 1}, {"a": None}]),
        pd.Series([[[1], [2]], [[3]]]),
        pd.Series([np.array([1.0, 2.0]), np.array([3.0])]),
        pd.Series(["\0", "🦆" * 100_000]),
        pd.array([1, None], dtype="int64[pyarrow]"),
    ],
    ids=lambda column: str(column.dtype),
)
def test_odd_columns_reach_the_model_as_they_are(column: Any) -> None:
    frame = pd.DataFrame({"odd": column})
    envelope = save(frame)
    assert list(me.predict(envelope, frame)) == [1.0, 1.0]
    given, _ = envelope.golden()
    assert len(given) == 2
    assert envelope.statistics["odd"]["missing"] == int(frame["odd"].isna().sum())


def test_sentinel_dates_are_counted_among_the_statistics() -> None:
    ends = np.array(["0001-01-01", "9999-12-31"], dtype="datetime64[s]")
    found = save(pd.DataFrame({"ends": ends})).statistics["ends"]
    first, last = ends.astype("int64")
    assert (found["min"], found["max"]) == pytest.approx((first, last))


@pytest.mark.parametrize(
    ("column", "complaint"),
    [
        (pd.Series([1j, 2j]), "complex128"),
        (pd.Series(pd.arrays.SparseArray([0.0, 1.0])), "Sparse"),
        (pd.Series(pd.period_range("2020", periods=2, freq="M")), "'odd'.*period.*make it text"),
        (pd.Series(pd.interval_range(0, 2)), "'odd'.*interval.*make it text"),
        (pd.Series(pd.cut([1, 2], 2)), "'odd'.*interval.*make them text or numbers"),
        (
            pd.Series(pd.Categorical(pd.to_datetime(["2020"] * 2))),
            "'odd' .*categories of timestamp",
        ),
        (pd.Series(["\ud800", "x"], dtype=object), "surrogates"),
        (pd.Series([2**70, 1]), "too large"),
        (pd.Series([[1, "x"], [2]]), "tried to convert"),
        (pd.Series([np.eye(2), np.eye(2)]), "1-dimensional"),
    ],
    ids=lambda value: getattr(value, "dtype", None),
)
def test_columns_that_only_one_library_knows_are_refused(column: Any, complaint: str) -> None:
    with pytest.raises(SchemaError, match=complaint):
        save(pd.DataFrame({"odd": column}))
    assert me.count({}) == 0


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"n": 2**70}, "too large"),
        ([{"s": "\ud800"}], "surrogates"),
        (np.ma.array([1.0, 2.0], mask=[True, False]), "MaskedArray"),
        (np.array([(1, 2.0)], dtype=[("x", "i4"), ("y", "f8")]), "array of"),
        (np.array(1.0), "0 dimensions"),
        (np.ones((2, 0)), "no columns"),
    ],
)
def test_other_odd_inputs_are_refused(data: Any, complaint: str) -> None:
    with pytest.raises(SchemaError, match=complaint):
        save(data)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (lambda f: [np.array([x, -x]) for x in f["x"]], [[1.0, -1.0], [2.0, -2.0], [3.0, -3.0]]),
        (lambda f: [np.float32(x) for x in f["x"]], [1.0, 2.0, 3.0]),
        (lambda f: [Decimal("1.5")] * len(f), [Decimal("1.5")] * 3),
        (lambda f: [dt.datetime(9999, 12, 31)] * len(f), [pd.Timestamp(9999, 12, 31)] * 3),
    ],
    ids=["vectors", "scalars of numpy", "decimals", "the end of time"],
)
def test_odd_outputs_come_back(model: Any, expected: list[Any]) -> None:
    envelope = me.save_model(model, tags=TAGS, api_input=FRAME)
    found = me.predict(envelope, FRAME)
    assert [list(v) if isinstance(expected[0], list) else v for v in found] == expected


def test_a_dict_of_one_row_is_found_to_be_of_one_row() -> None:
    envelope = me.save_model(
        lambda f: {"twice": float(f["x"].sum() * 2)}, tags=TAGS, api_input=FRAME
    )
    assert envelope.functions["predict"].rows == "single"
    assert list(me.predict(envelope, FRAME)["twice"]) == [2.0, 4.0, 6.0]


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (lambda f: np.ones(len(f)) * 1j, "no Arrow type"),
        (lambda f: [2**70] * len(f), "too large"),
        (lambda f: ["\ud800"] * len(f), "surrogates"),
        (lambda f: pd.concat([f, f], axis=1), "Duplicate column names"),
        (lambda f: pd.DataFrame(index=f.index), "no columns"),
        (lambda f: np.ones((len(f), 0)), "no columns"),
        (lambda f: [object()] * len(f), "no Arrow type"),
        (lambda f: [(1, "a")] * len(f), "no Arrow type"),
        (lambda f: np.ma.array([1.0] * len(f), mask=True), "MaskedArray"),
        (lambda f: (x for x in f["x"]), "generator"),
        (lambda f: np.ones((len(f), 2, 2)), "3 dimensions"),
        (lambda f: pd.Series(pd.arrays.SparseArray([0.0] * len(f))), "no Arrow type"),
        (lambda f: pd.cut(f["x"], [0, 2, 4]), "categories of .*interval"),
        (lambda f: pd.Series(pd.period_range("2020", periods=len(f))), "period.*make it text"),
    ],
)
def test_outputs_that_have_no_place_in_a_table_are_refused(model: Any, complaint: str) -> None:
    with pytest.raises((PredictionFailed, SchemaError), match=complaint):
        me.save_model(model, tags=TAGS, api_input=FRAME)
    assert me.count({}) == 0
