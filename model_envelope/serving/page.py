"""The page at `/`: what is served here, and a form to try it. It loads nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, get_args, get_origin

import msgspec

from model_envelope.runtime.spec import Signature
from model_envelope.serving import examples as golden
from model_envelope.serving.examples import Example
from model_envelope.serving.formats.codec import Codec
from model_envelope.serving.formats.columns import Layout
from model_envelope.serving.page_assets import SCRIPT, STYLE
from model_envelope.serving.plan import ServicePlan


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and the `Content-Security-Policy` that allows it and no more."""

    body: bytes
    policy: str


def page(plan: ServicePlan, codecs: Mapping[str, Codec], examples: Mapping[str, Example]) -> Page:
    """The page of a service.

    Args:
        plan: what is served.
        codecs: one for each function that is routed, by name.
        examples: golden rows by function, as `examples.read_examples` gives them.
    """
    functions = [
        _function(name, codec, golden.one(examples, name)) for name, codec in codecs.items()
    ]
    # `<` would end the element; within JSON it can be written otherwise.
    data = msgspec.json.encode({"functions": functions}).decode().replace("<", "\\u003c")
    body = _PAGE.format(
        service=escape(plan.service),
        description=_paragraphs(plan.description),
        tags="".join(map(_tag, sorted(plan.tags.items()))),
        envelope=escape(plan.envelope_id),
        release=escape(plan.release),
        created=escape(plan.created_at),
        tabs="".join(map(_tab, codecs)),
        signatures="".join(_signature(name, codec) for name, codec in codecs.items()),
        style=STYLE,
        script=SCRIPT,
        data=data,
    )
    policy = (
        "default-src 'none'; connect-src 'self'; base-uri 'self'; form-action 'none'; "
        f"style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}"
    )
    return Page(body.encode(), policy)


def _function(name: str, codec: Codec, example: Example) -> dict[str, Any]:
    """What the script needs: values as JSON text, because its own numbers are not exact."""
    return {
        "name": name,
        "columns": _fields(codec.layout),
        "rows": [
            [msgspec.json.encode(value).decode() for value in row.values()]
            for row in example.question
        ],
    }


def _fields(layout: Layout) -> list[dict[str, Any]]:
    fields = []
    for i, field in enumerate(layout.schema):
        form = layout.wires[i].form
        choices = [msgspec.json.encode(v).decode() for v in _choices(form)]
        fields.append(
            {
                "name": field.name,
                "expected": layout.expected(i),
                "nullable": field.nullable,
                "choices": ["true", "false"] if form is bool else choices,
                "text": _is_text(form),
            }
        )
    return fields


def _choices(form: Any) -> tuple[Any, ...]:
    return get_args(form) if "Literal" in str(get_origin(form)) else ()


def _is_text(form: Any) -> bool:
    """Whether every value is a JSON string."""
    schema = msgspec.json.schema(form)
    return bool(schema.get("type") == "string")


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{escape(part)}</p>" for part in text.split("\n\n") if part.strip())


def _tag(tag: tuple[str, str]) -> str:
    key, value = map(escape, tag)
    return f"<li><span>{key}</span>{value}</li>"


def _tab(name: str) -> str:
    return (
        f'<button type="button" role="tab" data-function="{escape(name)}">{escape(name)}</button>'
    )


def _signature(name: str, codec: Codec) -> str:
    doc = _paragraphs(codec.spec.doc)
    spec = codec.spec
    return (
        f'<section class="signature" data-function="{escape(name)}" hidden>{doc}'
        f"{_table('Takes', spec.input)}{_table('Gives', spec.output)}</section>"
    )


def _table(title: str, signature: Signature | None) -> str:
    columns = signature.columns if signature else ()
    rows = "".join(
        f"<tr><th scope=row>{escape(column.name)}</th><td>{escape(column.type)}</td>"
        f"<td>{'or null' if column.nullable else ''}</td></tr>"
        for column in columns
    )
    return f"<div><h3>{title}</h3><table>{rows}</table></div>"


def _hash(content: str) -> str:
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{service}</title>
<style>{style}</style>
</head>
<body>
<header>
<div class="title"><h1>{service}</h1><span id="health" class="pill">…</span></div>
<div class="description">{description}</div>
<ul class="tags">{tags}</ul>
<dl><div><dt>envelope</dt><dd>{envelope}</dd></div><div><dt>release</dt><dd>{release}</dd></div>
<div><dt>saved</dt><dd>{created}</dd></div>
<div><dt>interface</dt><dd><a href="openapi.json">openapi.json</a></dd></div>
<div><dt>watching</dt><dd><a href="metrics">metrics</a></dd></div></dl>
</header>
<main>
<nav role="tablist" aria-label="Functions">{tabs}</nav>
<div class="panes">
<section class="card" aria-label="Question">
<div class="bar"><h2>Question</h2><label>golden row <select id="row"></select></label>
<button type="button" id="mode" aria-pressed="false">JSON</button></div>
<form id="fields"></form>
<textarea id="json" spellcheck="false" aria-label="JSON" hidden></textarea>
<button type="submit" form="fields" id="ask">Predict</button>
</section>
<section class="card" aria-label="Answer">
<div class="bar"><h2>Answer</h2><span id="took"></span></div>
<pre id="answer" aria-live="polite">Press Predict, or Ctrl+Enter.</pre>
</section>
</div>
<section class="card" aria-label="Command line">
<div class="bar"><h2>From a shell</h2><button type="button" id="copy">Copy</button></div>
<pre id="curl"></pre>
</section>
<section class="card" aria-label="Signature"><h2>Signature</h2>{signatures}</section>
</main>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""
