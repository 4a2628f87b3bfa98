"""What differs between two envelopes, from their records alone: no model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model_envelope.envelope import EnvelopeRecord
from model_envelope.metrics.last_values import last_scalars

if TYPE_CHECKING:
    from model_envelope.client.client import Client
    from model_envelope.client.envelope import Envelope


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """How a second mapping differs from a first; `same` counts what is equal."""

    added: Mapping[str, Any]
    removed: Mapping[str, Any]
    changed: Mapping[str, tuple[Any, Any]]
    same: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Differences:
    """How a second envelope differs from a first.

    `functions` are flat: `predict` says how many rows a call takes, `predict.input.age` the
    type of a column. `packages` are versions by distribution. `metrics` are the last values
    of scalars, those of structured metrics too.
    """

    first: str
    second: str
    about: Changes
    tags: Changes
    functions: Changes
    packages: Changes
    hyperparameters: Changes
    metrics: Changes


def compare(client: Client, first: Envelope, second: Envelope) -> Differences:
    """How `second` differs from `first`."""
    one, other = first.record, second.record
    ids = [one.id, other.id]
    parameters = client.store.hyperparameters(ids)
    scalars = last_scalars(client.store, ids)
    return Differences(
        first=one.id,
        second=other.id,
        about=changes(about_of(one), about_of(other)),
        tags=changes(one.tags, other.tags),
        functions=changes(functions_of(one), functions_of(other)),
        packages=changes(packages_of(one), packages_of(other)),
        hyperparameters=changes(parameters[one.id], parameters[other.id]),
        metrics=changes(scalars[one.id], scalars[other.id]),
    )


def changes(first: Mapping[str, Any], second: Mapping[str, Any]) -> Changes:
    """How a mapping differs from another; NaN equals NaN."""
    both = [key for key in first if key in second]
    changed = {k: (first[k], second[k]) for k in both if not _equal(first[k], second[k])}
    return Changes(
        added={key: second[key] for key in second if key not in first},
        removed={key: first[key] for key in first if key not in second},
        changed=changed,
        same=len(both) - len(changed),
    )


def _equal(one: Any, other: Any) -> bool:
    return bool(one == other) or (one != one and other != other)  # noqa: PLR0124


def about_of(record: EnvelopeRecord) -> dict[str, str]:
    """What is said of an envelope, and where it comes from."""
    environment, where = record.manifest.environment, record.manifest.provenance
    return {
        "description": record.description,
        "saved_by": where.user,
        "git_commit": where.git_commit,
        "python": environment.python,
        "platform": environment.platform,
    }


def functions_of(record: EnvelopeRecord) -> dict[str, str]:
    """Its query functions, flat; see `Differences`."""
    found = {}
    for name, spec in record.functions.items():
        found[name] = f"{spec.rows} rows"
        for what, signature in (("input", spec.input), ("output", spec.output)):
            for column in signature.columns if signature else ():
                type_ = f"{column.type}{'?' if column.nullable else ''}"
                found[f"{name}.{what}.{column.name}"] = type_
    return found


def packages_of(record: EnvelopeRecord) -> dict[str, str]:
    """Versions by distribution."""
    distributions = record.manifest.environment.distributions
    return {d.name: d.version for d in distributions}
