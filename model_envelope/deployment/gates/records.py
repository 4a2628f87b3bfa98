"""Gates that look at what the store knows of an envelope; nothing has to run for them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from model_envelope import names
from model_envelope.deployment.gates.gate import (
    Candidate,
    Gate,
    Stage,
    Verdict,
    failed,
    held,
    number,
    passed,
)
from model_envelope.errors import InvalidInput
from model_envelope.metrics.last_values import last_scalars
from model_envelope.tag_query import parse


@dataclass(frozen=True, kw_only=True)
class Reproducible(Gate):
    """The rebuilt environment gave the saved outputs: `Envelope.verify` proved it."""

    name: ClassVar[str] = "reproducible"
    stage: ClassVar[Stage] = "before"

    def judge(self, candidate: Candidate) -> Verdict:
        """Held until somebody has verified the envelope."""
        record = candidate.platform.store.get(candidate.record.id)
        if record.reproducible == "proved":
            return passed()
        if record.reproducible == "failed":
            return failed(f"It could not be reproduced: {record.reproducible_reason}")
        return held(f"Nobody has verified it yet: `model-envelope verify {record.id}`.")


@dataclass(frozen=True, kw_only=True)
class Metric(Gate):
    """A tag query over scalar metrics holds, e.g. `metric.auc > 0.9 and metric.bias < 0.1`."""

    name: ClassVar[str] = "metric"
    stage: ClassVar[Stage] = "before"
    main: ClassVar[str] = "expression"

    expression: str

    def __post_init__(self) -> None:
        parse(self.expression)

    def judge(self, candidate: Candidate) -> Verdict:
        """Held while a metric that is asked for was never logged."""
        query, record = parse(self.expression), candidate.record
        values = last_scalars(candidate.platform.store, [record.id], query.metrics)[record.id]
        missing = sorted(query.metrics - values.keys())
        if missing:
            return held(f"{', '.join(missing)} was not logged yet.")
        clauses = query.explain(record.tags, values, record.archived)
        wrong = [f"{clause.text} ({clause.found})" for clause in clauses if not clause.holds]
        if wrong:
            return failed(f"Not so: {'; '.join(wrong)}.", values=values)
        return passed(values=values)


@dataclass(frozen=True, kw_only=True)
class NotWorse(Gate):
    """A scalar metric is not worse than that of the envelope which runs now.

    Attributes:
        metric: its name, e.g. `rmse` or `validation.auc`.
        better: whether the greater or the smaller value is better.
        tolerance: how much worse it may be, in units of the metric.
    """

    name: ClassVar[str] = "not_worse"
    stage: ClassVar[Stage] = "before"
    main: ClassVar[str] = "metric"

    metric: str
    better: Literal["max", "min"] = "max"
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        names.check_metric_name(self.metric)
        number(self.name, "tolerance", self.tolerance)
        if self.better not in ("max", "min"):
            raise InvalidInput(f"Gate {self.name!r}: better is max or min, not {self.better!r}.")

    def judge(self, candidate: Candidate) -> Verdict:
        """Held while the candidate has no value; passed where there is nothing to compare."""
        live, record = candidate.live, candidate.record
        if live is None or live.id == record.id:
            return passed("Nothing else runs.")
        found = last_scalars(candidate.platform.store, [live.id, record.id], [self.metric])
        theirs, ours = (found[r.id].get(self.metric, math.nan) for r in (live, record))
        if math.isnan(ours):
            return held(f"{self.metric} was not logged yet.")
        if math.isnan(theirs):
            return passed(f"The live envelope {live.id} has no {self.metric}.", candidate=ours)
        loss = theirs - ours if self.better == "max" else ours - theirs
        if loss > self.tolerance:
            return failed(
                f"{self.metric} is {ours:.6g}, worse than {theirs:.6g} of {live.id}, which runs.",
                candidate=ours,
                live=theirs,
            )
        return passed(candidate=ours, live=theirs)
