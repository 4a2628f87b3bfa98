"""Tables that are no local files: PostgreSQL, Hive's own, another file system."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import make_url

from model_envelope.batch.run import BatchPrediction
from model_envelope.batch.tables import JdbcTable
from model_envelope.client.client import Client
from model_envelope.client.envelope import Envelope
from model_envelope.errors import InvalidInput, PredictionFailed, SchemaError
from tests.integration.spark.conftest import WarmSpark

pytestmark = pytest.mark.spark

Run = Callable[..., BatchPrediction]


def doubling() -> Callable[[pd.DataFrame], Any]:
    def predict(frame: pd.DataFrame) -> Any:
        if frame["x"].eq(13).any():
            raise ValueError("unlucky")
        return frame["x"].to_numpy() * 2

    return predict


@pytest.fixture
def envelope(client: Client) -> Envelope:
    """A model that doubles `x`, but for 13."""
    sample = pd.DataFrame({"x": [0.5, 1.5]})
    return client.save_model(doubling(), tags={"canonical_name": "test"}, api_input=sample)


def write(folder: Path, ids: range) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    regions = pa.array(["EU" if i % 2 else None for i in ids], pa.string())
    columns = {"id": pa.array(ids, pa.int64()), "x": pa.array([float(i) for i in ids])}
    pq.write_table(pa.table({**columns, "region": regions}), folder / "part.parquet")
    return folder


class Database:
    """A PostgreSQL database, and addresses of its tables."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)

    def table(self, name: str) -> JdbcTable:
        place = f"jdbc:postgresql://{self.url.host}:{self.url.port}/{self.url.database}"
        return JdbcTable(place, name, str(self.url.username), str(self.url.password))

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        plain = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as connection:
            found = connection.execute(statement.encode())
            return found.fetchall() if found.description else []


@pytest.fixture
def database(postgres_url: str) -> Database:
    """An empty database."""
    return Database(postgres_url)


def test_postgresql(envelope: Envelope, run: Run, database: Database, tmp_path: Path) -> None:
    database.sql("CREATE TABLE customers (id bigint, x float8, region text)")
    database.sql("INSERT INTO customers SELECT i, i, 'EU' FROM generate_series(0, 3) i")
    out = database.table("public.predictions")
    options = {"output_table": out, "keep_columns": ["id", "region"]}

    def seen() -> list[tuple[Any, ...]]:
        return database.sql("SELECT id, prediction, logical_date FROM predictions ORDER BY 3, 1")

    done = run(envelope, input_table=database.table("customers"), **options)
    assert (done.path, done.rows, done.path_reason[:9]) == ("general", 4, "the input")
    second = [(i, 2.0 * i, "2024-01-02") for i in range(4)]
    assert seen() == second

    source = write(tmp_path / "in", range(2))
    run(envelope, input_table=source, logical_date="2024-01-01", **options)
    first = [(i, 2.0 * i, "2024-01-01") for i in range(2)]
    assert seen() == first + second
    ((envelope_id,),) = database.sql("SELECT DISTINCT envelope_id FROM predictions")
    assert envelope_id == envelope.id

    source = write(tmp_path / "in", range(12, 15))
    with pytest.raises(PredictionFailed, match="id=13"):
        run(envelope, input_table=source, **options)
    assert seen() == first + second

    database.sql("ALTER TABLE predictions ADD COLUMN seen_at timestamptz DEFAULT now()")
    source = write(tmp_path / "in", range(1))
    run(envelope, input_table=source, run_key="again", **options)
    assert seen() == [*first, (0, 0.0, "2024-01-02")]

    run(envelope, input_table=source, write_mode="overwrite", **options)
    assert seen() == [(0, 0.0, "2024-01-02")]

    database.sql("ALTER TABLE predictions DROP COLUMN prediction")
    with pytest.raises(SchemaError, match='column "prediction" of relation'):
        run(envelope, input_table=source, **options)

    tables = database.sql("SELECT relname FROM pg_class WHERE relname LIKE 'me_staging%'")
    assert tables == []
    assert (out.password or "-") not in repr(out)


def test_postgresql_append_and_what_dead_runs_left(
    envelope: Envelope, run: Run, database: Database, tmp_path: Path
) -> None:
    out = database.table("predictions")
    options = {"output_table": out, "keep_columns": ["id"], "write_mode": "append"}
    for key, ids in (("a", range(2)), ("b", range(2, 4)), ("b", range(2, 5))):
        run(envelope, input_table=write(tmp_path / "in", ids), run_key=key, **options)
        if key == "a":
            ((dead,),) = database.sql(
                "SELECT 'me_staging_' || left(encode(sha256("
                f"'{out.address}'::bytea), 'hex'), 16) || '_0123456789abcdef'"
            )
            database.sql(f"CREATE TABLE {dead} (x int)")
    assert database.sql("SELECT id FROM predictions ORDER BY 1") == [(i,) for i in range(5)]
    assert database.sql("SELECT relname FROM pg_class WHERE relname LIKE 'me_staging%'") == []


def test_postgresql_that_cannot_be_reached_is_named(
    envelope: Envelope, run: Run, tmp_path: Path
) -> None:
    out = JdbcTable("jdbc:postgresql://127.0.0.1:1/nowhere", "t", "ann", "s3cret")
    with pytest.raises(InvalidInput, match=r"jdbc:postgresql://127\.0\.0\.1:1/nowhere") as caught:
        run(envelope, input_table=write(tmp_path / "in", range(2)), output_table=out)
    assert "s3cret" not in str(caught.value)


def test_hive_table(envelope: Envelope, run: Run, warm_spark: WarmSpark, tmp_path: Path) -> None:
    name = f"hive_{tmp_path.name}"
    warm_spark.sql(
        f"CREATE TABLE {name} (id BIGINT, prediction DOUBLE, envelope_id STRING) "
        "PARTITIONED BY (logical_date STRING, region STRING) STORED AS ORC"
    )
    options = {
        "output_table": name,
        "keep_columns": ["id", "region"],
        "partition_columns": ["region"],
    }

    def seen() -> list[tuple[Any, ...]]:
        return warm_spark.sql(f"SELECT id, region, logical_date FROM {name} ORDER BY 3, 1")

    def rows(ids: range, day: str) -> list[tuple[Any, ...]]:
        return [(i, "EU" if i % 2 else None, day) for i in ids]

    run(
        envelope, input_table=write(tmp_path / "in", range(4)), logical_date="2024-01-01", **options
    )
    run(envelope, input_table=write(tmp_path / "in", range(3)), **options)
    assert seen() == rows(range(4), "2024-01-01") + rows(range(3), "2024-01-02")
    run(envelope, input_table=write(tmp_path / "in", range(1)), **options)
    assert seen() == rows(range(4), "2024-01-01") + rows(range(1), "2024-01-02")
    run(envelope, input_table=write(tmp_path / "in", range(0)), **options)
    assert seen() == rows(range(4), "2024-01-01")

    with pytest.raises(InvalidInput, match="would delete"):
        run(envelope, input_table=tmp_path / "in", **options, write_mode="overwrite")


def test_another_file_system(
    envelope: Envelope, run: Run, warm_spark: WarmSpark, tmp_path: Path
) -> None:
    out = f"viewfs://tests/data/{tmp_path.name}"
    options = {"output_table": out, "keep_columns": ["id"]}

    def seen() -> list[tuple[Any, ...]]:
        view = f"CREATE OR REPLACE TEMPORARY VIEW far USING parquet OPTIONS (path '{out}')"
        warm_spark.sql(view)
        return warm_spark.sql("SELECT id, logical_date FROM far ORDER BY 2, 1")

    for day, ids in (("2024-01-01", range(2)), ("2024-01-02", range(4)), ("2024-01-02", range(3))):
        done = run(envelope, input_table=write(tmp_path / "in", ids), logical_date=day, **options)
        assert done.path == "general"
    kept = [(i, "2024-01-01") for i in range(2)]
    assert seen() == kept + [(i, "2024-01-02") for i in range(3)]

    source = write(tmp_path / "in", range(12, 15))
    with pytest.raises(PredictionFailed, match="unlucky"):
        run(envelope, input_table=source, **options)
    assert seen() == kept + [(i, "2024-01-02") for i in range(3)]

    run(envelope, input_table=write(tmp_path / "in", range(0)), **options)
    assert seen() == kept
    for refused in ({"write_mode": "overwrite"}, {"partition_columns": ["id"]}):
        with pytest.raises(InvalidInput, match=r"would delete|need a table of a catalog"):
            run(envelope, input_table=source, **{**options, **refused})
