"""Whatever a body holds, it is predicted or refused with a 4xx: nothing else comes out."""

from __future__ import annotations

import json
import random
from typing import Any, get_args

import msgspec
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from model_envelope.runtime import schemas
from model_envelope.runtime.spec import FunctionSpec
from model_envelope.serving.formats import (
    ARROW,
    CSV,
    JSON,
    BadRequest,
    Codec,
    Dialect,
    v2_error_body,
)
from model_envelope.serving.formats.media import BINARY
from model_envelope.serving.formats.tables import write_arrow, write_csv

SCHEMA = pa.schema(
    [
        pa.field("price", pa.float64(), nullable=True),
        pa.field("count", pa.uint64(), nullable=False),
        pa.field("when", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("day", pa.date32(), nullable=True),
        pa.field("fee", pa.decimal128(9, 2), nullable=True),
        pa.field("text", pa.string(), nullable=False),
        pa.field("raw", pa.binary(), nullable=True),
    ]
)
NESTED = pa.schema(
    [
        *SCHEMA,
        pa.field("list", pa.list_(pa.float32()), nullable=True),
        pa.field("where", pa.struct([("lat", pa.float64()), ("at", pa.time64("us"))])),
        pa.field("map", pa.map_(pa.string(), pa.int64()), nullable=True),
    ]
)


def codec_of(schema: pa.Schema) -> Codec:
    signature = schemas.to_signature(schema)
    return Codec(FunctionSpec(name="predict", file="", input=signature, output=signature))


FLAT_CODEC, CODEC = codec_of(SCHEMA), codec_of(NESTED)
ROW: dict[str, Any] = {
    "price": 0.1,
    "count": 1,
    "when": "2024-02-29T12:00:00+01:00",
    "day": "2024-02-29",
    "fee": "12.50",
    "text": "é",
    "raw": "YQ==",
    "list": [1.5, None],
    "where": {"lat": 1.5, "at": "10:00:00"},
    "map": [["a", 1]],
}
QUESTIONS: list[tuple[Dialect, Any]] = [
    ("native", [ROW, ROW]),
    ("native", ROW),
    ("native", {"columns": {name: [value] for name, value in ROW.items()}}),
    ("mlflow", {"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())]}}),
    ("mlflow", {"inputs": {name: [value] for name, value in ROW.items()}}),
    ("mlflow", {"instances": [ROW]}),
    ("v2", CODEC.v2.question(CODEC.read(json.dumps([ROW]).encode(), JSON, "native").table())),
]
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, 0, -1, 1.5, 2**63, 2**64, -(2**70), 1e300, -0.0, float("nan"), float("inf")),
        *(
            "",
            "NaN",
            "Infinity",
            "-inf",
            "1e5",
            "1" * 5000,
            "\x00",
            "é" * 50,
            "\ud800",
            "2024-13-01",
        ),
        *(
            "0000-00-00T00:00:00Z",
            "9999-12-31T23:59:60Z",
            "P",
            "{}",
            "[]",
            [],
            [[]],
            {},
            {"": None},
        ),
        *([None], [[[[1]]]], {"columns": []}, {"lat": 1}, ["a", "b", "c"]),
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def read(codec: Codec, body: bytes, media: str, dialect: Dialect, **options: Any) -> None:
    """Read a body as the service does; everything but a refusal is let through."""
    refused = None
    try:
        request = codec.read(body, media, dialect, **options)
    except BadRequest as error:
        refused = error
    if refused is not None:
        assert refused.status in (400, 413, 415, 422)
        assert json.loads(refused.to_json("id"))["error"]["message"]
        assert json.loads(v2_error_body(str(refused), refused.details))["error"]
        return
    table = request.table()
    table.validate(full=True)
    assert table.schema.equals(codec.layout.schema)
    assert table.num_rows == request.rows
    codec.respond([request], table)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container within a value, with each of its keys."""
    if isinstance(value, dict):
        return [(value, key) for key in value] + [p for v in value.values() for p in places(v)]
    if isinstance(value, list):
        return [(value, i) for i in range(len(value))] + [p for v in value for p in places(v)]
    return []


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(question=st.sampled_from(QUESTIONS), odd=ODD | JSON_VALUES, data=st.data())
def test_one_odd_value_somewhere(
    question: tuple[Dialect, Any], odd: Any, data: st.DataObject
) -> None:
    dialect, body = question
    body = json.loads(msgspec.json.encode(body))
    container, key = data.draw(st.sampled_from(places(body)))
    change = data.draw(st.sampled_from(["put", "remove", "rename", "twice"]))
    if change == "put":
        container[key] = odd
    elif change == "remove":
        del container[key]
    elif isinstance(container, dict) and change == "rename":
        container[str(odd)[:100]] = container.pop(key)
    elif isinstance(container, list):
        container.append(container[key])
    try:
        text = json.dumps(body, ensure_ascii=data.draw(st.booleans()))
        raw = text.encode("utf-8", "surrogatepass")
    except ValueError:  # an integer of too many digits for Python to write
        return
    read(CODEC, raw, JSON, dialect)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=JSON_VALUES, dialect=st.sampled_from(get_args(Dialect)))
@example(body={"columns": {}}, dialect="native")
@example(body={"columns": {"columns": 1}}, dialect="native")
def test_any_json(body: Any, dialect: Dialect) -> None:
    read(CODEC, json.dumps(body).encode(), JSON, dialect)


@pytest.mark.parametrize("seed", range(6))
def test_damaged_bytes(seed: int) -> None:
    """Bytes changed, cut out and put in, in each kind of body."""
    chance = random.Random(seed)
    table = FLAT_CODEC.read(
        json.dumps([{name: ROW[name] for name in SCHEMA.names}] * 3).encode(), JSON, "native"
    ).table()
    bodies: list[tuple[Codec, bytes, str, Dialect]] = [
        *((CODEC, msgspec.json.encode(body), JSON, dialect) for dialect, body in QUESTIONS),
        (FLAT_CODEC, write_arrow(table), ARROW, "native"),
        (FLAT_CODEC, write_csv(table.select(["price", "count", "text"])), CSV, "native"),
        (FLAT_CODEC, msgspec.json.encode(FLAT_CODEC.v2.question(table)), BINARY, "v2"),
    ]
    for codec, body, media, dialect in bodies:
        for _ in range(60):
            damaged = bytearray(body)
            for _ in range(chance.randint(1, 3)):
                at = chance.randrange(len(damaged))
                length = chance.choice([0, 1, 1, 2, 8, 40])
                with_ = chance.randbytes(chance.choice([0, 1, 1, 2, 8]))
                damaged[at : at + length] = with_
            length_told = chance.choice([None, len(body), chance.randrange(len(body))])
            options = {"header_length": length_told} if dialect == "v2" else {}
            read(codec, bytes(damaged), media, dialect, **options)


@pytest.mark.parametrize("dialect", get_args(Dialect))
@pytest.mark.parametrize("deep", [b"[" * 200_000, b'{"inputs":' * 50_000, b'[{"price":' * 50_000])
def test_deep_nesting(dialect: Dialect, deep: bytes) -> None:
    closed = deep + b"1" + b"]" * deep.count(b"[") + b"}" * deep.count(b"{")
    for body in (deep, closed, b'{"columns":{"price":' + closed + b"}}", b'{"id":' + deep):
        with pytest.raises(BadRequest):
            CODEC.read(body, JSON, dialect)


def test_numbers_of_many_digits() -> None:
    for digits in (
        b"1" * 100_000,
        b"0." + b"1" * 100_000,
        b"1" * 100_000 + b".5",
        b"1e" + b"9" * 5000,
    ):
        for name in ("price", "count", "fee"):
            body = json.dumps([ROW | {name: "HERE"}]).encode().replace(b'"HERE"', digits)
            read(CODEC, body, JSON, "native")


def test_a_table_of_another_shape() -> None:
    frame = pd.DataFrame({"price": [1.0], "count": ["x"]})
    twice = pa.Table.from_arrays([pa.array([1.0])] * 2, names=["price", "price"])
    for table in (
        pa.Table.from_pandas(frame),
        twice,
        pa.table({}),
        FLAT_CODEC.layout.schema.empty_table(),
    ):
        read(FLAT_CODEC, write_arrow(table), ARROW, "native")


def refused(body: bytes, **options: Any) -> int:
    codec = Codec(FLAT_CODEC.spec, **options)
    with pytest.raises(BadRequest) as refusal:
        codec.read(body, ARROW, "native")
    return refusal.value.status


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_stream_that_would_grow_is_not_unpacked(compression: str) -> None:
    sink = pa.BufferOutputStream()
    zeros = pa.table({"price": pa.array([0.0]).take(pa.array([0] * 1_000_000))})
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, zeros.schema, options=options) as writer:
        writer.write_table(zeros)
    assert refused(sink.getvalue().to_pybytes()) == 415
    dictionary = pa.array(["x" * 10_000, "y"]).dictionary_encode()
    sink = pa.BufferOutputStream()
    table = pa.table({"text": dictionary})
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    assert refused(sink.getvalue().to_pybytes()) == 415


def test_more_rows_than_a_stream_can_hold() -> None:
    nulls = pa.RecordBatch.from_arrays([pa.nulls(10**9)], names=["price"])
    body = write_arrow(pa.Table.from_batches([nulls]))
    assert len(body) < 1000
    assert refused(body) == 413
    table = FLAT_CODEC.layout.schema.empty_table()
    some = pa.concat_tables([table, pa.table({"text": ["x"] * 11})], promote_options="permissive")
    assert refused(write_arrow(some), max_rows=10) == 413
    assert refused(write_arrow(some), max_rows=11) == 422


def test_many_and_long_names_are_refused_in_short_words() -> None:
    """What compares each name with each other would not come back from these."""
    many = {f"pric{i}": 1 for i in range(200_000)}
    long = {"price" * 200_000: 1}
    bodies: list[tuple[Dialect, Any]] = [
        *(("native", body) for body in (many, long, [many] * 2, {"columns": many})),
        *(("mlflow", body) for body in (many, long, {"inputs": many}, {"instances": [long]})),
        ("mlflow", {"dataframe_split": {"columns": list(many), "data": []}}),
        ("mlflow", {"dataframe_split": {"columns": ["price"] * 200_000, "data": []}}),
        (
            "v2",
            {
                "inputs": [
                    {"name": n, "shape": [1], "datatype": "BOOL", "data": [True]} for n in long
                ]
            },
        ),
        ("v2", {"inputs": [], "outputs": [{"name": n} for n in long]}),
    ]
    for dialect, body in bodies:
        with pytest.raises(BadRequest) as refusal:
            CODEC.read(msgspec.json.encode(body), JSON, dialect)
        assert len(refusal.value.to_json()) < 20_000
    wide = pa.table({name: [1] for name in list(many)[:5000]})
    assert refused(write_arrow(wide)) == 422


def test_a_thousand_wrong_rows_are_told_by_the_first() -> None:
    with pytest.raises(BadRequest) as refusal:
        CODEC.read(msgspec.json.encode([ROW | {"price": "x"}] * 1000), JSON, "native")
    assert [problem["row"] for problem in refusal.value.details] == list(range(20))
