"""JSON bodies of a service: typed reading, exact answers, errors that name the place."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from model_envelope import derivation
from model_envelope.runtime import inputs
from model_envelope.runtime.calling import Predictor
from model_envelope.serving.formats import JSON, BadRequest, Codec

FRAME = pd.DataFrame({"price": [0.1, 2.5], "count": [1, 2], "kind": ["x", "y"]})


def total(frame: pd.DataFrame) -> pd.Series:
    return frame["price"] * frame["count"]


def served(model: Any, sample: Any) -> tuple[Codec, Predictor]:
    """A codec and a predictor for a function saved with a sample."""
    table = derivation.describe_input(sample)
    kind = inputs.kind_of(sample)
    taken = derivation.take_sample(table, kind, min(table.num_rows, 20))
    spec = derivation.derive("predict", model, taken, file="model").spec
    return Codec(spec), Predictor(spec, model)


def ask(model: tuple[Codec, Predictor], body: Any) -> Any:
    codec, predictor = model
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = codec.read(raw, JSON, "native")
    (response,) = codec.respond([request], codec.predict(predictor, [request.columns]))
    return json.loads(response.body)


@pytest.fixture(scope="module")
def model() -> tuple[Codec, Predictor]:
    return served(total, FRAME)


def test_an_answer_has_the_form_of_the_question(model: tuple[Codec, Predictor]) -> None:
    row = {"price": 0.1, "count": 3, "kind": "x"}
    answer = 0.1 * 3
    assert ask(model, [row, row]) == [{"prediction": answer}] * 2
    assert ask(model, row) == {"prediction": answer}
    assert ask(model, {"columns": {name: [value] for name, value in row.items()}}) == {
        "columns": {"prediction": [answer]}
    }
    assert ask(model, []) == []


def test_integers_may_be_written_with_a_fraction_of_zero(model: tuple[Codec, Predictor]) -> None:
    row = {"price": 2, "count": 3.0, "kind": "x"}
    assert ask(model, [row]) == [{"prediction": 6.0}]
    assert ask(model, row | {"count": 0.0}) == {"prediction": 0.0}
    assert str(ask(model, row | {"price": -0.0, "count": 1.0})["prediction"]) == "-0.0"
    for beyond in (2.0**53 + 2, 1e300, -0.0):
        with pytest.raises(BadRequest, match="expected an integer"):
            ask(model, row | {"count": beyond})


@pytest.mark.parametrize(
    ("change", "column", "found"),
    [
        ({"price": "0.1"}, "price", '"0.1"'),
        ({"price": None}, "price", "null"),
        ({"count": 1.5}, "count", "1.5"),
        ({"count": 2**63}, "count", str(2**63)),
        ({"kind": 1}, "kind", "1"),
        ({"kind": ["x" * 100]}, "kind", f'["{"x" * 58}…'),
        ({"price": float("nan")}, "price", "NaN"),
    ],
)
def test_a_wrong_value_is_named_by_column_and_row(
    model: tuple[Codec, Predictor], change: dict[str, Any], column: str, found: str
) -> None:
    right = {"price": 0.1, "count": 3, "kind": "x"}
    with pytest.raises(BadRequest) as refused:
        ask(model, [right, right | change])
    assert refused.value.status == 422
    (problem,) = refused.value.details
    assert (problem["column"], problem["row"], problem["found"]) == (column, 1, found)


def test_missing_and_unknown_columns_are_told_together(model: tuple[Codec, Predictor]) -> None:
    with pytest.raises(BadRequest) as refused:
        ask(model, {"prize": 0.1, "count": 1, "kind": "x"})
    missing, unknown = refused.value.details
    assert missing["column"] == "price"
    assert "'prize'" in missing["found"]
    assert unknown["column"] == "prize"
    assert "'price'" in unknown["expected"]


NO_JSON = [
    b"",
    b"[",
    b"{",
    b"nope",
    b"[1] 2",
    b"[NaN",
    b"\xef\xbb\xbf[]",
    "[]".encode("utf-16"),
    b"\x1f\x8b\x08\x00",
    b'["\xff"]',
    b'"\\ud800"',
    b"[" * 100_000,
    b'{"a":' * 100_000,
]


@pytest.mark.parametrize("body", NO_JSON)
def test_what_is_no_json_is_refused(model: tuple[Codec, Predictor], body: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        ask(model, body)
    assert refused.value.status == 400
