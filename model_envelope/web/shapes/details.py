"""One envelope: everything that its manifest says, and what was said of it since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from model_envelope.client.client import Client
from model_envelope.envelope import Distribution, EnvelopeRecord, FileRef
from model_envelope.runtime.spec import FunctionSpec, InputKind, OutputKind, Rows
from model_envelope.runtime.spec import Signature as Described
from model_envelope.store.rows import Change, ChangeKind
from model_envelope.tag_query import parse
from model_envelope.web.shapes.models import NAME, ModelRow, fields_of, services_of

LATELY = 20
"""Earlier models of the same name, among which the previous one is looked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """What must be installed to run the model; of `distributions`, those asked for are direct."""

    python: str
    platform: str
    digest: str
    distributions: Sequence[Distribution]


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a save came from."""

    user: str
    host: str
    git_commit: str
    git_dirty: bool
    python: str
    platform: str
    library_version: str
    airflow: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column; `type` is Arrow's name, `example` a typical value of the training data."""

    name: str
    type: str
    nullable: bool
    example: Any = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """The columns that go in, or come out, in order."""

    columns: Sequence[Column]


@dataclass(frozen=True, kw_only=True, slots=True)
class Function:
    """One query function; `row_independent` is null where it could not be tried."""

    name: str
    doc: str
    input_kind: InputKind
    output_kind: OutputKind
    rows: Rows
    row_independent: bool | None
    input: Signature | None
    output: Signature | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelDetail(ModelRow):
    """An envelope with all that is known of it.

    Attributes:
        size: bytes of all files.
        previous: the model before it, which it is compared with; see `previous_of`.
        needed_by: services that run it, are to run it or would roll back to it: while there
            are any, it cannot be deleted.
    """

    manifest_sha256: str
    reproducible_reason: str
    environment: Environment
    provenance: Origin
    modules: Sequence[str]
    files: Mapping[str, FileRef]
    size: int
    functions: Sequence[Function]
    hyperparameters: Mapping[str, Any]
    previous: str | None
    needed_by: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened to an envelope; `data` says what."""

    revision: int
    at: datetime
    kind: ChangeKind
    actor: str
    data: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """What happened to an envelope, the newest first."""

    items: Sequence[Event]


def detail(client: Client, record: EnvelopeRecord) -> ModelDetail:
    """Everything of an envelope. Only the store is asked: no file is read."""
    store, manifest = client.store, record.manifest
    services = store.services()
    earlier = previous_of(client, record)
    known = manifest.environment
    origin = manifest.provenance
    return ModelDetail(
        **fields_of(record, store.last_values([record.id])[record.id], services_of(services)),
        manifest_sha256=record.manifest_sha256,
        reproducible_reason=record.reproducible_reason,
        environment=Environment(
            python=known.python,
            platform=known.platform,
            digest=known.digest,
            distributions=known.distributions,
        ),
        provenance=Origin(**{name: getattr(origin, name) for name in Origin.__slots__}),
        modules=manifest.modules,
        files=record.files,
        size=sum(file.size for file in record.files.values()),
        functions=[_function(spec, manifest.statistics) for spec in record.functions.values()],
        hyperparameters=store.hyperparameters([record.id])[record.id],
        previous=earlier.id if earlier else None,
        needed_by=[
            service.name
            for service in services
            if record.id
            in (service.live_envelope, service.desired_envelope, service.previous_envelope)
        ],
    )


def previous_of(client: Client, record: EnvelopeRecord) -> EnvelopeRecord | None:
    """Of the last models of the same name before one, that with most tags like it.

    So a model for a region has the one before it for that region; of equals, the newest.
    """
    name = record.tags.get(NAME)
    if name is None:
        return None
    earlier = client.store.before(record, parse({NAME: name}), LATELY).records
    mine = set(record.tags.items())
    return max(earlier, key=lambda other: len(mine & other.tags.items()), default=None)


def event(change: Change) -> Event:
    """A change, as an envelope's history shows it."""
    return Event(**{name: getattr(change, name) for name in Event.__slots__})


def _function(spec: FunctionSpec, statistics: Mapping[str, Any]) -> Function:
    return Function(
        name=spec.name,
        doc=spec.doc,
        input_kind=spec.input_kind,
        output_kind=spec.output_kind,
        rows=spec.rows,
        row_independent=spec.row_independent,
        input=_signature(spec.input, statistics),
        output=_signature(spec.output, {}),
    )


def _signature(signature: Described | None, statistics: Mapping[str, Any]) -> Signature | None:
    if signature is None:
        return None
    return Signature(
        columns=[
            Column(
                name=column.name,
                type=column.type,
                nullable=column.nullable,
                example=_typical(column.type, statistics.get(column.name, {})),
            )
            for column in signature.columns
        ]
    )


def _typical(type_: str, column: Mapping[str, Any]) -> Any:
    """The median, or the most frequent value, of a column of the training data."""
    if column.get("top"):
        value = column["top"][0][0]
        return value == "true" if type_ == "bool" else value
    if not column.get("quantiles"):
        return None
    median = column["quantiles"][len(column["quantiles"]) // 2]
    if type_.startswith(("timestamp", "date")):
        text = datetime.fromtimestamp(median, UTC).isoformat()
        return text[:10] if type_.startswith("date") else text.removesuffix("+00:00")
    return round(median) if type_.startswith(("int", "uint")) else median
