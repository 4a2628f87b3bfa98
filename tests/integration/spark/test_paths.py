"""Whichever way rows go, the table is the same, and is what the model says in process."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from model_envelope.batch.run import BatchPrediction
from model_envelope.client.client import Client

pytestmark = pytest.mark.spark

Run = Callable[..., BatchPrediction]
TAGS = {"canonical_name": "test"}
ROWS = 5_000


def everything(rows: int) -> pa.Table:
    """A column of every type that Parquet, Spark and Arrow agree on, with missing values."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=rows)
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(rows) * 977, unit="ms")

    def some(values: list[Any]) -> list[Any]:
        return [None if i % 7 == 3 else value for i, value in enumerate(values)]

    words = ["", "ü", "a'b\\c", "x\ny", "😀"]
    return pa.table(
        {
            "id": pa.array(range(rows), pa.int64()),
            "x": pa.array(numbers),
            "x32": pa.array(numbers.astype("float32")),
            "nan": pa.array(np.where(np.arange(rows) % 5 == 1, np.nan, numbers)),
            "i8": pa.array(some([i % 100 for i in range(rows)]), pa.int8()),
            "i32": pa.array(some(list(range(rows))), pa.int32()),
            "u16": pa.array(some([i % 60_000 for i in range(rows)]), pa.uint16()),
            "flag": pa.array(some([i % 3 == 0 for i in range(rows)])),
            "text": pa.array(some([words[i % 5] for i in range(rows)])),
            "kind": pa.array([words[i % 5] for i in range(rows)]).dictionary_encode(),
            "raw": pa.array(some([bytes([i % 256]) for i in range(rows)])),
            "day": pa.array(some([times[i].date() for i in range(rows)])),
            "zoned": pa.array(some(list(times)), pa.timestamp("us", "Europe/Berlin")),
            "local": pa.array(some(list(times)), pa.timestamp("us")),
            "money": pa.array(
                some([decimal.Decimal(i).scaleb(-2) for i in range(rows)]), pa.decimal128(12, 2)
            ),
            "list": pa.array(some([[float(i), None] for i in range(rows)])),
            "struct": pa.array(some([{"a": i, "b": str(i)} for i in range(rows)])),
        }
    )


def many_types() -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A model with outputs of many types; inside a function, it travels by value."""

    def predict(frame: pd.DataFrame) -> pd.DataFrame:
        """Outputs of many types, which depend on what came in."""
        value = frame["x"] * 2 + frame["x32"] + frame["nan"].fillna(0)
        return pd.DataFrame(
            {
                "score": value,
                "maybe": frame["nan"],
                "when": frame["zoned"],
                "date": frame["day"],
                "length": frame["text"].str.len().fillna(0).astype("uint8"),
                "grade": pd.Categorical(np.where(value > 0, "high", "low")),
                "parts": [[float(a), float(b)] for a, b in zip(frame["x"], value, strict=True)],
                "sure": value > 0.5,
            }
        )

    return predict


INPUTS = ("x", "x32", "nan", "zoned", "day", "text", "money")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table in folders by region, of several files with several row groups."""
    folder = tmp_path_factory.mktemp("data") / "in put"
    table = everything(ROWS)
    for i, region in enumerate(["EU", "50%", "a b", "__HIVE_DEFAULT_PARTITION__"]):
        place = folder / f"region={region.replace('%', '%25')}" / f"year={2020 + i}"
        place.mkdir(parents=True)
        part = table.slice(i * ROWS // 4, ROWS // 4)
        pq.write_table(part, place / "part.parquet", row_group_size=400)
    return folder


def read(folder: Path) -> pa.Table:
    """A table in the order of its ids, with the columns that folders name."""
    table = ds.dataset(folder, partitioning="hive").to_table()
    return table.sort_by("id").replace_schema_metadata(None)


def without_nan(table: pa.Table) -> list[dict[str, Any]]:
    """Rows that can be compared: NaN is unequal to itself."""
    return [
        {k: "NaN" if isinstance(v, float) and np.isnan(v) else v for k, v in row.items()}
        for row in table.to_pylist()
    ]


def test_every_way_gives_the_table_that_the_model_says(
    client: Client, run: Run, source: Path, tmp_path: Path
) -> None:
    sample = ds.dataset(source).to_table().select(INPUTS).slice(0, 300).to_pandas()
    sample["money"] = sample["money"].astype(pd.ArrowDtype(pa.decimal128(12, 2)))
    envelope = client.save_model(many_types(), tags=TAGS, api_input=sample)
    kept = [name for name in everything(1).column_names if name not in ("x", "nan")]
    ways: dict[str, dict[str, Any]] = {
        "direct": {"path": "direct"},
        "general": {"path": "general"},
        # Folders are not named by times directly: Spark's own writer has to.
        "spark": {"partition_columns": ["local"]},
    }
    results, tables = {}, {}
    for way, options in ways.items():
        rows = 200 if way == "spark" else ROWS
        where = {"sql": f"SELECT * FROM input WHERE id < {rows}"} if way == "spark" else {}
        results[way] = run(
            envelope,
            input_table={"input": source},
            output_table=tmp_path / way,
            keep_columns=[*kept, "region", "year"],
            **options,
            **where,
        )
        tables[way] = read(tmp_path / way)

    assert results["direct"].path == "direct"
    assert results["direct"].rows == results["general"].rows == ROWS
    assert results["general"].path_reason == "as asked for"
    assert tables["direct"].schema == tables["general"].schema
    assert without_nan(tables["direct"]) == without_nan(tables["general"])

    few = tables["direct"].slice(0, 200)
    columns = [name for name in tables["spark"].column_names if name != "local"]
    assert tables["spark"].select(columns).schema == few.select(columns).schema
    assert without_nan(tables["spark"].select(columns)) == without_nan(few.select(columns))

    types = {field.name: str(field.type) for field in tables["direct"].schema}
    assert types["when"] == types["zoned"] == "timestamp[us, tz=UTC]"
    assert (types["local"], types["day"], types["money"]) == (
        "timestamp[us]",
        "date32[day]",
        "decimal128(12, 2)",
    )
    assert (types["grade"], types["length"], types["u16"]) == ("string", "int16", "int32")
    assert types["parts"] == "list<element: double>"
    assert set(tables["direct"]["envelope_id"].to_pylist()) == {envelope.id}
    assert set(tables["direct"]["region"].to_pylist()) == {"EU", "50%", "a b", None}
    assert types["year"] == "int32"

    given = everything(ROWS)
    expected = client.load(envelope).predict(given)
    assert tables["direct"]["score"].to_pylist() == expected["score"].to_pylist()
    assert tables["direct"]["maybe"].to_pylist() == expected["maybe"].to_pylist()
    assert tables["direct"]["date"].to_pylist() == expected["date"].to_pylist()
    instants = [t and t.astimezone(datetime.UTC) for t in given["zoned"].to_pylist()]
    assert tables["direct"]["when"].to_pylist() == instants
    for name in ("i8", "i32", "u16", "flag", "text", "kind", "raw", "list", "struct", "money"):
        assert tables["direct"][name].to_pylist() == given[name].to_pylist()
