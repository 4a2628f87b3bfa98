"""Golden rows as the examples of a service: real questions with their answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from model_envelope.runtime.loading import verify
from model_envelope.runtime.spec import FunctionSpec
from model_envelope.serving.formats.answers import Answers
from model_envelope.serving.plan import ServicePlan

SHOWN = 3
"""How many golden rows are shown."""

INPUT = "golden-input.arrow"


@dataclass(frozen=True, slots=True)
class Example:
    """Some golden rows of a function, and what it gave for them, as JSON records."""

    question: list[dict[str, Any]]
    answer: list[dict[str, Any]]


def read_examples(plan: ServicePlan) -> dict[str, Example]:
    """An example of each function that has golden rows.

    Raises:
        ArtifactMissing: a file is not there.
        ArtifactCorrupted: a file is not what was saved.
    """
    found = {}
    for spec in (function.function for function in plan.functions):
        output = f"golden-{spec.name}.arrow"
        if {INPUT, output} <= plan.golden.keys() and spec.input and spec.output:
            found[spec.name] = _example(plan, spec, output)
    return found


def _example(plan: ServicePlan, spec: FunctionSpec, output: str) -> Example:
    assert spec.input is not None  # noqa: S101
    assert spec.output is not None  # noqa: S101
    given = Answers(spec.input).rows(_rows(plan, INPUT))
    return Example(given, Answers(spec.output).rows(_rows(plan, output)))


def _rows(plan: ServicePlan, name: str) -> pa.Table:
    path = verify(Path(plan.directory) / name, plan.golden[name])
    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
        return reader.read_all().slice(0, SHOWN)


def one(examples: Mapping[str, Example], function: str) -> Example:
    """The example of a function; an empty one if it has none."""
    return examples.get(function, Example([], []))
