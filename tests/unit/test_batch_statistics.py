"""Statistics of passing batches agree with numpy's on the whole, however rows are cut."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_envelope.spark_jobs.statistics import (
    RANKS,
    ColumnStatistics,
    Sample,
    TableStatistics,
    summary,
)


def described(column: pa.Array, cuts: list[int], tasks: int = 2) -> dict[str, Any]:
    """The summary of a column that came in batches cut at `cuts`, dealt to tasks."""
    table = pa.table({"x": column})
    ends = sorted({0, len(column), *(cut % (len(column) + 1) for cut in cuts)})
    batches = [table.slice(a, b - a) for a, b in pairwise(ends)]
    total: dict[str, ColumnStatistics] = {}
    samples: list[Sample] = []
    for task in range(tasks):
        statistics = TableStatistics(["x"], sample_rows=200)
        for batch in batches[task::tasks]:
            statistics.update(batch)
        samples.append(statistics.sample())
        for name, found in statistics.columns.items():
            total.setdefault(name, ColumnStatistics(type=found.type)).add(found)
    body: dict[str, Any] = summary(total, samples).get("x", {})
    json.dumps(body, allow_nan=False)
    return body


floats = st.floats(-1e12, 1e12, allow_subnormal=False) | st.sampled_from([0.0, -0.0, 1e-300])
missing = st.sampled_from([None, math.nan])


@settings(deadline=None)
@given(
    values=st.lists(floats | missing, min_size=1, max_size=300),
    cuts=st.lists(st.integers(0, 1_000), max_size=5),
    wide=st.booleans(),
)
def test_numbers_are_as_numpy_counts_them(
    values: list[float | None], cuts: list[int], wide: bool
) -> None:
    type_ = pa.float64() if wide else pa.float32()
    found = described(pa.array(values, type_, from_pandas=False), cuts)
    real = np.array([v for v in values if v is not None and not math.isnan(v)]).astype(
        type_.to_pandas_dtype()
    )
    assert (found["count"], found["missing"]) == (len(values), len(values) - len(real))
    if not len(real):
        assert "mean" not in found
        return
    assert (found["min"], found["max"]) == (real.min(), real.max())
    exact = real.astype("float64")
    scale = max(1e-30, float(np.abs(exact).max()))
    assert found["mean"] == pytest.approx(exact.mean(), abs=1e-6 * scale)
    spread = exact.std(ddof=1) if len(exact) > 1 else 0.0
    assert found["std"] == pytest.approx(spread, abs=1e-5 * scale)
    assert len(found["quantiles"]) == len(RANKS)
    assert found["quantiles"] == sorted(found["quantiles"])


def test_infinite_values_are_neither_missing_nor_counted() -> None:
    found = described(pa.array([1.0, math.inf, -math.inf, math.nan, None, 3.0]), [2])
    assert (found["count"], found["missing"]) == (6, 2)
    assert (found["min"], found["max"], found["mean"]) == (1.0, 3.0, 2.0)


def test_times_and_dates_are_seconds_and_integers_and_decimals_numbers() -> None:
    second = pa.array([0, 2_000_000], pa.timestamp("us", "Europe/Berlin"))
    assert described(second, [])["mean"] == 1.0
    assert described(pa.array([0, 1], pa.date32()), [])["max"] == 86_400.0
    assert described(pa.array([1, 2**62], pa.int64()), [1])["max"] == 2.0**62
    assert described(pa.array([1, 2], pa.decimal128(5, 2)), [])["mean"] == 1.5


def test_quantiles_of_a_sample_of_every_task_are_close() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=100_000)
    found = described(pa.array(np.sort(values)), list(range(0, 100_000, 5_000)), tasks=8)
    expected = np.quantile(values, RANKS)
    assert found["quantiles"][1:-1] == pytest.approx(expected[1:-1], rel=0.15)


def test_frequent_texts_are_estimated_from_the_sample() -> None:
    texts = ["a"] * 6_000 + ["b"] * 3_000 + [None] * 1_000
    rng = np.random.default_rng(0)
    found = described(pa.array(rng.permutation(np.array(texts, dtype=object))), [3_000, 7_000])
    assert [word for word, _ in found["top"]] == ["a", "b"]
    assert dict(found["top"])["a"] == pytest.approx(6_000, rel=0.2)
    flags = described(pa.array([True, False, True]), [])
    assert flags["top"] == [["true", 2], ["false", 1]]
    dictionary = described(pa.array(["x", "y", "x"]).dictionary_encode(), [])
    assert dictionary["top"] == [["x", 2], ["y", 1]]


def test_other_columns_are_only_counted() -> None:
    assert described(pa.array([[1], None]), []) == {
        "type": "list<item: int64>",
        "count": 2,
        "missing": 1,
    }
