"""One envelope, in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from model_envelope.cli import output
from model_envelope.cli.output import Page
from model_envelope.cli.text import cell, number, shown
from model_envelope.client.rendering import size_text
from model_envelope.names import ID

if TYPE_CHECKING:
    from model_envelope.client.client import Client
    from model_envelope.client.envelope import Envelope
    from model_envelope.errors import EnvelopeNotFound
    from model_envelope.runtime.spec import FunctionSpec, Signature
    from model_envelope.store.rows import Change

_SHOWN_VALUES = 3


def write(envelope: Envelope, *, packages: bool) -> None:
    """Write an envelope for a person."""
    output.facts(_facts(envelope))
    output.facts(envelope.tags.items(), title="tags")
    for spec in envelope.functions.values():
        _write_function(spec)
    if envelope.statistics:
        rows = [_statistics(name, body) for name, body in envelope.statistics.items()]
        output.table(("column", "missing", "values"), rows, whole=(), title="training data")
    metrics = envelope.metrics()
    if metrics:
        output.facts(metrics.items(), title="metrics")
    parameters = envelope.hyperparameters()
    if parameters:
        output.facts(parameters.items(), title="hyperparameters")
    if packages:
        _write_packages(envelope)


def as_json(envelope: Envelope, *, history: bool) -> dict[str, Any]:
    """Everything but the summary, as JSON values."""
    record = envelope.record
    found: dict[str, Any] = {
        "revision": record.revision,
        "reproducible_reason": record.reproducible_reason,
        "functions": {name: _function(spec) for name, spec in envelope.functions.items()},
        "environment": asdict(envelope.environment),
        "provenance": asdict(envelope.provenance),
        "statistics": {name: _readable(body) for name, body in envelope.statistics.items()},
        "metrics": {name: _metric(value) for name, value in envelope.metrics().items()},
        "hyperparameters": envelope.hyperparameters(),
        "modules": record.manifest.modules,
        "files": {name: asdict(ref) for name, ref in record.files.items()},
        "size": sum(ref.size for ref in record.files.values()),
    }
    if history:
        found["history"] = [_change(change) for change in envelope.history()]
    return found


def write_history_of(client: Client, target: str, format_: Page, error: EnvelopeNotFound) -> None:
    """Write what happened to an envelope that is not there any more.

    Raises:
        EnvelopeNotFound: the target is no id, or of none that ever was there.
    """
    if not ID.fullmatch(target):
        raise error
    changes = client.store.history(target)
    if format_ is Page.json:
        output.document({"id": target, "history": [_change(change) for change in changes]})
    else:
        write_history(changes)


def write_history(changes: Sequence[Change]) -> None:
    """Write what happened to an envelope, oldest first."""
    rows = [(change.at, change.kind, change.actor, _told(change)) for change in changes]
    output.table(("at", "what", "by", ""), rows, whole=("at", "what"), title="history")


def _facts(envelope: Envelope) -> list[tuple[str, Any]]:
    record, environment, where = envelope.record, envelope.environment, envelope.provenance
    files = record.files
    commit = f"{where.git_commit}{' and changes' if where.git_dirty else ''}"
    reason = f": {record.reproducible_reason}" if record.reproducible_reason else ""
    return [
        ("id", f"{record.id}{' (archived)' if record.archived else ''}"),
        ("description", record.description),
        ("saved", f"{cell(record.created_at)} UTC by {where.user} on {where.host}"),
        ("git commit", commit),
        ("airflow", where.airflow),
        (
            "environment",
            f"Python {environment.python}, {len(environment.distributions)} packages, "
            f"{environment.platform}",
        ),
        ("reproducible", f"{record.reproducible}{reason}"),
        ("own modules", ", ".join(record.manifest.modules)),
        ("size", f"{size_text(sum(ref.size for ref in files.values()))} in {len(files)} files"),
    ]


def _write_function(spec: FunctionSpec) -> None:
    title = f"{spec.name} ({'one row' if spec.rows == 'single' else 'many rows'} a call)"
    first_line = spec.doc.strip().partition("\n")[0]
    columns = [
        (what, column.name, column.type, "missing values" if column.nullable else "")
        for what, signature in (("takes", spec.input), ("gives", spec.output))
        for column in (signature.columns if signature else ())
    ]
    output.facts([("", first_line)], title=title)
    if columns:
        output.table(("", "column", "type", "may have"), columns, whole=())
    else:
        output.say("not described")


def _write_packages(envelope: Envelope) -> None:
    rows = [(d.name, d.version, d.direct, d.source) for d in envelope.environment.distributions]
    output.table(("package", "version", "direct", "source"), rows, whole=(), title="packages")


def _statistics(name: str, body: Mapping[str, Any]) -> tuple[str, str, str]:
    missing = body["missing"] / body["count"] if body["count"] else 0.0
    return name, f"{missing:.0%}", _values(body)


def _values(body: Mapping[str, Any]) -> str:
    if "mean" in body:
        low, mean, high = (_figure(body["type"], body[name]) for name in ("min", "mean", "max"))
        return f"{low} to {high}, mean {mean}"
    if "top" in body:
        filled = body["count"] - body["missing"]
        top = [f"{value} {n / filled:.0%}" for value, n in body["top"][:_SHOWN_VALUES]]
        more = body["distinct"] - len(top)
        return ", ".join(top + ([f"{more} more"] if more > 0 else []))
    return ""


def _figure(type_: str, value: float) -> str:
    if type_.startswith(("timestamp", "date")):
        with suppress(ValueError, OverflowError, OSError):  # not a year of Python's
            return cell(datetime.fromtimestamp(value, UTC))
    return number(value)


def _readable(body: Mapping[str, Any]) -> dict[str, Any]:
    """Statistics without the sketches, which only a program with their library reads."""
    return {name: value for name, value in body.items() if name not in ("kll", "hll")}


def _function(spec: FunctionSpec) -> dict[str, Any]:
    return {
        "doc": spec.doc,
        "rows": spec.rows,
        "row_independent": spec.row_independent,
        "input": _signature(spec.input),
        "output": _signature(spec.output),
    }


def _signature(signature: Signature | None) -> list[dict[str, Any]] | None:
    return None if signature is None else [asdict(column) for column in signature.columns]


def _metric(value: Any) -> Any:
    return value if isinstance(value, float) else {"type": value.type, "value": str(value)}


def _change(change: Change) -> dict[str, Any]:
    return {
        "revision": change.revision,
        "at": change.at,
        "kind": change.kind,
        "by": change.actor,
        "data": change.data,
    }


def _told(change: Change) -> str:
    data = change.data
    if change.kind in ("saved", "tags"):
        before, after = data.get("before", {}), data.get("after", {})
        gone = [f"-{key}" for key in before if key not in after]
        return shown(", ".join([f"{key}={value}" for key, value in after.items()] + gone))
    if "names" in data:
        return cell(", ".join(data["names"]))
    return cell({key: value for key, value in data.items() if value != ""})
