"""Which class stands for a gate's name: built in, or found by entry point."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from model_envelope.deployment.gates.answers import GoldenRows, Latency, Ready
from model_envelope.deployment.gates.gate import Gate
from model_envelope.deployment.gates.records import Metric, NotWorse, Reproducible
from model_envelope.deployment.gates.splits import Canary, Shadow
from model_envelope.errors import InvalidInput

GROUP = "model_envelope.gates"

BUILT_IN: dict[str, type[Gate]] = {
    cls.name: cls for cls in (Reproducible, Metric, NotWorse, Ready, GoldenRows, Latency)
}
ROLLOUT: dict[str, type[Gate]] = {cls.name: cls for cls in (Shadow, Canary)}
"""Those that share traffic, in the order in which they come."""


def read_gates(given: Iterable[Any]) -> tuple[Gate, ...]:
    """The gates of a rule: each a name, or a mapping of one name to its options.

    Raises:
        InvalidInput: a gate is unknown, or an option of it is wrong.
    """
    return tuple(_read(entry) for entry in given)


def read_rollout(given: Mapping[str, Any] | None) -> tuple[Gate, ...]:
    """`{"shadow": {…}, "canary": {…}}` as gates, shadow first; None means neither.

    Raises:
        InvalidInput: something else is named, or an option is wrong.
    """
    given = {name: options for name, options in (given or {}).items() if options is not None}
    unknown = [name for name in given if name not in ROLLOUT]
    if unknown:
        raise InvalidInput(
            f"A rollout has no {unknown[0]!r}; it has {' and '.join(ROLLOUT)}, both optional."
        )
    return tuple(cls.read(given[name]) for name, cls in ROLLOUT.items() if name in given)


def gate_class(name: str) -> type[Gate]:
    """The class of a gate.

    Raises:
        InvalidInput: no package has such a gate, or it cannot be loaded.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    if name in ROLLOUT:
        raise InvalidInput(f"{name!r} is no gate but part of a rollout: `rollout:` has it.")
    point = _entry_points().get(name)
    if point is None:
        known = ", ".join(sorted({*BUILT_IN, *_entry_points()}))
        raise InvalidInput(
            f"There is no gate {name!r}; there are {known}. Packages add gates by entry points "
            f"in the group {GROUP}."
        )
    return _load(point)


def _read(entry: Any) -> Gate:
    if isinstance(entry, Gate):
        return entry
    if isinstance(entry, str):
        entry = {entry: None}
    if not isinstance(entry, Mapping) or len(entry) != 1:
        raise InvalidInput(
            f"A gate is a name, or one name with its options, not {entry!r:.80}: write e.g. "
            "{'metric': 'metric.auc > 0.9'}."
        )
    ((name, options),) = entry.items()
    return gate_class(str(name)).read(options)


def _load(point: EntryPoint) -> type[Gate]:
    try:
        cls = point.load()
    except Exception as error:
        raise InvalidInput(
            f"The gate {point.name!r} cannot be loaded: its entry point {point.value} fails: "
            f"{type(error).__name__}: {error}"
        ) from error
    if isinstance(cls, type) and issubclass(cls, Gate) and cls.name == point.name:
        return cls
    raise InvalidInput(
        f"The entry point {point.value} is no subclass of Gate with the name {point.name!r}."
    )


@cache
def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
