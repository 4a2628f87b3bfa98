"""The OpenAPI document and the page: valid, typed for the model, safe whatever it is called."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pandas as pd
import pytest
from openapi_spec_validator import validate

from model_envelope import derivation, names
from model_envelope.errors import ArtifactCorrupted
from model_envelope.runtime import inputs
from model_envelope.runtime.calling import Predictor
from model_envelope.runtime.loading import LoadPlan
from model_envelope.serving import openapi
from model_envelope.serving.examples import read_examples
from model_envelope.serving.formats import JSON, Codec, Dialect
from model_envelope.serving.page import Page, page
from model_envelope.serving.plan import ServicePlan

TOKEN = names.new_id()
HOSTILE = "</script><script>alert(1)</script>'\"&{service}\u2028"

ROWS = pd.DataFrame(
    {
        "price": [0.1, np.nan, 2.5],
        "count": [2**53 + 1, 2, 3],
        "kind": pd.Categorical(["x", "y", "x"]),
        HOSTILE: ["a", HOSTILE, "c"],
        "when": pd.to_datetime(["2024-01-01", "2024-02-29", "2024-03-01"]).tz_localize("UTC"),
        "where": [{"lat": 1.5, "lon": None}, {"lat": 2.5, "lon": 1}, {"lat": 3.5, "lon": 2}],
        "history": [[1.0], [], [2.0, 3.0]],
    }
)


def predict(frame: pd.DataFrame) -> pd.Series:
    """Predict the price.

    </script> is no end of this.
    """
    return frame["price"] * 2


def explain(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[["count", "when"]].rename(columns={"count": "weight"})


def planned(folder: Path, sample: Any, *functions: Any) -> tuple[ServicePlan, dict[str, Predictor]]:
    """A plan with its golden files, and the loaded functions."""
    table = derivation.describe_input(sample)
    taken = derivation.take_sample(table, inputs.kind_of(sample), table.num_rows)
    files = {"golden-input.arrow": derivation.to_ipc(taken.golden)}
    loaded = {}
    for function in functions:
        name = function.__name__
        derived = derivation.derive(name, function, taken, file="model")
        assert derived.golden_output is not None
        files[f"golden-{name}.arrow"] = derivation.to_ipc(derived.golden_output)
        loaded[name] = Predictor(derived.spec, function)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    plan = ServicePlan(
        service="prices",
        release="c0ffee",
        envelope_id="0123456789abcdef0123",
        description=f"Prices.\n\n{HOSTILE}",
        tags={"team": "a", HOSTILE: HOSTILE},
        created_at="2024-01-01T00:00:00+00:00",
        functions=tuple(
            LoadPlan(envelope_id="", function=predictor.spec, files={})
            for predictor in loaded.values()
        ),
        golden={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        directory=str(folder),
        scratch=str(folder),
        control_token=TOKEN,
    )
    return plan, loaded


class Service:
    """A plan, its document and its page."""

    def __init__(self, folder: Path, sample: Any, *functions: Any) -> None:
        self.plan, self.predictors = planned(folder, sample, *functions)
        self.codecs = {name: Codec(found.spec) for name, found in self.predictors.items()}
        self.examples = read_examples(self.plan)
        raw = msgspec.json.encode(openapi.document(self.plan, self.codecs, self.examples))
        self.document: dict[str, Any] = json.loads(raw)

    def ask(self, function: str, body: Any, dialect: Dialect) -> Any:
        codec = self.codecs[function]
        request = codec.read(msgspec.json.encode(body), JSON, dialect)
        table = codec.predict(self.predictors[function], [request.columns])
        (response,) = codec.respond([request], table)
        return json.loads(response.body)

    def page(self) -> Page:
        return page(self.plan, self.codecs, self.examples)

    def check(self, schema: Any, value: Any) -> None:
        """Raise where a value is none of a schema of the document."""
        whole = schema | {"components": self.document["components"]}
        jsonschema.Draft202012Validator(whole).validate(value)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    return Service(tmp_path_factory.mktemp("service"), ROWS, predict, explain)


def test_the_document_is_valid(service: Service) -> None:
    validate(service.document)
    posts = [path for path, item in service.document["paths"].items() if "post" in item]
    assert posts == [
        "/predict",
        "/invocations",
        "/v2/models/predict/infer",
        "/explain",
        "/v2/models/explain/infer",
    ]


def test_examples_are_golden_rows_and_are_answered_as_shown(service: Service) -> None:
    for path, dialect in (
        ("/predict", "native"),
        ("/explain", "native"),
        ("/invocations", "mlflow"),
    ):
        operation = service.document["paths"][path]["post"]
        body = operation["requestBody"]["content"][JSON]
        answer = operation["responses"]["200"]["content"][JSON]
        function = "predict" if dialect == "mlflow" else path.strip("/")
        assert len(body["examples"]) == 3
        for name, example in body["examples"].items():
            service.check(body["schema"], example["value"])
            found = service.ask(function, example["value"], dialect)  # type: ignore[arg-type]
            service.check(answer["schema"], found)
            if dialect == "native":
                assert found == answer["examples"][name]["value"]
    assert "9007199254740993" in msgspec.json.encode(service.document).decode()


def test_examples_of_tensors_are_answered(service: Service) -> None:
    for function in service.codecs:
        operation = service.document["paths"][f"/v2/models/{function}/infer"]["post"]
        content = operation["requestBody"]["content"][JSON]
        service.check(content["schema"], content["example"])
        found = service.ask(function, content["example"], "v2")
        service.check(operation["responses"]["200"]["content"][JSON]["schema"], found)
        for output in found["outputs"]:
            expected = [row[output["name"]] for row in service.examples[function].answer]
            assert output["data"] == expected


@pytest.mark.parametrize(
    "sample",
    [np.array([[1.0, 2.0], [3.0, 4.0]]), np.arange(12.0).reshape(2, 2, 3), np.array([1.0, 2.0])],
    ids=["matrix", "cube", "vector"],
)
def test_arrays_have_examples_too(tmp_path: Path, sample: Any) -> None:
    def double(block: Any) -> Any:
        return np.asarray(block).reshape(len(block), -1).sum(axis=1)

    service = Service(tmp_path, sample, double)
    validate(service.document)
    content = service.document["paths"]["/v2/models/double/infer"]["post"]["requestBody"]["content"]
    (tensor,) = content[JSON]["example"]["inputs"]
    assert tensor["shape"] == list(sample.shape)
    (output,) = service.ask("double", content[JSON]["example"], "v2")["outputs"]
    assert output["data"] == double(sample).tolist()


@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        ({"price": None}, True),
        ({"price": "Infinity"}, True),
        ({"price": "1"}, False),
        ({"count": 2**63}, False),
        ({"count": None}, False),
        ({"kind": "z"}, False),
        ({"where": {"lat": 1.5}}, False),
        ({"where": {"lat": None, "lon": None}}, True),
        ({"history": [None]}, True),
        ({"history": ["x"]}, False),
        ({"more": 1}, False),
    ],
)
def test_the_schema_of_a_record_allows_what_is_predicted(
    service: Service, change: dict[str, Any], allowed: bool
) -> None:
    record = service.examples["predict"].question[0] | change
    schema = service.document["components"]["schemas"]["predict.record"]
    validator = jsonschema.Draft202012Validator(
        schema | {"components": service.document["components"]}
    )
    assert validator.is_valid(record) is allowed
    if allowed:
        service.ask("predict", record, "native")


def test_golden_files_that_were_changed_are_not_shown(tmp_path: Path) -> None:
    plan, _ = planned(tmp_path, ROWS, predict)
    (tmp_path / "golden-input.arrow").write_bytes(b"other")
    with pytest.raises(ArtifactCorrupted):
        read_examples(plan)


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text of scripts and styles."""

    def __init__(self, body: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[str] = []
        self.text = ""
        self.feed(body)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] in ("script", "style") and data.strip():
            self.raw.append(data)
        self.text += data


def test_the_page_holds_nothing_that_a_name_or_value_could_start(service: Service) -> None:
    made = service.page()
    found = Elements(made.body.decode())
    scripts = [attributes for tag, attributes in found.elements if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "data"}, {}]
    assert not [
        (tag, name)
        for tag, attributes in found.elements
        for name in attributes
        if name.startswith("on") or name in ("src", "style")
    ]
    assert found.text.count(HOSTILE) >= 3
    data = json.loads(next(raw for raw in found.raw if raw.startswith("{")))
    columns = data["functions"][0]["columns"]
    assert [column["name"] for column in columns] == list(ROWS.columns)
    assert json.loads(data["functions"][0]["rows"][1][3]) == HOSTILE
    assert data["functions"][0]["rows"][0][1] == "9007199254740993"
    assert TOKEN not in made.body.decode()


def test_the_policy_allows_the_pages_own_script_and_style_only(service: Service) -> None:
    made = service.page()
    found = Elements(made.body.decode())
    style, _, script = found.raw
    for content in (style, script):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in made.policy
    assert made.policy.startswith("default-src 'none'; connect-src 'self'")
    assert not re.search(r"unsafe|https?:", made.policy)
    assert not re.search(r"https?://", made.body.decode())
