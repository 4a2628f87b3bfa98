"""A deployment rule: which envelope a service should run, and what it must pass before."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Self

import msgspec

from model_envelope import names
from model_envelope.errors import InvalidInput, InvalidRule
from model_envelope.store.database import as_stored
from model_envelope.store.rows import RuleRecord
from model_envelope.tag_query import TagQuery, parse
from model_envelope.tag_query.expression import HasMetric, all_of

LATEST = "latest"
MAX_SIZE = 50_000
"""Bytes of a rule as JSON."""

MAX_OWNER = 256

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Of the envelopes that match a tag query, one is to run as a service.

    Attributes:
        name: of the rule.
        when: a tag query, in its canonical form.
        service: the URL's name; one service has one rule.
        target: where it runs: `{"kind": "process", "options": {…}}`.
        select: which of several matches: `latest`, `max metric.<name>` or
            `min metric.<name>`; those without the metric do not count then.
        gates: conditions, each a mapping of one name to its options.
        rollout: `{"shadow": {…}, "canary": {…}}`, both optional.
        owner: who is told when it fails.
    """

    name: str
    when: str
    service: str
    target: Mapping[str, Any] = field(default_factory=lambda: {"kind": "process", "options": {}})
    select: str = LATEST
    gates: tuple[Mapping[str, Any], ...] = ()
    rollout: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    owner: str = ""

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """A rule from what a person wrote; everything is checked.

        `target` may be a kind (`process`), or have options beside the kind
        (`{kind: docker, replicas: 2}`); a gate without options may be only its name.

        Raises:
            InvalidRule: with all that is wrong of it.
        """
        problems: list[tuple[str, str]] = [*_unknown(given), *_missing(given)]
        read: dict[str, Any] = {}
        for key in (key for key in given if key in _READERS):
            try:
                read[key] = _READERS[key](given[key])
            except InvalidInput as error:
                problems.append((key, str(error)))
        if not problems and len(msgspec.json.encode(read)) > MAX_SIZE:
            problems.append(("", f"It is larger than {MAX_SIZE} bytes."))
        if problems:
            raise InvalidRule(given.get("name"), tuple(problems))
        return cls(**read)

    @classmethod
    def of(cls, record: RuleRecord) -> Self:
        """The rule of a record, which was checked when it was made."""
        known = {option.name for option in fields(cls)}
        spec = {key: value for key, value in record.spec.items() if key in known}
        spec["gates"] = tuple(spec.get("gates", ()))
        return cls(**{**spec, "name": record.name, "service": record.service})

    def spec(self) -> dict[str, Any]:
        """What the store keeps beside name and service: plain JSON."""
        return {
            "when": self.when,
            "target": dict(self.target),
            "select": self.select,
            "gates": [dict(gate) for gate in self.gates],
            "rollout": dict(self.rollout),
            "owner": self.owner,
        }

    @cached_property
    def metric(self) -> str | None:
        """The metric that the matches are ordered by; None for the time they were saved."""
        return None if self.select == LATEST else _metric(self.select.partition(" ")[2])

    @property
    def greatest(self) -> bool:
        """Whether the greatest value is the best."""
        return not self.select.startswith("min ")

    @cached_property
    def query(self) -> TagQuery:
        """What an envelope must be: `when`, and to have the metric it is selected by."""
        query = parse(self.when)
        if self.metric is None:
            return query
        return TagQuery(all_of(query.expression, HasMetric(self.metric)))


def read_target(given: Any) -> dict[str, Any]:
    """`{"kind": …, "options": {…}}` of a kind, or of a mapping with the options beside it.

    Raises:
        InvalidInput: it names no kind.
    """
    if isinstance(given, str):
        given = {"kind": given}
    if not isinstance(given, Mapping) or not isinstance(given.get("kind"), str):
        raise InvalidInput(
            f"A target is a kind, as `process`, or a mapping that names one beside its options, "
            f"as {{kind: docker, replicas: 2}}; not {given!r:.80}."
        )
    options = {key: value for key, value in given.items() if key != "kind"}
    if set(options) == {"options"} and isinstance(options["options"], Mapping):
        options = dict(options["options"])
    return {"kind": given["kind"], "options": as_stored(options, "A target")}


def near(name: str, known: Iterable[str]) -> str:
    """What may have been meant, as a sentence; nothing where there is nothing like it."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {found[0]!r}?" if found else ""


def _unknown(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    known = ", ".join(_READERS)
    return [
        (str(key), f"A rule has no {key!r:.80}; it has {known}.{near(str(key), _READERS)}")
        for key in given
        if key not in _READERS
    ]


def _missing(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [("", f"It has no {key!r}.") for key in ("name", "when", "service") if key not in given]


def _when(given: Any) -> str:
    if not isinstance(given, str | Mapping | TagQuery):
        raise InvalidInput(f"It is a tag query, not {given!r:.80}: put it in quotes.")
    return parse(given).text


def _select(given: Any) -> str:
    how, _, which = given.partition(" ") if isinstance(given, str) else ("", "", "")
    if given == LATEST:
        return LATEST
    if how not in ("max", "min") or not which.strip():
        raise InvalidInput(
            f"It is `latest`, `max metric.<name>` or `min metric.<name>`, not {given!r:.80}."
        )
    _metric(which)
    return f"{how} {parse(which).text}"


def _metric(text: str) -> str:
    match parse(text).expression:
        case HasMetric(name):
            return name
    raise InvalidInput(f"{text!r:.80} is no metric: write e.g. `max metric.auc`.")


def _gates(given: Any) -> tuple[dict[str, Any], ...]:
    from model_envelope.deployment.gates.registry import read_gates

    if not isinstance(given, list | tuple):
        raise InvalidInput(f"They are a list, not {given!r:.80}.")
    read_gates(given)
    named = [_named(gate) for gate in given]
    return tuple(as_stored(gate, "A gate") for gate in named)


def _named(gate: Any) -> dict[str, Any]:
    """A gate as its name with its options, which `read_gates` accepts."""
    if isinstance(gate, str):
        return {gate: {}}
    if is_dataclass(gate) and not isinstance(gate, type):
        name = type(gate).name  # type: ignore[attr-defined]
        return {name: {option.name: getattr(gate, option.name) for option in fields(gate)}}
    return {name: {} if options is None else options for name, options in gate.items()}


def _rollout(given: Any) -> dict[str, Any]:
    from model_envelope.deployment.gates.registry import read_rollout

    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise InvalidInput(f"It is a mapping with `shadow` or `canary`, not {given!r:.80}.")
    read_rollout(given)
    return as_stored(
        {name: options for name, options in given.items() if options is not None}, "It"
    )


def _owner(given: Any) -> str:
    if not isinstance(given, str) or len(given) > MAX_OWNER or not given.isprintable():
        raise InvalidInput(f"It is a name of at most {MAX_OWNER} characters, not {given!r:.80}.")
    return given


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "name": names.check_rule_name,
    "when": _when,
    "service": names.check_service,
    "target": read_target,
    "select": _select,
    "gates": _gates,
    "rollout": _rollout,
    "owner": _owner,
}
