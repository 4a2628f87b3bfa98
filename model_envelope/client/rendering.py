"""An envelope for a person's eyes: text for terminals, HTML for notebooks."""

from __future__ import annotations

from html import escape

from model_envelope.envelope import EnvelopeRecord
from model_envelope.runtime.spec import FunctionSpec, Signature

_SHOWN_COLUMNS = 8


def as_text(record: EnvelopeRecord) -> str:
    """A few aligned lines."""
    rows = [(name, " ".join(value.split())) for name, value in _facts(record)]
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:<{width}}  {value}" for name, value in rows]
    return "\n".join((f"Envelope {record.id}{_state(record)}", *lines))


def as_html(record: EnvelopeRecord) -> str:
    """A small table; everything that a user wrote is escaped."""
    tags = " ".join(
        f'<code style="white-space:nowrap">{escape(key)}={escape(value)}</code>'
        for key, value in sorted(record.tags.items())
    )
    rows = "".join(
        f'<tr><th style="text-align:left;vertical-align:top">{escape(name)}</th>'
        f'<td style="text-align:left">{tags if name == "tags" else escape(value)}</td></tr>'
        for name, value in _facts(record)
    )
    title = f"Envelope <code>{escape(record.id)}</code>{escape(_state(record))}"
    return f"<table><caption>{title}</caption><tbody>{rows}</tbody></table>"


def signature_text(signature: Signature | None, shown: int = _SHOWN_COLUMNS) -> str:
    """`a: int64, b: string?`; a question mark where values may be missing."""
    if signature is None:
        return "not described"
    columns = [f"{c.name}: {c.type}{'?' if c.nullable else ''}" for c in signature.columns]
    more = [f"… {len(columns) - shown} more"] if len(columns) > shown else []
    return ", ".join(columns[:shown] + more)


def function_text(spec: FunctionSpec) -> str:
    """A query function's signature, on one line."""
    return f"{signature_text(spec.input)} -> {signature_text(spec.output)}"


def size_text(count: int) -> str:
    """Bytes in the largest unit that leaves a number to read."""
    size, units = float(count), ["bytes", "kB", "MB", "GB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.0f} {units[0]}" if units[0] == "bytes" else f"{size:.1f} {units[0]}"


def _facts(record: EnvelopeRecord) -> list[tuple[str, str]]:
    environment = record.manifest.environment
    where = record.manifest.provenance
    by = where.user + (f" from git {where.git_commit[:10]}" if where.git_commit else "")
    facts = [
        ("description", record.description),
        ("tags", ", ".join(f"{key}={value}" for key, value in sorted(record.tags.items()))),
        *((name, function_text(spec)) for name, spec in record.functions.items()),
        (
            "environment",
            f"Python {environment.python}, {len(environment.distributions)} packages, "
            f"reproducible: {record.reproducible}",
        ),
        ("saved", f"{record.created_at:%Y-%m-%d %H:%M} UTC by {by}"),
        ("size", size_text(sum(ref.size for ref in record.files.values()))),
    ]
    return [(name, value) for name, value in facts if value]


def _state(record: EnvelopeRecord) -> str:
    return " (archived)" if record.archived else ""
