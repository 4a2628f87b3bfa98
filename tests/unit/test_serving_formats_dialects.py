"""MLflow's bodies, CSV, the Open Inference Protocol and what `Accept` asks for."""

from __future__ import annotations

import contextlib
import json
import struct
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from model_envelope import derivation
from model_envelope.runtime import inputs
from model_envelope.runtime.calling import Predictor
from model_envelope.serving.formats import ARROW, CSV, JSON, BadRequest, Codec, Dialect
from model_envelope.serving.formats.media import BINARY

FRAME = pd.DataFrame({"price": [0.1, 2.5], "count": [1, 2], "kind": ["x", "y"]})
ROWS = [[0.1, 3, "x"], [2.5, 2, "y"]]
RECORDS = [dict(zip(FRAME.columns, row, strict=True)) for row in ROWS]
COLUMNS = {name: [row[name] for row in RECORDS] for name in FRAME.columns}
ANSWERS = [0.1 * 3, 5.0]


def served(model: Any, sample: Any) -> tuple[Codec, Predictor]:
    table = derivation.describe_input(sample)
    taken = derivation.take_sample(table, inputs.kind_of(sample), table.num_rows)
    spec = derivation.derive("predict", model, taken, file="model").spec
    return Codec(spec, model="prices", version="7"), Predictor(spec, model)


SERIES = served(lambda frame: frame["price"] * frame["count"], FRAME)
NAMED = served(lambda frame: pd.DataFrame({"a": frame["price"], "b": frame["kind"]}), FRAME)
MATRIX = served(lambda block: block @ np.array([1.0, 10.0]), np.array([[1.0, 2.0], [3.0, 4.0]]))
IMAGES = served(lambda block: block.sum(axis=(1, 2)), np.arange(12.0).reshape(2, 2, 3))


def ask(
    model: tuple[Codec, Predictor],
    body: Any,
    dialect: Dialect,
    media: str = JSON,
    **options: Any,
) -> Any:
    codec, predictor = model
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = codec.read(raw, media, dialect, **options)
    (response,) = codec.respond([request], codec.predict(predictor, [request.columns]))
    return json.loads(response.body) if response.media_type == JSON else response


def refusal(*arguments: Any, **options: Any) -> BadRequest:
    with pytest.raises(BadRequest) as refused:
        ask(*arguments, **options)
    return refused.value


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": list(FRAME.columns), "index": [7, 8], "data": ROWS}},
        {
            "dataframe_split": {
                "columns": ["kind", "price", "count"],
                "data": [["x", 0.1, 3], ["y", 2.5, 2]],
            }
        },
        {"dataframe_split": {"data": ROWS}},
        {"dataframe_records": RECORDS, "params": {}},
        {"inputs": COLUMNS},
        {"inputs": RECORDS},
        {"inputs": ROWS},
        {"instances": RECORDS},
        {"instances": ROWS},
    ],
)
def test_mlflows_bodies_are_one_question(body: Any) -> None:
    assert ask(SERIES, body, "mlflow") == {"predictions": ANSWERS}


def test_predictions_have_the_form_that_the_function_gave() -> None:
    body = {"instances": ROWS}
    expected = [{"a": 0.1, "b": "x"}, {"a": 2.5, "b": "y"}]
    assert ask(NAMED, body, "mlflow") == {"predictions": expected}
    twice = served(lambda block: block * 2, np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert ask(twice, {"inputs": [[1, 2]]}, "mlflow") == {"predictions": [[2.0, 4.0]]}
    one = served(lambda values: values + 1, pd.Series([1.0, 2.0], name="x"))
    assert ask(one, {"inputs": [1, 2]}, "mlflow") == {"predictions": [2.0, 3.0]}


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ([], "One|one of"),
        ({}, "none"),
        ({"inputs": [], "instances": []}, "`inputs`, `instances`"),
        ({"input": []}, "`input`"),
        ({"inputs": RECORDS, "params": {"a": 1}}, "params"),
        ({"dataframe_split": {"columns": ["price"], "data": []}}, "'count'"),
        ({"dataframe_split": {"columns": ["price", "price"], "data": []}}, "count"),
        ({"dataframe_split": {"columns": [1], "data": []}}, "strings"),
        ({"dataframe_split": {"data": 3}}, "rows"),
        ({"dataframe_split": []}, "`data`"),
        ({"inputs": [[1.0, 2]]}, "row 0: expected an array of 3"),
        ({"inputs": {"price": 1.0, "count": [], "kind": []}}, "'price'.*array"),
        ({"inputs": {"price": [1.0], "count": [], "kind": []}}, "as many values"),
        ({"inputs": [[0.1, 3, float("nan")]]}, "'kind', row 0.*NaN"),
    ],
)
def test_what_mlflow_would_not_send_is_refused(body: Any, match: str) -> None:
    found = refusal(SERIES, body, "mlflow")
    assert found.status == 422
    with pytest.raises(BadRequest, match=match):
        raise found


def test_csv_goes_in_and_out() -> None:
    body = b"kind,count,price,more\nx,3,0.1,\ny,2,2.5,\n"
    answer = ask(SERIES, body, "native", CSV)
    assert answer.media_type == CSV
    assert answer.body == b'"prediction"\n0.30000000000000004\n5\n'
    assert ask(SERIES, body, "mlflow", CSV) == {"predictions": ANSWERS}
    assert ask(SERIES, body, "native", CSV, accept=JSON)[1] == {"prediction": 5.0}
    found = refusal(SERIES, b"kind,count,price\nx,many,0.1\n", "native", CSV)
    assert found.status == 422
    assert "many" in str(found)
    assert "'price' is missing" in str(refusal(SERIES, b"kind,count\nx,1\n", "native", CSV))
    assert refusal(SERIES, b"", "native", CSV).status == 422
    assert refusal(SERIES, b"price\xff\n1", "native", CSV).status == 422


def arrow(table: pa.Table) -> bytes:
    return derivation.to_ipc(table)


def test_arrow_is_answered_by_arrow_unless_json_is_asked_for() -> None:
    table = pa.table(
        {"count": pa.array([3, 2], pa.int8())} | {n: COLUMNS[n] for n in ("price", "kind")}
    )
    answer = ask(SERIES, arrow(table), "native", ARROW)
    assert answer.media_type == ARROW
    assert derivation.from_ipc(answer.body).to_pydict() == {"prediction": ANSWERS}
    as_json = [{"prediction": value} for value in ANSWERS]
    assert ask(SERIES, arrow(table), "native", ARROW, accept="application/json") == as_json
    assert ask(SERIES, RECORDS, "native", accept=f"text/html, {ARROW};q=0.5").media_type == ARROW


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("text/html, */*;q=0.1", JSON),
        (f"{ARROW}, */*", ARROW),
        (f"{ARROW};q=0.3, application/json;q=0.4", JSON),
        (f"{ARROW};q=x, application/*", JSON),
        ("text/csv", CSV),
        ("image/png", JSON),
        (",;,=", JSON),
    ],
)
def test_the_form_that_a_client_likes_best(accept: str, media: str) -> None:
    codec, _ = SERIES
    output = pa.table({"prediction": [1.0]})
    asked = codec.read(json.dumps(RECORDS[:1]).encode(), JSON, "native", accept=accept)
    (response,) = codec.respond([asked], output)
    assert response.media_type == media


def test_arrow_that_does_not_fit_is_refused_by_column() -> None:
    found = refusal(SERIES, arrow(pa.table({"price": ["a"], "count": [1]})), "native", ARROW)
    assert found.status == 422
    assert {problem["column"] for problem in found.details} == {"price", "kind"}
    whole = arrow(pa.Table.from_pylist(RECORDS))
    for broken in (b"", b"x" * 100, whole[: len(whole) // 2], whole[:40]):
        assert refusal(SERIES, broken, "native", ARROW).status == 400
    for at in range(0, len(whole), 5):
        # A stream that is damaged is refused, or still says something; it never breaks.
        damaged = whole[:at] + b"\xff\xff\xff" + whole[at + 3 :]
        with contextlib.suppress(BadRequest):
            ask(SERIES, damaged, "native", ARROW)


def test_media_types_that_are_not_taken() -> None:
    for media in ("", "text/plain", "application/json; charset=latin-1", "multipart/form-data"):
        for dialect in ("native", "mlflow", "v2"):
            if media or dialect != "v2":
                assert refusal(SERIES, RECORDS, dialect, media).status == 415
    assert ask(SERIES, [], "native", "Application/JSON; Charset=UTF-8") == []


def tensor(name: str, datatype: str, shape: list[int], data: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


PRICES = [
    tensor("kind", "BYTES", [2], ["x", "y"]),
    tensor("price", "FP64", [2, 1], [[0.1], [2.5]]),
    tensor("count", "INT32", [2], [3, 2]),
]


def test_tensors_are_answered_by_tensors() -> None:
    answer = ask(SERIES, {"id": "q", "inputs": PRICES}, "v2")
    assert answer == {
        "model_name": "prices",
        "model_version": "7",
        "id": "q",
        "outputs": [{"name": "prediction", "datatype": "FP64", "shape": [2], "data": ANSWERS}],
    }
    assert SERIES[0].v2.metadata()["inputs"] == [
        {"name": "price", "datatype": "FP64", "shape": [-1]},
        {"name": "count", "datatype": "INT64", "shape": [-1]},
        {"name": "kind", "datatype": "BYTES", "shape": [-1]},
    ]
    chosen = {"inputs": PRICES, "outputs": [{"name": "prediction"}]}
    assert ask(SERIES, chosen, "v2")["outputs"] == answer["outputs"]


def test_a_matrix_is_one_tensor() -> None:
    (described,) = MATRIX[0].v2.metadata()["inputs"]
    assert described == {"name": "x", "datatype": "FP64", "shape": [-1, 2]}
    asked = {"inputs": [tensor("input-0", "FP64", [2, 2], [[1, 2], [3, 4]])]}
    assert ask(MATRIX, asked, "v2")["outputs"][0]["data"] == [21.0, 43.0]
    (described,) = IMAGES[0].v2.metadata()["inputs"]
    assert described == {"name": "x", "datatype": "FP64", "shape": [-1, 2, 3]}
    asked = {"inputs": [tensor("x", "FP64", [1, 2, 3], [1, 2, 3, 4, 5, 6.5])]}
    assert ask(IMAGES, asked, "v2")["outputs"][0]["data"] == [21.5]
    assert ask(IMAGES, {"x": [[1, 2, 3], [4, 5, 6.5]]}, "native") == {"prediction": 21.5}


def test_tensors_in_binary() -> None:
    price, count = struct.pack("<2d", 0.1, 2.5), struct.pack("<2q", 3, 2)
    kind = b"\1\0\0\0x\1\0\0\0y"
    told = [
        {"name": n, "datatype": d, "shape": [2], "parameters": {"binary_data_size": len(raw)}}
        for n, d, raw in (
            ("kind", "BYTES", kind),
            ("price", "FP64", price),
            ("count", "INT64", count),
        )
    ]
    question = {
        "inputs": told,
        "outputs": [{"name": "prediction", "parameters": {"binary_data": True}}],
    }
    head = json.dumps(question).encode()
    body = head + kind + price + count
    answer = ask(SERIES, body, "v2", BINARY, header_length=len(head))
    length = int(answer.headers[0][1])
    (output,) = json.loads(answer.body[:length])["outputs"]
    assert output["parameters"] == {"binary_data_size": 16}
    assert list(struct.unpack("<2d", answer.body[length:])) == ANSWERS
    for wrong, size in (
        (body[:-1], len(head)),
        (body + b"x", len(head)),
        (body, len(head) - 1),
        (body, 10**9),
    ):
        found = refusal(SERIES, wrong, "v2", BINARY, header_length=size)
        assert found.status in (400, 422)


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("price", {"data": [0.1, "x"]}, "'price', row 1.*FP64"),
        ("price", {"data": [0.1]}, "2 elements"),
        ("price", {"data": None}, "2 elements"),
        ("price", {"data": {}}, "FP64"),
        ("price", {"data": [0.1, float("nan")]}, "NaN"),
        ("price", {"datatype": "FP99"}, "one of BOOL"),
        ("price", {"datatype": "BYTES", "data": ["a", "b"]}, "string, but double"),
        ("price", {"shape": [2, 2], "data": [1, 2, 3, 4]}, r"\[n, 1\]"),
        ("price", {"shape": [10**9, 0], "data": []}, "every row"),
        ("price", {"shape": [-2]}, "no inference request"),
        ("price", {"shape": []}, "no inference request"),
        ("price", {"shape": [1], "data": [1]}, "as many rows"),
        ("price", {"parameters": {"binary_data_size": 5}}, "neither"),
        ("price", {"name": "prize"}, "prize.*no such"),
        ("price", {"name": "kind"}, "one name"),
        ("count", {"datatype": "FP64", "data": [1.5, 2]}, "'count' is double"),
        ("kind", {"data": ["x", None]}, "'kind' has 1 missing"),
        ("kind", {"datatype": "INT64", "data": [1, 2]}, "int64, but string"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(name: str, change: dict[str, Any], match: str) -> None:
    given = [old | change if old["name"] == name else old for old in PRICES]
    found = refusal(SERIES, {"inputs": given}, "v2")
    assert found.status in (400, 422)
    with pytest.raises(BadRequest, match=match):
        raise found
    assert refusal(SERIES, {"inputs": []}, "v2").status == 422
    assert refusal(SERIES, {"inputs": PRICES, "outputs": [{"name": "x"}]}, "v2").status == 422


def test_columns_of_odd_names() -> None:
    names = ['say "a"', "back\\slash", "new\nline", "columns"]
    frame = pd.DataFrame({name: [1.0, 2.0] for name in names})
    model = served(lambda frame: frame.sum(axis=1), frame)
    rows = [dict.fromkeys(names, 1.5)] * 2
    assert ask(model, rows, "native") == [{"prediction": 6.0}] * 2
    assert ask(model, rows[0], "native") == {"prediction": 6.0}
    assert ask(model, {"columns": {name: [1.5] for name in names}}, "native")
    found = refusal(model, [rows[0] | {names[0]: "x"}], "native")
    assert found.details[0]["column"] == names[0]
    assert json.loads(found.to_json("id"))["error"]["request_id"] == "id"
