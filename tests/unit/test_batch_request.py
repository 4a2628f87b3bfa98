"""Batch requests: contradictions are refused before anything starts."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from model_envelope.batch.request import BatchRequest, batch_request
from model_envelope.batch.tables import PathTable
from model_envelope.errors import EnvelopeError, InvalidInput, InvalidName


def request(**options: Any) -> BatchRequest:
    defaults = {"input_table": "/data/in", "output_table": "/data/out", "run_key": "dag/task/1"}
    return batch_request(**(defaults | options))


def test_survives_the_way_through_json() -> None:
    one = request(
        input_table={"a": "sales.a", "b": "jdbc:postgresql://ann:secret@host/shop#b"},
        join_on=["id"],
        keep_columns=["id"],
        partition_columns=["region"],
        write_mode="append",
    )
    again = BatchRequest.from_json(json.loads(json.dumps(one.to_json())))
    assert again == one
    assert "secret" not in json.dumps(one.described())
    assert one.described()["inputs"] == {"a": "sales.a", "b": "jdbc:postgresql://host/shop#b"}


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (date(2024, 1, 2), "2024-01-02"),
        ("2024-01-02", "2024-01-02"),
        (datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02"),
        (datetime(2024, 1, 2, 1, tzinfo=timezone(timedelta(hours=1))), "2024-01-02"),
        (datetime(2024, 1, 2, 10, 30, tzinfo=UTC), "2024-01-02T10:30:00Z"),
        ("2024-01-02T10:30:00.5+00:00", "2024-01-02T10:30:00.500000Z"),
    ],
)
def test_logical_date_is_a_text_that_sorts_by_time(given: Any, value: str) -> None:
    assert request(logical_date=given).logical_date == value


def test_logical_date_is_today_unless_given() -> None:
    assert date.fromisoformat(request().logical_date)


@pytest.mark.parametrize("given", ["yesterday", "2024-01-02/..", datetime(2024, 1, 2), 5])
def test_unclear_logical_date_is_refused(given: Any) -> None:
    with pytest.raises(InvalidInput, match="logical_date"):
        request(logical_date=given)


def test_append_owns_a_partition_of_its_run_and_replace_that_of_its_date() -> None:
    one, other = (request(write_mode="append", run_key=k, logical_date="2024-01-02") for k in "ab")
    assert one.partitions["logical_date"] == other.partitions["logical_date"] == "2024-01-02"
    assert one.partitions["run_key"] != other.partitions["run_key"]
    assert request(logical_date="2024-01-02").partitions == {"logical_date": "2024-01-02"}


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("/data/customers.csv", ["customers"]),
        (["sales.customers", "/data/2024 orders.parquet"], ["customers", "orders"]),
        ({"a": "sales.customers", "b": "other.customers"}, ["a", "b"]),
        (Path("/data/customers"), ["customers"]),
    ],
)
def test_inputs_are_named_by_their_addresses(given: Any, names: list[str]) -> None:
    several = {"join_on": "id"} if len(names) > 1 else {}
    assert list(request(input_table=given, **several).inputs) == names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_table": []}, "no table"),
        ({"input_table": ["a.t", "b.t"], "join_on": "id"}, "same name"),
        ({"input_table": ["a", "b"]}, "join_on"),
        ({"join_on": "id"}, "several inputs"),
        ({"input_table": ["a", "b"], "join_on": "id", "sql": "SELECT 1"}, "not both"),
        ({"sql": " ; "}, "SELECT"),
        ({"output_table": "/data/in"}, "overlaps"),
        ({"output_table": "/data/in/part"}, "overlaps"),
        ({"output_table": "/data"}, "overlaps"),
        ({"input_table": ["a", "b"], "join_on": "id", "output_table": "B"}, "overlaps"),
        ({"keep_columns": ["envelope_id"]}, "of its own"),
        ({"partition_columns": ["Logical_Date"]}, "of its own"),
        ({"keep_columns": ["id", "id"]}, "more than once"),
        ({"keep_columns": [5]}, "column names"),
        ({"write_mode": "merge"}, "'replace', 'append', 'overwrite'"),
        ({"path": "fast"}, "'auto', 'direct', 'general'"),
        ({"table_format": "delta"}, "tables of a catalog"),
        ({"run_key": " "}, "run_key"),
        ({"run_key": "k" * 513}, "run_key"),
        ({"batch_rows": 0}, "batch_rows"),
        (
            {"output_table": "jdbc:postgresql://h/d#t", "partition_columns": ["region"]},
            "not partitioned",
        ),
        ({"output_table": "jdbc:postgresql://h/d#t", "path": "direct"}, "Parquet"),
    ],
)
def test_contradictions_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        request(**options)


@pytest.mark.parametrize(
    "options", [{"input_table": {"a b": "t"}}, {"output_table": "t; DROP TABLE x"}]
)
def test_hostile_names_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidName):
        request(**options)


def test_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out.parquet").write_bytes(b"precious")
    with pytest.raises(EnvelopeError, match="directory of files"):
        request(output_table=str(tmp_path / "out.parquet"))


def test_paths_are_the_same_table_whatever_they_are_written_as() -> None:
    assert request(output_table="file:///data/out/").output == PathTable("/data/out")
