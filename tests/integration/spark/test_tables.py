"""Every kind of table: what is replaced, what is left alone, what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.orc
import pyarrow.parquet as pq
import pytest

from model_envelope.batch.run import BatchPrediction
from model_envelope.client.client import Client
from model_envelope.client.envelope import Envelope
from model_envelope.errors import InvalidInput, SchemaError
from tests.integration.spark.conftest import WarmSpark

pytestmark = pytest.mark.spark

Run = Callable[..., BatchPrediction]
Rows = list[tuple[Any, ...]]


def doubling() -> Callable[[pd.DataFrame], Any]:
    def predict(frame: pd.DataFrame) -> Any:
        return frame["x"].to_numpy() * 2

    return predict


@pytest.fixture
def envelope(client: Client) -> Envelope:
    """A model that doubles `x`."""
    sample = pd.DataFrame({"x": [0.5, 1.5]})
    return client.save_model(doubling(), tags={"canonical_name": "test"}, api_input=sample)


def frame(ids: range, region: str | None = "EU") -> pa.Table:
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "x": pa.array([float(i) for i in ids]),
            "region": pa.array([region if i % 2 else "a/b c" for i in ids], pa.string()),
        }
    )


def write(folder: Path, ids: range, region: str | None = "EU") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(frame(ids, region), folder / "part.parquet")
    return folder


def read(folder: Path, *columns: str) -> Rows:
    """Rows of a table of files, sorted."""
    table = ds.dataset(folder, partitioning="hive").to_table()
    return sorted((tuple(row.values()) for row in table.select(list(columns)).to_pylist()), key=str)


def predictions(ids: range, *more: Any) -> Rows:
    return sorted(((i, 2.0 * i, *more) for i in ids), key=str)


COLUMNS = ("id", "prediction", "logical_date")


def test_a_run_replaces_its_own_rows_and_nothing_else(
    envelope: Envelope, run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def predict(ids: range, date: str, key: str, mode: str = "replace") -> None:
        source = write(tmp_path / "in", ids)
        options = {"input_table": source, "keep_columns": ["id"], "output_table": out}
        run(envelope, logical_date=date, run_key=key, write_mode=mode, **options)

    predict(range(4), "2024-01-01", "a")
    predict(range(4, 6), "2024-01-02", "b")
    predict(range(9), "2024-01-01", "a")
    first, second = predictions(range(9), "2024-01-01"), predictions(range(4, 6), "2024-01-02")
    assert read(out, *COLUMNS) == sorted(first + second, key=str)

    with pytest.raises(SchemaError, match="partitioned by"):
        predict(range(9), "2024-01-01", "c", "append")
    assert read(out, *COLUMNS) == sorted(first + second, key=str)

    predict(range(3), "2024-01-03", "d", "overwrite")
    assert read(out, *COLUMNS) == predictions(range(3), "2024-01-03")

    predict(range(0), "2024-01-03", "e")
    assert read(out, *COLUMNS) == []
    assert list(tmp_path.glob(".out*/[!l]*")) == []


def test_append_adds_to_a_date_and_a_retry_doubles_nothing(
    envelope: Envelope, run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for key, ids in (("a", range(2)), ("b", range(2, 5)), ("b", range(2, 5))):
        source = write(tmp_path / "in", ids)
        options = {"input_table": source, "keep_columns": ["id"], "output_table": out}
        run(envelope, run_key=key, write_mode="append", **options)
    assert read(out, "id", "prediction") == predictions(range(5))
    assert len(set(read(out, "run_key"))) == 2


def test_partition_columns_name_folders_and_stale_ones_go(
    envelope: Envelope, run: Run, tmp_path: Path
) -> None:
    options = {
        "output_table": tmp_path / "out",
        "keep_columns": ["id", "region"],
        "partition_columns": ["region"],
        "run_key": "a",
    }
    for region in ("EU", None):
        source = write(tmp_path / "in", range(6), region)
        for path in ("direct", "general"):
            run(envelope, input_table=source, path=path, **options)
            odd: Rows = [(i, region) for i in range(1, 6, 2)]
            even: Rows = [(i, "a/b c") for i in range(0, 6, 2)]
            assert read(tmp_path / "out", "id", "region") == sorted(odd + even, key=str)
            folders = sorted(f.name for f in (tmp_path / "out/logical_date=2024-01-02").iterdir())
            name = region or "__HIVE_DEFAULT_PARTITION__"
            assert folders == sorted([f"region={name}", "region=a%2Fb c"])


def test_two_runs_at_once_for_different_dates_do_not_disturb_each_other(
    client: Client, envelope: Envelope, run: Run, tmp_path: Path
) -> None:
    write(tmp_path / "in", range(1000))
    failures: list[BaseException] = []

    def predict(day: int) -> None:
        try:
            run(
                envelope,
                input_table=tmp_path / "in",
                output_table=tmp_path / "out",
                keep_columns=["id"],
                logical_date=f"2024-01-{day:02}",
            )
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=predict, args=(day,)) for day in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    expected = [row for day in range(1, 5) for row in predictions(range(1000), f"2024-01-{day:02}")]
    assert read(tmp_path / "out", *COLUMNS) == sorted(expected, key=str)


@pytest.mark.parametrize("format_", ["csv", "json", "orc"])
def test_other_formats_keep_the_types_of_the_signature(
    envelope: Envelope, run: Run, warm_spark: WarmSpark, tmp_path: Path, format_: str
) -> None:
    source = tmp_path / f"in.{format_}"
    table = frame(range(6))
    if format_ == "csv":
        pyarrow.csv.write_csv(table, source)
    elif format_ == "orc":
        pyarrow.orc.write_table(table, source)
    else:
        table.to_pandas().to_json(source, orient="records", lines=True)
    options = {"keep_columns": ["id", "region"], "partition_columns": ["region"]}
    for _ in range(2):
        out = f"{format_}:{tmp_path}/out"
        done = run(envelope, input_table=source, output_table=out, **options)
        assert (done.path, done.rows) == ("general", 6)
    # Columns that the model does not know are texts where the file does not say.
    type_ = "BIGINT" if format_ == "orc" else "STRING"
    view = f"view_{format_}"
    warm_spark.sql(
        f"CREATE TEMPORARY VIEW {view} (id {type_}, prediction DOUBLE, envelope_id STRING, "
        f"logical_date STRING, region STRING) USING {format_} "
        f"OPTIONS (path '{tmp_path}/out', header 'true')"
    )
    found = warm_spark.sql(f"SELECT CAST(id AS INT), prediction, region FROM {view} ORDER BY 1")
    assert found == [(i, 2.0 * i, "EU" if i % 2 else "a/b c") for i in range(6)]
    assert not list((tmp_path / "out").rglob("*.crc"))


def test_inputs_are_joined_or_queried(envelope: Envelope, run: Run, tmp_path: Path) -> None:
    write(tmp_path / "people", range(5))
    (tmp_path / "visits").mkdir()
    visits = pa.table({"id": [1, 2, 7], "n": [10, 20, 70]})
    pq.write_table(visits, tmp_path / "visits" / "part.parquet")
    options = {
        "keep_columns": ["id", "n"],
        "input_table": [tmp_path / n for n in ("people", "visits")],
    }

    done = run(envelope, join_on="id", output_table=tmp_path / "inner", **options)
    assert done.path_reason == "the input is a query over tables"
    assert read(tmp_path / "inner", "id", "n", "prediction") == [(1, 10, 2.0), (2, 20, 4.0)]

    run(envelope, join_on=["id"], join_type="left", output_table=tmp_path / "left", **options)
    assert read(tmp_path / "left", "id") == [(i,) for i in range(5)]

    run(
        envelope,
        sql="SELECT id, n, CAST(n AS DOUBLE) AS x FROM people JOIN visits USING (id) -- joined",
        output_table=tmp_path / "sql",
        **options,
    )
    assert read(tmp_path / "sql", "id", "prediction") == [(1, 20.0), (2, 40.0)]

    pq.write_table(visits.append_column("x", pa.array([0.0] * 3)), tmp_path / "visits/part.parquet")
    with pytest.raises(SchemaError, match="column 'x' is in 'people' and 'visits'"):
        run(envelope, join_on="id", output_table=tmp_path / "both", **options)
    with pytest.raises(SchemaError, match="'visits' has no column 'region'"):
        run(envelope, join_on="region", output_table=tmp_path / "both", **options)


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE people",
        "CREATE TABLE stolen AS SELECT 1",
        "SELECT 1 AS x) t; DROP TABLE people; SELECT * FROM (SELECT 1 AS x",
        "SELECT value AS x FROM text.`/etc/hostname`",
        "INSERT INTO people VALUES (1)",
        "SET spark.sql.runSQLOnFiles=true",
        "SELEC x",
    ],
)
def test_sql_is_a_query_over_the_inputs_only(
    envelope: Envelope, run: Run, tmp_path: Path, sql: str
) -> None:
    source = write(tmp_path / "people", range(2))
    with pytest.raises(InvalidInput, match="no query that can be run"):
        run(envelope, input_table={"people": source}, sql=sql, output_table=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_catalog_tables(
    envelope: Envelope, run: Run, warm_spark: WarmSpark, tmp_path: Path
) -> None:
    name = f"predictions_{tmp_path.name}"
    options: dict[str, Any] = {
        "output_table": name,
        "keep_columns": ["id", "region"],
        "partition_columns": ["region"],
    }

    def seen() -> Rows:
        found = warm_spark.sql(f"SELECT id, prediction, logical_date, region FROM {name}")
        return sorted(found, key=str)

    def expected(ids: range, day: str, region: str = "EU") -> Rows:
        return [(i, 2.0 * i, day, region if i % 2 else "a/b c") for i in ids]

    source = write(tmp_path / "in", range(4))
    done = run(envelope, input_table=source, logical_date="2024-01-01T10:30:00Z", **options)
    assert done.path == "direct"
    first = expected(range(4), "2024-01-01T10:30:00Z")
    assert seen() == sorted(first, key=str)

    source = write(tmp_path / "in", range(6), "US")
    run(envelope, input_table=source, path="general", **options)
    assert seen() == sorted(first + expected(range(6), "2024-01-02", "US"), key=str)

    source = write(tmp_path / "in", range(3), "UK")
    run(envelope, input_table=source, **options)
    assert seen() == sorted(first + expected(range(3), "2024-01-02", "UK"), key=str)

    wider = frame(range(2)).append_column("more", pa.array(["a", "b"]))
    pq.write_table(wider, tmp_path / "in" / "part.parquet")
    with pytest.raises(SchemaError, match="column 'more' is not there"):
        run(envelope, input_table=source, **{**options, "keep_columns": ["id", "region", "more"]})
    with pytest.raises(SchemaError, match="it is partitioned by"):
        run(envelope, input_table=source, **{**options, "partition_columns": []})
    assert seen() == sorted(first + expected(range(3), "2024-01-02", "UK"), key=str)

    # A catalog's table of files is read directly too.
    options = {"output_table": tmp_path / "back", "keep_columns": ["id", "region", "x"]}
    warm_spark.sql(f"CREATE TABLE {name}_in USING parquet AS SELECT *, prediction AS x FROM {name}")
    done = run(envelope, input_table=f"{name}_in", path="direct", **options)
    assert (done.path, done.rows) == ("direct", 7)
    assert read(tmp_path / "back", "id", "prediction") == sorted(
        ((i, 2.0 * x) for i, x, *_ in seen()), key=str
    )
