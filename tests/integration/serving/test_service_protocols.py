"""The routes of other protocols, and bulk bodies, on a running service."""

import json
from typing import Any

import pyarrow as pa
import pytest

from tests.integration.serving.support import Service

ARROW = "application/vnd.apache.arrow.stream"


def test_invocations_as_mlflow_has_them(shared_service: Service) -> None:
    split = {"dataframe_split": {"columns": ["a", "b"], "data": [[1.5, 1], [2, 2]]}}
    answer = shared_service.predict(split, "/invocations")
    assert answer.json() == {"predictions": [4.0, 6.0]}
    assert shared_service.get("/ping").status == shared_service.get("/health").status == 200


def test_the_open_inference_protocol(shared_service: Service) -> None:
    assert shared_service.get("/v2").json()["name"] == "model-envelope"
    assert shared_service.get("/v2/health/live").json() == {"live": True}
    assert shared_service.get("/v2/health/ready").json() == {"ready": True}
    metadata = shared_service.get("/v2/models/predict").json()
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["a", "b"]
    (version,) = metadata["versions"]
    assert version == shared_service.plan.envelope_id
    assert shared_service.get("/v2/models/predict/ready").json()["ready"] is True
    body = {
        "inputs": [
            {"name": "a", "shape": [2], "datatype": "FP64", "data": [1.5, 2]},
            {"name": "b", "shape": [2], "datatype": "INT64", "data": [1, 2]},
        ]
    }
    for path in ("/v2/models/predict", f"/v2/models/predict/versions/{version}"):
        answer = shared_service.predict(body, f"{path}/infer")
        assert answer.json()["outputs"][0]["data"] == [4.0, 6.0]
    wrong = shared_service.predict({"inputs": []}, "/v2/models/predict/infer")
    assert wrong.status in (400, 422)
    assert isinstance(wrong.json()["error"], str)
    assert shared_service.get("/v2/models/other").status == 404


def test_bulk_bodies_in_arrow(shared_service: Service) -> None:
    rows = 15_000
    table = pa.table({"a": [i / 7 for i in range(rows)], "b": list(range(rows))})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body = sink.getvalue().to_pybytes()
    answer = shared_service.request("POST", "/predict", body, {"content-type": ARROW})
    assert answer.status == 200
    assert answer.headers["content-type"] == ARROW
    found = pa.ipc.open_stream(answer.body).read_all()
    assert found.column("prediction").to_pylist() == [i / 7 * 2 + i for i in range(rows)]


def test_large_bodies_in_json(shared_service: Service) -> None:
    rows: list[dict[str, Any]] = [{"a": i / 7, "b": i} for i in range(15_000)]
    answer = shared_service.predict(rows)
    assert answer.json() == [{"prediction": i / 7 * 2 + i} for i in range(15_000)]
    assert len(json.dumps(rows)) > 64 << 10
    rows[-1]["b"] = "no number"
    wrong = shared_service.predict(rows)
    assert wrong.status == 422
    (detail,) = wrong.json()["error"]["details"]
    assert (detail["column"], detail["row"]) == ("b", 14_999)


def test_what_it_says_of_itself(shared_service: Service) -> None:
    document = shared_service.get("/openapi.json").json()
    assert {"/predict", "/invocations", "/livez", "/v2/models/predict/infer"} <= set(
        document["paths"]
    )
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    for example in body["examples"].values():
        assert shared_service.predict(example["value"]).status == 200
    for path, operations in document["paths"].items():
        if "get" in operations:
            assert shared_service.get(path).status == 200, path
    page = shared_service.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert shared_service.plan.envelope_id in page.body.decode()


@pytest.mark.parametrize("said", ["/ltv-us", "/ltv-us/", "/a/b.c/d_e"])
def test_behind_a_prefix_it_says_where_it_is(shared_service: Service, said: str) -> None:
    prefix = said.rstrip("/")
    told = shared_service.get("/openapi.json", **{"x-forwarded-prefix": said})
    document = told.json()
    assert document.pop("servers") == [{"url": prefix}]
    assert told.headers["vary"] == "x-forwarded-prefix"
    assert document == shared_service.get("/openapi.json").json()
    page = shared_service.get("/", **{"x-forwarded-prefix": said})
    assert f'<base href="{prefix}/">' in page.body.decode()
    assert "base-uri 'self'" in page.headers["content-security-policy"]


@pytest.mark.parametrize(
    "said",
    [
        "",
        "/",
        "//evil.example",
        "https://evil.example",
        "/a//evil",
        "/..",
        "/a/../b",
        "/a/./b",
        '/"><script>alert(1)</script>',
        '/a","x":"',
        "/a b",
        "/a\\b",
        "/%2e%2e",
        "/a?b",
        "/a, /b",
        "a",
        "/\u00e9",
        "/" + "a" * 64,
        "/a" * 9,
    ],
)
def test_a_prefix_that_is_none_is_not_repeated(shared_service: Service, said: str) -> None:
    headers = {"x-forwarded-prefix": said}
    for path in ("/openapi.json", "/"):
        told = shared_service.get(path, **headers)
        assert told.status == 200
        assert told.body == shared_service.get(path).body
    assert "servers" not in shared_service.get("/openapi.json", **headers).json()
