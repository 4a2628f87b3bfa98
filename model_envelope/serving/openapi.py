"""The OpenAPI document of a service: the bodies of this very model, with golden rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from model_envelope.serving import examples as golden
from model_envelope.serving.examples import Example
from model_envelope.serving.formats.codec import Codec
from model_envelope.serving.formats.media import ARROW, CSV, JSON
from model_envelope.serving.formats.native import COLUMNS
from model_envelope.serving.formats.tensors import TYPES
from model_envelope.serving.plan import ServicePlan

Schema = dict[str, Any]

RULES = """
Missing values are `null`; NaN counts as missing. JSON has no NaN: a body with `NaN` is refused.
Infinity is `"Infinity"` and `"-Infinity"`. Numbers are exact: floats have up to 17 digits, and
integers beyond 2^53 are written in full, so read them with a parser that keeps them.
Times with a zone need an offset and are answered in UTC; times without have none. Dates are ISO
8601, durations too (`P1DT2.5S`), binary is base64, decimals are strings.

The answer has the form of the question: records for records, columns for columns, Arrow for
Arrow, unless `Accept` asks for another.
""".strip()

_REFERENCE = "#/components/schemas/{name}"
_ERRORS = {
    400: "The body is not what its media type says.",
    408: "The body did not arrive in time.",
    413: "The body, or its number of rows, is larger than is taken at once.",
    415: "The body is of a media type or an encoding that is not taken.",
    422: "A value does not fit; `details` names column, row and what was expected.",
    429: "Too many rows are waiting. Try again after `Retry-After` seconds.",
    500: "The model failed on these rows.",
    503: "The model did not come to the request in time, or the service is going.",
}


def document(
    plan: ServicePlan, codecs: Mapping[str, Codec], examples: Mapping[str, Example]
) -> dict[str, Any]:
    """The document.

    Args:
        plan: what is served.
        codecs: one for each function that is routed, by name; the first is `predict`.
        examples: golden rows by function, as `examples.read_examples` gives them.
    """
    components = _Components()
    paths: dict[str, Any] = {}
    for name, codec in codecs.items():
        example = golden.one(examples, name)
        types = components.add(name, codec)
        paths[f"/{name}"] = {"post": _native(codec, types, example)}
        if name == next(iter(codecs)):
            paths["/invocations"] = {"post": _mlflow(codec, types, example)}
        paths |= _v2_model(name, codec, example)
    paths |= _v2_server() | _health()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": plan.service,
            "version": plan.release,
            "summary": f"Envelope {plan.envelope_id}",
            "description": "\n\n".join(part for part in (plan.description, RULES) if part),
            "x-tags": dict(plan.tags),
        },
        "paths": paths,
        "components": {
            "schemas": components.schemas,
            "responses": {str(status): _error(text) for status, text in _ERRORS.items()},
        },
    }


class _Components:
    """Named schemas of all functions."""

    def __init__(self) -> None:
        self.schemas: dict[str, Any] = {"Error": _ERROR, "ProtocolError": _PROTOCOL_ERROR}

    def add(self, function: str, codec: Codec) -> dict[str, Schema]:
        """References to the schemas of one function's bodies, by what they are."""
        layout, answers = codec.layout, codec.answers
        given = self._forms(layout.forms)
        made = self._forms([wire.form | None for wire in answers.wires])
        named = {
            "record": _object(dict(zip(layout.names, given, strict=True))),
            "columns": _columns(dict(zip(layout.names, given, strict=True))),
            "answer": _object(dict(zip(answers.names, made, strict=True))),
            "answers": _columns(dict(zip(answers.names, made, strict=True))),
        }
        references = {}
        for name, schema in named.items():
            self.schemas[f"{function}.{name}"] = schema
            references[name] = {"$ref": _REFERENCE.format(name=f"{function}.{name}")}
        prediction = {
            "records": references["answer"],
            "values": made[0],
            "rows": _array(_any(made)),
        }
        return references | {
            "row": _row(given),
            "prediction": prediction[codec.predictions.form],
        }

    def _forms(self, forms: Iterable[Any]) -> list[Schema]:
        found, further = msgspec.json.schema_components(forms, ref_template=_REFERENCE)
        self.schemas |= further
        return list(found)


def _native(codec: Codec, types: Mapping[str, Schema], example: Example) -> Schema:
    question, answer = example.question, example.answer
    examples: dict[str, Any] = {}
    answered: dict[str, Any] = {}
    if question:
        examples = {
            "records": _shown("Records", question),
            "record": _shown("One record", question[0]),
            "columns": _shown("Columns", {COLUMNS: _transposed(question)}),
        }
        answered = {
            "records": _shown("Records", answer),
            "record": _shown("One record", answer[0]),
            "columns": _shown("Columns", {COLUMNS: _transposed(answer)}),
        }
    forms = _any([_array(types["record"]), _in_columns(types["columns"]), types["record"]])
    answers = _any([_array(types["answer"]), _in_columns(types["answers"]), types["answer"]])
    return {
        "operationId": codec.spec.name,
        "summary": (codec.spec.doc or "Predict").strip().splitlines()[0],
        "description": codec.spec.doc,
        "requestBody": _body(
            {
                JSON: {"schema": forms} | ({"examples": examples} if examples else {}),
                ARROW: {"schema": {}},
                CSV: {"schema": {"type": "string"}},
            }
        ),
        "responses": _responses(
            {
                JSON: {"schema": answers} | ({"examples": answered} if answered else {}),
                ARROW: {"schema": {}},
                CSV: {"schema": {"type": "string"}},
            }
        ),
    }


def _mlflow(codec: Codec, types: Mapping[str, Schema], example: Example) -> Schema:
    record, row = types["record"], types["row"]
    split = {
        "type": "object",
        "properties": {
            "columns": {"type": "array", "items": {"enum": list(codec.layout.names)}},
            "index": {},
            "data": {"type": "array", "items": {"type": "array"}},
        },
        "required": ["data"],
        "additionalProperties": False,
    }
    free = [_array(record), types["columns"], _array(row)]
    forms = {
        "dataframe_split": split,
        "dataframe_records": _array(record),
        "inputs": _any(free),
        "instances": _any(free),
    }
    schema = _any([_object({name: form}) for name, form in forms.items()])
    examples = {}
    if example.question:
        examples = {
            "dataframe_records": _shown("Records", {"dataframe_records": example.question}),
            "dataframe_split": _shown("Rows", {"dataframe_split": _split(example.question)}),
            "inputs": _shown("Columns", {"inputs": _transposed(example.question)}),
        }
    return {
        "operationId": "invocations",
        "summary": "Predict, with the bodies of MLflow's scoring server",
        "requestBody": _body(
            {JSON: {"schema": schema} | ({"examples": examples} if examples else {})}
        ),
        "responses": _responses(
            {JSON: {"schema": _object({"predictions": _array(types["prediction"])})}}
        ),
    }


def _v2_model(name: str, codec: Codec, example: Example) -> dict[str, Any]:
    metadata = codec.v2.metadata()
    path = f"/v2/models/{name}"
    request = {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "parameters": {"type": "object"},
            "inputs": {"type": "array", "items": _TENSOR, "minItems": 1},
            "outputs": {
                "type": "array",
                "items": _object({"name": {"enum": list(codec.answers.names)}}, more=True),
            },
        },
        "required": ["inputs"],
    }
    answer = {
        "type": "object",
        "properties": {
            "model_name": {"const": codec.v2.model},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "outputs": {"type": "array", "items": _TENSOR},
        },
        "required": ["model_name", "outputs"],
    }
    content: Schema = {"schema": request}
    if example.question:
        rows = codec.read(msgspec.json.encode(example.question), JSON, "native")
        content["example"] = codec.v2.question(rows.table())
    told = {"type": "object", "example": metadata, "required": ["name", "inputs", "outputs"]}
    return {
        path: {"get": _reading(f"{name}_metadata", "The tensors of this model", told)},
        f"{path}/ready": {"get": _reading(f"{name}_ready", "Whether it is ready", _OBJECT)},
        f"{path}/infer": {
            "post": {
                "operationId": f"{name}_infer",
                "summary": "Predict, by the Open Inference Protocol",
                "requestBody": _body({JSON: content}),
                "responses": _responses({JSON: {"schema": answer}}, "ProtocolError"),
            }
        },
    }


def _v2_server() -> dict[str, Any]:
    return {
        "/v2": {"get": _reading("server_metadata", "What speaks the protocol", _OBJECT)},
        "/v2/health/live": {"get": _reading("server_live", "Whether it lives", _OBJECT)},
        "/v2/health/ready": {"get": _reading("server_ready", "Whether it is ready", _OBJECT)},
    }


def _health() -> dict[str, Any]:
    told = {
        "/livez": "Whether the process lives",
        "/readyz": "Whether requests should come here",
        "/ping": "The same, as SageMaker asks",
        "/metrics": "Metrics for Prometheus",
    }
    found: dict[str, Any] = {
        path: {"get": _reading(path.strip("/"), summary, {"type": "string"}, "text/plain")}
        for path, summary in told.items()
    }
    found["/openapi.json"] = {"get": _reading("openapi", "This document", _OBJECT)}
    found["/"] = {"get": _reading("page", "A page to try it", {"type": "string"}, "text/html")}
    return found


def _reading(operation: str, summary: str, schema: Schema, media: str = JSON) -> Schema:
    responses: dict[str, Any] = {
        "200": {"description": "OK", "content": {media: {"schema": schema}}}
    }
    if "ready" in operation or operation == "ping":
        responses["503"] = {"description": "It is not ready."}
    return {"operationId": operation, "summary": summary, "responses": responses}


def _responses(content: Mapping[str, Any], errors: str = "Error") -> dict[str, Any]:
    found: dict[str, Any] = {
        "200": {
            "description": "As many predictions as rows, in order.",
            "headers": {"X-Request-Id": {"schema": {"type": "string"}}},
            "content": dict(content),
        }
    }
    for status, text in _ERRORS.items():
        if errors == "Error":
            found[str(status)] = {"$ref": f"#/components/responses/{status}"}
        else:
            found[str(status)] = _error(text, errors)
    return found


def _error(text: str, schema: str = "Error") -> Schema:
    return {
        "description": text,
        "content": {JSON: {"schema": {"$ref": _REFERENCE.format(name=schema)}}},
    }


def _body(content: Mapping[str, Any]) -> Schema:
    return {"required": True, "content": dict(content)}


def _any(schemas: list[Schema]) -> Schema:
    return {"anyOf": schemas}


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _row(items: list[Schema]) -> Schema:
    size = len(items)
    return {"type": "array", "prefixItems": items, "minItems": size, "maxItems": size}


def _object(properties: Mapping[str, Schema], *, more: bool = False) -> Schema:
    found = {"type": "object", "properties": dict(properties), "required": list(properties)}
    return found if more else found | {"additionalProperties": False}


def _columns(properties: Mapping[str, Schema]) -> Schema:
    return _object({name: _array(schema) for name, schema in properties.items()})


def _in_columns(schema: Schema) -> Schema:
    return _object({COLUMNS: schema})


def _shown(summary: str, value: Any) -> Schema:
    return {"summary": summary, "value": value}


def _transposed(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def _split(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}


_OBJECT: Schema = {"type": "object"}
_TENSOR: Schema = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "shape": {
            "type": "array",
            "items": {"type": "integer", "minimum": 0},
            "minItems": 1,
            "maxItems": 8,
        },
        "datatype": {"enum": list(TYPES)},
        "parameters": {"type": "object"},
        "data": {"type": "array"},
    },
    "required": ["name", "shape", "datatype"],
}
_PROBLEM = _object(
    {
        "column": {"type": ["string", "null"]},
        "row": {"type": ["integer", "null"]},
        "expected": {"type": "string"},
        "found": {"type": "string"},
    }
)
_ERROR = _object(
    {
        "error": _object(
            {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": _array(_PROBLEM),
                "request_id": {"type": "string"},
            }
        )
    }
)
_PROTOCOL_ERROR = _object({"error": {"type": "string"}})
