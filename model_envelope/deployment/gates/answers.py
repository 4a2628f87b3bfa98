"""Gates that ask a started release, past whatever stands before it."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from typing import ClassVar

from model_envelope.deployment.gates.gate import (
    Candidate,
    Gate,
    Stage,
    Verdict,
    failed,
    number,
    passed,
)
from model_envelope.deployment.probing import ARROW, JSON, Answer, Unanswered, ask
from model_envelope.deployment.targets.protocol import Running, Target
from model_envelope.errors import InvalidInput, TargetFailed

_PAUSE = 0.1
_LOG_LINES = 20
_PATIENCE = 60.0
"""Seconds for one answer: the first one may still compile or load something."""


@dataclass(frozen=True, kw_only=True)
class Ready(Gate):
    """Every replica says that it is ready, within some seconds and without dying on the way."""

    name: ClassVar[str] = "ready"
    stage: ClassVar[Stage] = "after"
    main: ClassVar[str] = "seconds"

    seconds: float = 180.0
    restarts: int = 2

    def __post_init__(self) -> None:
        number(self.name, "seconds", self.seconds)
        number(self.name, "restarts", self.restarts)

    def judge(self, candidate: Candidate) -> Verdict:
        """Failed with the last lines of its log if it dies again and again, or takes too long."""
        began = time.monotonic()
        while True:
            candidate.check()
            running = find(candidate.target, candidate.release.id)
            if running is None:
                return failed(f"It is gone.{_last_words(candidate)}")
            if running.restarts > self.restarts:
                why = f" {running.detail}" if running.detail else ""
                return failed(
                    f"It died {running.restarts} times.{why}{_last_words(candidate)}",
                    restarts=running.restarts,
                )
            waited = time.monotonic() - began
            if _answers(running):
                return passed(seconds=round(waited, 3))
            if waited > self.seconds:
                why = f" {running.detail}" if running.detail else ""
                return failed(
                    f"It was not ready within {self.seconds:g} s.{why}{_last_words(candidate)}"
                )
            time.sleep(_PAUSE)


@dataclass(frozen=True, kw_only=True)
class GoldenRows(Gate):
    """The golden rows over HTTP, as JSON and as Arrow, give what was saved with them."""

    name: ClassVar[str] = "golden_rows"
    stage: ClassVar[Stage] = "after"

    def judge(self, candidate: Candidate) -> Verdict:
        """Asks every replica for every function that has golden rows."""
        # Imported where rows are asked for: who only plans needs neither Arrow nor formats.
        from model_envelope.deployment.gates import golden_answers as rows

        record, asked = candidate.record, 0
        for name, spec in record.functions.items():
            if spec.input is None or not rows.has_golden_rows(record, name):
                continue
            given, expected = rows.golden_rows(candidate.platform.artifacts, record, name)
            for address in candidate.addresses:
                for media in (JSON, ARROW):
                    body = rows.written(given, spec, media)
                    try:
                        answer = _post(address, f"/{name}", body, media)
                    except Unanswered as error:
                        # It was ready a moment ago: these rows were its end.
                        return failed(f"{name!r}: {error}{_last_words(candidate)}")
                    problem = rows.problem(answer, spec, expected, media)
                    if problem:
                        raised = _last_raised(candidate) if answer.status >= 500 else ""
                        return failed(f"{name!r} as {media}: {raised or problem}", address=address)
                    asked += 1
        if not asked:
            return failed("There are no golden rows to ask for: save it again with api_input.")
        return passed(requests=asked)


@dataclass(frozen=True, kw_only=True)
class Latency(Gate):
    """One golden row at a time is answered fast enough, without other load.

    Attributes:
        seconds: what a request may take.
        quantile: the share of the requests that may take no longer.
        requests: how many are tried on each replica.
    """

    name: ClassVar[str] = "latency"
    stage: ClassVar[Stage] = "after"
    main: ClassVar[str] = "seconds"

    seconds: float
    quantile: float = 0.95
    requests: int = 100

    def __post_init__(self) -> None:
        number(self.name, "seconds", self.seconds)
        number(self.name, "quantile", self.quantile, low=0.01, high=1.0)
        number(self.name, "requests", self.requests, low=1, high=100_000)
        if not isinstance(self.requests, int):
            raise InvalidInput(f"Gate {self.name!r}: requests is no whole number.")

    def judge(self, candidate: Candidate) -> Verdict:
        """Measures from connecting to the last byte."""
        from model_envelope.deployment.gates import golden_answers as rows

        record = candidate.record
        name, spec = next(
            (name, spec)
            for name, spec in record.functions.items()
            if spec.input is not None and rows.has_golden_rows(record, name)
        )
        given, _ = rows.golden_rows(candidate.platform.artifacts, record, name)
        body = rows.written(given.slice(0, 1), spec, JSON)
        taken: list[float] = []
        for address in candidate.addresses:
            for _ in range(self.requests):
                try:
                    answer = _post(address, f"/{name}", body, JSON)
                except Unanswered as error:
                    return failed(f"{error}{_last_words(candidate)}")
                if answer.status != 200:
                    return failed(f"It answered {answer.status}: {answer.text}")
                taken.append(answer.seconds)
            candidate.check()
        taken.sort()
        found = taken[min(math.ceil(self.quantile * len(taken)), len(taken)) - 1]
        if found > self.seconds:
            return failed(
                f"{self.quantile:.0%} of {len(taken)} requests took up to {found:.4g} s, longer "
                f"than {self.seconds:g} s.",
                seconds=round(found, 6),
            )
        return passed(seconds=round(found, 6), requests=len(taken))


def find(target: Target, release: str) -> Running | None:
    """A release, if the target has it."""
    return next((found for found in target.running() if found.release == release), None)


def _answers(running: Running) -> bool:
    if not running.ready or not running.addresses:
        return False
    try:
        return all(ask(address, "GET", "/readyz").status == 200 for address in running.addresses)
    except Unanswered:
        return False


def _last_words(candidate: Candidate) -> str:
    try:
        logged = candidate.target.logs(candidate.release.id, _LOG_LINES).strip()
    except TargetFailed:
        return ""
    return f" Its log ends with:\n{logged}" if logged else ""


def _last_raised(candidate: Candidate) -> str:
    """What the model raised last. Clients are not told, so its log is read."""
    try:
        lines = candidate.target.logs(candidate.release.id, _LOG_LINES).splitlines()
    except TargetFailed:
        return ""
    for line in reversed(lines):
        try:
            told = json.loads(line)
            raised = str(told["traceback"]).strip().rpartition("\n")[2]
            return raised.partition("PredictionFailed: ")[2] or raised
        except (ValueError, TypeError, KeyError):
            continue
    return ""


def _post(address: str, path: str, body: bytes, media: str) -> Answer:
    headers = {"Content-Type": media, "Accept": media}
    return ask(address, "POST", path, body, headers=headers, timeout=_PATIENCE)
