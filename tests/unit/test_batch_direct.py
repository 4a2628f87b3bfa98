"""What goes directly: how files are divided, and what is left to Spark."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model_envelope.errors import SchemaError
from model_envelope.spark_jobs import direct
from model_envelope.spark_jobs.batches import has_fixed_width, rows_at_once
from model_envelope.spark_jobs.direct import Declined, Plan
from model_envelope.spark_jobs.footers import flat_files
from model_envelope.spark_jobs.output_types import storable, stored

SCHEMA = pa.schema([("id", pa.int64())])


def write(path: Path, start: int, rows: int, row_group: int, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"id": pa.array(range(start, start + rows), pa.int64()), **columns})
    pq.write_table(table, path, row_group_size=row_group)
    return path


def read(plan: Plan, batch_rows: int = 1_000_000) -> list[list[dict[str, Any]]]:
    return [
        [
            row
            for batch in direct._read(pieces, plan.schema, plan.partitions, batch_rows)
            for row in batch.to_pylist()
        ]
        for pieces in plan.tasks
    ]


@pytest.mark.parametrize(
    ("files", "row_group", "cores"),
    [
        ([600_000], 600_000, 2),  # one great row group is divided
        ([600_000], 1_000, 2),  # small row groups are read together
        ([10] * 50, 10, 4),  # small files make one task
        ([300_000, 0, 5, 400_000], 70_000, 3),
        ([0], 1, 2),
    ],
)
def test_every_row_is_read_once_and_tasks_are_of_a_size(
    tmp_path: Path, files: list[int], row_group: int, cores: int
) -> None:
    start, paths = 0, []
    for i, rows in enumerate(files):
        paths.append(write(tmp_path / f"{i:03}.parquet", start, rows, max(1, row_group)))
        start += rows
    plan = direct.plan(paths, tmp_path, SCHEMA, cores)
    tasks = read(plan, batch_rows=33_333)
    assert sorted(row["id"] for task in tasks for row in task) == list(range(sum(files)))
    sizes = [len(task) for task in tasks]
    if sum(files) >= 100_000 * cores:
        assert len(sizes) >= cores
        assert max(sizes) <= 1.5 * sum(files) / (2 * cores)
    else:
        assert len([size for size in sizes if size]) <= 1


def test_folders_name_partitions(tmp_path: Path) -> None:
    for region, year in (("a b", 2020), ("50%", 2021), (None, 2022)):
        name = "__HIVE_DEFAULT_PARTITION__" if region is None else quote(region)
        write(tmp_path / f"region={name}" / f"year={year}" / "f.parquet", year, 1, 1)
    paths = list(tmp_path.rglob("*.parquet"))
    schema = pa.schema([("year", pa.int32()), ("id", pa.int64()), ("region", pa.string())])
    rows = [row for task in read(direct.plan(paths, tmp_path, schema, 2)) for row in task]
    assert sorted(rows, key=lambda row: row["id"]) == [
        {"year": 2020, "id": 2020, "region": "a b"},
        {"year": 2021, "id": 2021, "region": "50%"},
        {"year": 2022, "id": 2022, "region": None},
    ]


def test_what_spark_would_read_otherwise_is_declined(tmp_path: Path) -> None:
    day = pa.array([0], pa.timestamp("us"))
    one = write(tmp_path / "1.parquet", 0, 1, 1, x=pa.array([1.0]), t=day)
    old = tmp_path / "old.parquet"
    pq.write_table(pa.table({"id": [1], "t": day}), old, use_deprecated_int96_timestamps=True)
    other = write(tmp_path / "2.parquet", 0, 1, 1, x=pa.array([1]))
    deep = write(tmp_path / "k=1" / "3.parquet", 0, 1, 1)
    broken = tmp_path / "4.parquet"
    broken.write_text("no Parquet")
    number, text = pa.field("x", pa.float64()), pa.field("x", pa.string())
    cases: list[tuple[list[Path], list[pa.Field], str]] = [
        ([one, other], [number], "'x' is int64 in 2.parquet, but Spark reads double"),
        ([one], [text], "'x' is double in 1.parquet, but Spark reads string"),
        ([old], [], "old versions of Spark"),
        ([deep, one], [pa.field("k", pa.int32())], "in other partitions|has 0 columns 'k'"),
        ([one], [pa.field("y", pa.int32())], "1.parquet has 0 columns 'y'"),
        ([one], [pa.field("a.b", pa.int32())], "has a dot in it"),
        ([broken], [], "footer cannot be read"),
        ([deep], [pa.field("k", pa.timestamp("us"))], "partition column 'k' is timestamp"),
    ]
    for paths, fields, reason in cases:
        with pytest.raises(Declined, match=reason):
            direct.plan(paths, tmp_path, pa.schema([*SCHEMA, *fields]), 2)
    with pytest.raises(Declined, match="not in a folder that names its partition"):
        direct.plan([write(tmp_path / "plain" / "5.parquet", 0, 1, 1)], tmp_path, SCHEMA, 2)
    with pytest.raises(Declined, match="no column is in the files themselves"):
        direct.plan([deep], tmp_path, pa.schema([("k", pa.int32())]), 2)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (pa.uint8(), pa.int16()),
        (pa.uint64(), pa.decimal128(20, 0)),
        (pa.float16(), pa.float32()),
        (pa.large_string(), pa.string()),
        (pa.dictionary(pa.int8(), pa.large_string()), pa.string()),
        (pa.timestamp("ns", "Europe/Berlin"), pa.timestamp("us", "UTC")),
        (pa.timestamp("s"), pa.timestamp("us")),
        (pa.list_(pa.uint8(), 3), pa.list_(pa.field("element", pa.int16()))),
        (pa.struct([("a", pa.uint8())]), pa.struct([("a", pa.int16())])),
        (pa.map_(pa.string(), pa.uint8()), pa.map_(pa.string(), pa.int16())),
        (pa.decimal256(30, 2), pa.decimal128(30, 2)),
        (pa.fixed_shape_tensor(pa.float32(), [2]), pa.list_(pa.field("element", pa.float32()))),
    ],
)
def test_types_become_those_of_sparks_tables(given: pa.DataType, expected: pa.DataType) -> None:
    assert storable(pa.schema([("x", given)]), "").field("x").type == expected


@pytest.mark.parametrize(
    "type_", [pa.duration("s"), pa.time64("us"), pa.null(), pa.decimal256(50, 2)]
)
def test_types_without_a_place_in_tables_are_refused(type_: pa.DataType) -> None:
    with pytest.raises(SchemaError, match="column 'x' is"):
        storable(pa.schema([("x", type_)]), "The output")


def test_values_are_stored_in_those_types_or_refused() -> None:
    table = pa.table({"x": pa.array([1_500], pa.timestamp("ns")), "n": pa.array([255], pa.uint8())})
    kept = stored(table, storable(table.schema, ""))
    assert kept.to_pylist() == [{"x": kept["x"][0].as_py(), "n": 255}]
    assert kept.schema.field("x").type == pa.timestamp("us")
    with pytest.raises(SchemaError, match="Column 'n' does not fit int8"):
        stored(table.select(["n"]), pa.schema([("n", pa.int8())]))


def test_batches_are_as_large_as_memory_allows() -> None:
    narrow = pa.schema([("x", pa.float64())])
    wide = pa.schema([(f"x{i}", pa.float64()) for i in range(1_000)])
    texts = pa.schema([("x", pa.list_(pa.struct([("t", pa.string())])))])
    assert rows_at_once(narrow, 250_000) == 250_000
    assert 1_000 < rows_at_once(wide, 250_000) < 10_000
    assert rows_at_once(narrow, 250_000, bytes_per_row=1e6) < 30
    assert rows_at_once(narrow, 250_000, bytes_per_row=1e12) == 1
    assert has_fixed_width(wide)
    assert not has_fixed_width(texts)
    assert rows_at_once(texts, 250_000) < 100_000


def test_a_folder_is_listed_as_spark_would_or_left_to_it(tmp_path: Path) -> None:
    for name in ("b.parquet", "a.parquet", "_SUCCESS", ".a.crc", "c.parquet._COPYING_"):
        (tmp_path / name).touch()
    (tmp_path / "_temporary").mkdir()
    assert flat_files(tmp_path) == [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    assert flat_files(tmp_path / "b.parquet") == [tmp_path / "b.parquet"]
    # What starts with an underscore and has an equals sign is a partition, and hidden else.
    (tmp_path / "_day=1").mkdir()
    assert flat_files(tmp_path) is None
