"""Every type of column goes through JSON, Arrow and the Open Inference Protocol exactly."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_envelope.runtime import schemas
from model_envelope.runtime.spec import FunctionSpec
from model_envelope.serving.formats import ARROW, CSV, JSON, Codec
from model_envelope.serving.formats.answers import Output, Part
from model_envelope.serving.formats.v2 import HEADER_LENGTH

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
CATEGORICAL = pa.field(
    "",
    pa.dictionary(pa.int8(), pa.string()),
    metadata={schemas.CATEGORIES: '{"values":["a","b"],"ordered":false}'},
)


def whole(bits: int, *, signed: bool = True) -> st.SearchStrategy[int]:
    return (
        st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        if signed
        else st.integers(0, 2**bits - 1)
    )


INSTANTS = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1))
TYPES: dict[str, tuple[pa.Field, st.SearchStrategy[Any]]] = {
    "bool": (pa.field("", pa.bool_()), st.booleans()),
    "int8": (pa.field("", pa.int8()), whole(8)),
    "int64": (pa.field("", pa.int64()), whole(64)),
    "uint64": (pa.field("", pa.uint64()), whole(64, signed=False)),
    "float16": (pa.field("", pa.float16()), st.floats(width=16, allow_nan=False)),
    "float32": (pa.field("", pa.float32()), st.floats(width=32, allow_nan=False)),
    "float64": (pa.field("", pa.float64()), st.floats(allow_nan=False)),
    "string": (pa.field("", pa.string()), TEXT),
    "binary": (pa.field("", pa.binary()), st.binary(max_size=6)),
    "fixed binary": (pa.field("", pa.binary(3)), st.binary(min_size=3, max_size=3)),
    "decimal": (pa.field("", pa.decimal128(9, 3)), st.decimals(-99999, 99999, places=3)),
    "decimal of tens": (
        pa.field("", pa.decimal128(5, -1)),
        st.integers(-999, 999).map(lambda n: decimal.Decimal(n * 10)),
    ),
    "date32": (pa.field("", pa.date32()), st.dates(dt.date(1, 1, 1))),
    "date64": (pa.field("", pa.date64()), st.dates(dt.date(1700, 1, 1))),
    "time64": (pa.field("", pa.time64("us")), st.times()),
    "time32": (pa.field("", pa.time32("s")), st.times().map(lambda t: t.replace(microsecond=0))),
    "naive": (pa.field("", pa.timestamp("us")), INSTANTS),
    "naive ns": (pa.field("", pa.timestamp("ns")), st.integers(-(2**62), 2**62)),
    "naive s": (pa.field("", pa.timestamp("s")), INSTANTS.map(lambda t: t.replace(microsecond=0))),
    "zoned": (
        pa.field("", pa.timestamp("us", "Europe/Berlin")),
        INSTANTS.map(lambda t: t.replace(tzinfo=dt.UTC)),
    ),
    "zoned ns": (pa.field("", pa.timestamp("ns", "UTC")), st.integers(-(2**62), 2**62)),
    "duration": (pa.field("", pa.duration("ns")), whole(64)),
    "categorical": (CATEGORICAL, st.sampled_from(["a", "b"])),
    "list": (
        pa.field("", pa.list_(pa.float64())),
        st.lists(st.floats(allow_nan=False) | st.none(), max_size=3),
    ),
    "list of times": (
        pa.field("", pa.list_(pa.timestamp("us"))),
        st.lists(INSTANTS | st.none(), max_size=3),
    ),
    "fixed list": (
        pa.field("", pa.list_(pa.int32(), 2)),
        st.lists(whole(32), min_size=2, max_size=2),
    ),
    "struct": (
        pa.field("", pa.struct([("a b", pa.int64()), ("t", pa.date32())])),
        st.fixed_dictionaries({"a b": whole(64) | st.none(), "t": st.dates(dt.date(1, 1, 1))}),
    ),
    "odd struct": (
        pa.field("", pa.struct([('a"b', pa.decimal128(5, 1))])),
        st.fixed_dictionaries({'a"b': st.decimals(0, 999, places=1)}),
    ),
    "map": (
        pa.field("", pa.map_(pa.string(), pa.date32())),
        st.dictionaries(TEXT, st.dates(dt.date(1, 1, 1)), max_size=3).map(
            lambda d: list(d.items())
        ),
    ),
    "uuid": (pa.field("", pa.uuid()), st.uuids()),
}


def codec_of(field: pa.Field, name: str = "c") -> Codec:
    """The codec of a function that gives back its only column."""
    signature = schemas.to_signature(
        pa.schema([pa.field(name, field.type, True, metadata=field.metadata)])
    )
    return Codec(FunctionSpec(name="predict", file="", input=signature, output=signature))


def every_row(codec: Codec, table: pa.Table) -> Part:
    """All rows of an answer."""
    return Part(Output(codec.answers, table), 0, table.num_rows)


def column(field: pa.Field, values: list[Any]) -> pa.Table:
    """A table with one column `c`."""
    type_ = field.type
    if isinstance(type_, pa.UuidType):
        raw = [None if v is None else v.bytes for v in values]
        array = pa.ExtensionArray.from_storage(type_, pa.array(raw, pa.binary(16)))
    elif pa.types.is_dictionary(type_):
        codes = [None if v is None else "ab".index(v) for v in values]
        array = pa.DictionaryArray.from_arrays(
            pa.array(codes, type_.index_type), pa.array(["a", "b"])
        )
    elif pa.types.is_timestamp(type_) and any(isinstance(v, int) for v in values):
        array = pa.array(values, pa.int64()).cast(type_)
    elif type_ == pa.float16():
        array = pa.array(values, pa.float32()).cast(type_)
    else:
        array = pa.array(values, type_)
    return pa.table({"c": array})


# Arrow writes it, but does not read it.
NOT_FROM_CSV = ("float16",)
CODECS = {name: codec_of(field) for name, (field, _) in TYPES.items()}


def missing_as_none(value: Any) -> Any:
    """NaN in a float column is missing, at any depth."""
    if isinstance(value, list):
        return [missing_as_none(element) for element in value]
    return None if isinstance(value, float) and math.isnan(value) else value


@pytest.mark.parametrize("name", TYPES)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_values_come_back_as_they_went(name: str, data: st.DataObject) -> None:
    field, values = TYPES[name]
    codec = CODECS[name]
    table = column(field, data.draw(st.lists(values | st.none(), min_size=1, max_size=4)))
    expected = table.column(0).to_pylist()

    def come_back(found: pa.Table) -> None:
        assert found.schema.field(0).type == field.type
        assert missing_as_none(found.column(0).to_pylist()) == expected

    for empty in (b"[]", b'{"columns":{"c":[]}}'):
        written = codec.read(empty, JSON, "native").write(every_row(codec, table))
        come_back(codec.read(written.body, JSON, "native").table())
    as_csv = codec.read(b"[]", JSON, "native", accept=CSV).write(every_row(codec, table))
    if as_csv.media_type == CSV and name not in NOT_FROM_CSV:
        come_back(codec.read(as_csv.body, CSV, "native").table())
    streamed = codec.read(b"[]", JSON, "native", accept=ARROW).write(every_row(codec, table))
    assert streamed.media_type == ARROW
    come_back(codec.read(streamed.body, ARROW, "native").table())
    # MLflow's forms are read by position and by name.
    rows = codec.answers.rows(table)
    split = {"columns": ["c"], "data": [list(row.values()) for row in rows]}
    for body in ({"dataframe_split": split}, {"inputs": rows}, {"dataframe_records": rows}):
        come_back(codec.read(msgspec.json.encode(body), JSON, "mlflow").table())


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
@pytest.mark.parametrize("name", TYPES)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_tensors_come_back_as_they_went(name: str, binary: bool, data: st.DataObject) -> None:
    field, values = TYPES[name]
    codec = CODECS[name]
    table = column(field, data.draw(st.lists(values | st.none(), min_size=1, max_size=4)))
    tensor = {"name": "c", "shape": [0], "datatype": "BYTES", "data": []}
    if codec.v2.metadata()["inputs"][0]["shape"] == [-1]:
        tensor["datatype"] = codec.v2.metadata()["inputs"][0]["datatype"]
    question = {"inputs": [tensor], "parameters": {"binary_data_output": binary}}
    asked = codec.read(msgspec.json.encode(question), JSON, "v2")
    answer = asked.write(every_row(codec, table))
    length = int(dict(answer.headers).get(HEADER_LENGTH, len(answer.body)))
    head = json.loads(answer.body[:length])
    head["inputs"] = head.pop("outputs")
    body = json.dumps(head).encode()
    again = codec.read(
        body + answer.body[length:], answer.media_type, "v2", header_length=len(body)
    )
    assert missing_as_none(again.table().column(0).to_pylist()) == table.column(0).to_pylist()
