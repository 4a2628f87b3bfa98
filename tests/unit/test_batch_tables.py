"""Table addresses: read, shown without secrets, and refused where they could be hostile."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_envelope.batch import tables
from model_envelope.batch.tables import CatalogTable, JdbcTable, PathTable, parse_table
from model_envelope.errors import InvalidInput, InvalidName


@pytest.mark.parametrize(
    ("address", "table"),
    [
        ("customers", CatalogTable("customers")),
        ("sales.customers", CatalogTable("sales.customers")),
        ("lake.sales.customers", CatalogTable("lake.sales.customers")),
        ("/data/customers", PathTable("/data/customers", "parquet")),
        ("/data/customers/", PathTable("/data/customers", "parquet")),
        ("file:///data/customers.csv", PathTable("/data/customers.csv", "csv")),
        ("/data/customers.JSONL", PathTable("/data/customers.JSONL", "json")),
        ("csv:/data/customers", PathTable("/data/customers", "csv")),
        ("orc:s3a://bucket/customers", PathTable("s3a://bucket/customers", "orc")),
        ("hdfs://name:8020/customers", PathTable("hdfs://name:8020/customers", "parquet")),
        ("/data/a b/ü=1", PathTable("/data/a b/ü=1", "parquet")),
        (
            "jdbc:postgresql://host:5432/shop?ssl=true#public.customers",
            JdbcTable("jdbc:postgresql://host:5432/shop?ssl=true", "public.customers"),
        ),
    ],
)
def test_address_names_a_table_and_is_given_back(
    address: str, table: CatalogTable | PathTable | JdbcTable
) -> None:
    assert parse_table(address) == table
    assert parse_table(table.address) == table
    assert tables.from_json(tables.to_json(table)) == table


def test_relative_path_is_taken_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_table("data/customers") == PathTable(f"{tmp_path}/data/customers")
    assert parse_table(Path("customers")) == PathTable(f"{tmp_path}/customers")


@pytest.mark.parametrize(
    "address",
    [
        "t; DROP TABLE x",
        "text.`/etc/passwd`",
        "a.b.c.d",
        "customers\n",
        "customers ",
        "1customers",
        "küsten",
        "a" * 129,
        "",
        ".",
        "a..b",
        "/",
        "s3a://bucket",
        "/data/../etc",
        "/data/*",
        "/data/{a,b}",
        "/data/[ab]",
        "/data/x\0",
        "/data/x\n",
        "c:\\data\\x/y",
        "jdbc:postgresql://host/shop#t; DROP TABLE x",
        "jdbc:postgresql://host/shop#a.b.c",
        "jdbc:postgresql://host/shop",
        'jdbc:postgresql://host/shop#"t"',
    ],
)
def test_hostile_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidName):
        parse_table(address)


@pytest.mark.parametrize(
    "address", ["jdbc:mysql://host/shop#t", "jdbc:postgresql:shop#t", "jdbc:postgresql:///shop#t"]
)
def test_other_databases_are_refused(address: str) -> None:
    with pytest.raises(InvalidInput, match="jdbc:postgresql://host"):
        parse_table(address)


@pytest.mark.parametrize(
    "address",
    [
        "jdbc:postgresql://ann:s%3Acret@host/shop#t",
        "jdbc:postgresql://host/shop?user=ann&password=s%3Acret#t",
    ],
)
def test_credentials_are_kept_apart_from_what_is_shown(address: str) -> None:
    table = parse_table(address)
    assert table == JdbcTable("jdbc:postgresql://host/shop", "t", "ann", "s:cret")
    assert "cret" not in f"{table!r} {table.address}"
    assert tables.from_json(tables.to_json(table)) == table


def test_credentials_in_a_jdbc_url_are_refused() -> None:
    with pytest.raises(InvalidInput, match="user and password"):
        JdbcTable("jdbc:postgresql://host/shop?password=x", "t")


def test_overlap_sees_through_links_case_and_nesting(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    data = parse_table(tmp_path / "data")
    assert tables.overlap(data, parse_table(f"csv:{tmp_path}/link"))
    assert tables.overlap(data, parse_table(tmp_path / "link" / "part"))
    assert tables.overlap(parse_table(tmp_path / "data" / "part"), data)
    assert not tables.overlap(data, parse_table(tmp_path / "data2"))
    assert tables.overlap(parse_table("Sales.customers"), parse_table("sales.Customers"))
    assert not tables.overlap(parse_table("sales.customers"), parse_table("customers"))


def test_names_are_quoted_for_sql() -> None:
    assert CatalogTable("sales.customers").quoted == "`sales`.`customers`"
    assert JdbcTable("jdbc:postgresql://h/d", "public.t").quoted == '"public"."t"'
