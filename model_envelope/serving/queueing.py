"""The queue in front of the model.

While the model is busy requests gather; what has gathered goes to it at once, if the
function was seen to treat rows alike alone and among others. An idle model never waits.
All bookkeeping is the event loop's: the thread gets a batch and gives back its answers.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol

import pyarrow as pa

from model_envelope.errors import PredictionFailed
from model_envelope.serving.formats import Request, Response
from model_envelope.serving.functions import Function
from model_envelope.serving.model_thread import PATIENCE_SECONDS, ModelThread
from model_envelope.serving.plan import Limits
from model_envelope.serving.refusals import RETRY_SOON, Refusal

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Job:
    """One request on its way through the model."""

    function: Function
    request: Request
    request_id: bytes
    answer: asyncio.Future[Response]
    begin_before: float


@dataclass(slots=True, eq=False)
class _Lane:
    """What waits for one function, and whether it was quick the last time."""

    jobs: deque[Job] = field(default_factory=deque)
    is_quick: bool = False


@dataclass(slots=True)
class _Outcome:
    """What became of each job of a batch, and how long that took."""

    answers: list[Response | Exception]
    seconds: float


class Watch(Protocol):
    """Who is told of every batch; called in the model's thread, so it must be quick."""

    def predicted(self, batch: Sequence[Job], output: pa.Table, seconds: float) -> None:
        """What the model was given at once, what it gave, and how long it took."""


class ModelQueue:
    """Requests in order of arrival; bounded in rows."""

    def __init__(self, limits: Limits, functions: Iterable[Function], watch: Watch) -> None:
        self.rows = 0
        """Rows that wait or are being predicted."""
        self._limits = limits
        self._watch = watch
        self._lanes = {function: _Lane() for function in functions}
        self._busy = False
        self._overdue: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._thread = ModelThread(self._predict, self._deliver)

    def put(
        self, function: Function, request: Request, request_id: bytes
    ) -> asyncio.Future[Response]:
        """Queue a request.

        The result raises:
            Refusal: 503, it could not be begun in time.
            EnvelopeError: what the prediction raised.

        Raises:
            Refusal: 413, it can never fit; 429, there is no room now.
        """
        if request.rows > self._limits.queue_rows:
            raise Refusal(
                413,
                f"The body has {request.rows} rows; at most {self._limits.queue_rows} are taken "
                "at once. Send several requests, or use a batch prediction.",
            )
        if self.rows + request.rows > self._limits.queue_rows:
            raise Refusal(429, f"{self.rows} rows are already waiting. Try again.", RETRY_SOON)
        self.rows += request.rows
        answer: asyncio.Future[Response] = self._loop.create_future()
        deadline = self._loop.time() + self._limits.deadline_seconds
        self._lanes[function].jobs.append(Job(function, request, request_id, answer, deadline))
        if not self._busy:
            self._busy = True
            # Not now: what else arrived in this turn of the loop can go along.
            self._loop.call_soon(self._next)
        elif self._overdue is None:
            self._overdue = self._loop.call_at(deadline, self._expire)
        return answer

    def close(self) -> None:
        """End the thread once it has predicted what it was given."""
        self._thread.close()

    def _next(self) -> None:
        lanes = [lane for lane in self._lanes.values() if lane.jobs]
        self._busy = bool(lanes)
        if not lanes:
            return
        lane = min(lanes, key=lambda lane: lane.jobs[0].begin_before)
        batch = self._take(lane.jobs)
        outcome = self._thread.begin(batch, wait=lane.is_quick)
        if outcome is not None:
            self._settle_all(batch, outcome)
            self._loop.call_soon(self._next)  # first the answers, and what they bring

    def _take(self, jobs: deque[Job]) -> list[Job]:
        """The oldest request, and what may go with it."""
        batch = [jobs.popleft()]
        rows = batch[0].request.rows
        if batch[0].function.spec.row_independent is True:
            while jobs and rows + jobs[0].request.rows <= self._limits.batch_rows:
                rows += jobs[0].request.rows
                batch.append(jobs.popleft())
        return batch

    def _expire(self) -> None:
        """Refuse what has waited too long, and come back for what will have."""
        now, seconds = self._loop.time(), self._limits.deadline_seconds
        text = f"The model did not come to this request within {seconds:g} s. Try again."
        waiting = [lane.jobs for lane in self._lanes.values()]
        for jobs in waiting:
            while jobs and jobs[0].begin_before <= now:
                self._settle(jobs.popleft(), Refusal(503, text, RETRY_SOON))
        heads = [jobs[0].begin_before for jobs in waiting if jobs]
        self._overdue = self._loop.call_at(min(heads), self._expire) if heads else None

    def _predict(self, batch: list[Job]) -> _Outcome:
        begun = perf_counter()
        answers = self._answers(batch)
        return _Outcome(answers, perf_counter() - begun)

    def _answers(self, batch: list[Job]) -> list[Response | Exception]:
        if len(batch) > 1:
            found = self._attempt(batch)
            if not isinstance(found, Exception):
                return list(found)
        # Alone, so that a request that the model cannot stand fails alone.
        return [_only(self._attempt([job])) for job in batch]

    def _attempt(self, batch: list[Job]) -> list[Response] | Exception:
        function, requests = batch[0].function, [job.request for job in batch]
        begun = perf_counter()
        try:
            output = function.predict(requests)
            seconds = perf_counter() - begun
            responses = function.respond(requests, output)
        except Exception as error:
            return error
        except BaseException as error:
            return PredictionFailed(f"The model raised {type(error).__name__}: {error}")
        try:
            self._watch.predicted(batch, output, seconds)
        except Exception:
            _log.warning("A prediction could not be counted", exc_info=True)
        return responses

    def _deliver(self, batch: list[Job], outcome: _Outcome) -> None:
        self._settle_all(batch, outcome)
        self._next()  # at once: the model works while the answers are sent

    def _settle_all(self, batch: list[Job], outcome: _Outcome) -> None:
        self._lanes[batch[0].function].is_quick = outcome.seconds < PATIENCE_SECONDS
        for job, answer in zip(batch, outcome.answers, strict=True):
            self._settle(job, answer)

    def _settle(self, job: Job, answer: Response | Exception) -> None:
        self.rows -= job.request.rows
        if job.answer.done():  # its client has gone
            return
        if isinstance(answer, Exception):
            job.answer.set_exception(answer)
        else:
            job.answer.set_result(answer)


def _only(found: list[Response] | Exception) -> Response | Exception:
    return found if isinstance(found, Exception) else found[0]
