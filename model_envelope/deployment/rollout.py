"""One attempt to make a service run an envelope: every gate, then the traffic, or neither."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from model_envelope import names
from model_envelope.deployment.failures import after, is_passing
from model_envelope.deployment.gates.answers import GoldenRows, Ready, find
from model_envelope.deployment.gates.gate import (
    NOTHING,
    Candidate,
    Gate,
    Verdict,
    failed,
    passed,
)
from model_envelope.deployment.lease import Lease
from model_envelope.deployment.serving_options import read_options
from model_envelope.deployment.targets.protocol import Platform, Release, Route, Target
from model_envelope.envelope import EnvelopeRecord
from model_envelope.environment.provenance import airflow_task
from model_envelope.errors import DeploymentError, FenceLost, StoreError, TargetFailed
from model_envelope.store.rows import ServiceRecord, StepState

_log = logging.getLogger(__name__)

Tell = Callable[[str, str, StepState], None]
"""Is told of each step as it is written to the ledger: service, step, state."""

HELD = timedelta(minutes=1)
"""After which a gate that had too little to judge by is asked again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """What came of a rollout.

    `retry_at` is set where it will be tried again by itself: a gate held it, or something
    failed that is none of the envelope's fault.
    """

    deployment: str
    state: Literal["live", "refused", "held", "retrying"]
    reason: str = ""
    retry_at: datetime | None = None


class _Stopped(Exception):
    """A gate said no, or not yet."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


class Rollout:
    """Brings a candidate up off-traffic, judges it, and makes it the live one in the store.

    What runs keeps running meanwhile. Giving it the traffic of the target and stopping what
    ran before is `reconciling`'s, which does it also after a crash.

    Args:
        platform: store, artifacts and folders.
        target: where it is to run.
        lease: the claim of the service.
        service: what is wanted, and what is live.
        record: the envelope.
        by: who wants it.
        gates: reads the gates of who wants it; the always-there ones need not be among them.
        tries: how often it was given up at this wish before.
        tell: is told of each step.
    """

    def __init__(
        self,
        platform: Platform,
        target: Target,
        lease: Lease,
        service: ServiceRecord,
        record: EnvelopeRecord,
        *,
        by: str,
        gates: Callable[[], Sequence[Gate]],
        tries: int,
        tell: Tell,
    ) -> None:
        self._store = platform.store
        self._target = target
        self._lease = lease
        self._service = service
        self._by = by
        self._gates = gates
        self._tries = tries
        self._tell = tell
        self._step = "check"
        self._started = False
        release = Release(
            id=names.new_id(),
            service=service.name,
            fence=lease.fence,
            record=record,
            options={},
        )
        self._candidate = Candidate(
            platform=platform, target=target, release=release, check=lease.check
        )

    @property
    def id(self) -> str:
        """The deployment's."""
        return self._candidate.release.id

    def run(self) -> Attempt:
        """Try it.

        Raises:
            FenceLost: another process has taken the service over; ours was removed.
            StoreUnavailable: what came of it is for the next reconcile to find out.
        """
        self._store.begin_deployment(
            self._service.name,
            self._lease.fence,
            self.id,
            envelope_id=self._candidate.record.id,
            by=self._by,
            generation=self._service.generation,
            target=self._service.target,
            airflow=airflow_task(),
        )
        try:
            self._bring_up()
            self._do("promote", self._promote)
        except FenceLost:
            self._withdraw()
            raise
        except Exception as error:
            return self._give_up(error)
        except BaseException as error:
            # Interrupted, as by Ctrl-C or the end of a task: clean up, then go.
            self._give_up(TargetFailed(f"It was interrupted ({type(error).__name__})."))
            raise
        return Attempt(deployment=self.id, state="live")

    def _bring_up(self) -> None:
        self._do("check", self._check)
        gates = self._gates()
        ready = [gate for gate in gates if isinstance(gate, Ready)]
        for gate in gates:
            if gate.stage == "before":
                self._judge(gate)
        self._do("prepare", lambda: self._target.prepare(self._candidate.release))
        self._do("start", self._start)
        for gate in ready or [Ready()]:
            self._judge(gate)
        self._look()
        self._judge(GoldenRows())
        for gate in gates:
            if gate.stage == "after" and not isinstance(gate, Ready | GoldenRows):
                self._judge(gate)

    def _check(self) -> None:
        """Options complete, and what is live now."""
        store, service = self._store, self._service
        options = read_options(self._target, service.target.get("options") or {})
        release = replace(
            self._candidate.release,
            options=options.target,
            limits=options.limits,
            log_mode=options.log_mode,
            log_share=options.log_share,
        )
        self._candidate = replace(self._candidate, release=release)
        if service.live_envelope is None:
            return
        mine = [
            Route(service=route.service, release=route.deployment, fence=route.fence)
            for route in store.routes(self._target.kind)
            if route.service == service.name
        ]
        self._candidate = replace(
            self._candidate,
            live=store.get(service.live_envelope),
            live_route=mine[0] if mine else None,
        )

    def _start(self) -> None:
        self._started = True
        running = self._target.start(self._candidate.release)
        self._candidate = replace(self._candidate, running=running)

    def _look(self) -> None:
        running = find(self._target, self.id)
        self._candidate = replace(self._candidate, running=running)

    def _promote(self) -> None:
        url = self._target.url(self._service.name, self._candidate.release.options)
        self._store.go_live(self._service.name, self._lease.fence, self.id, url)

    def _judge(self, gate: Gate) -> None:
        self._do(gate.name, lambda: gate.judge(self._candidate))

    def _do(self, step: str, work: Callable[[], Verdict | None]) -> None:
        self._step = step
        self._note("running")
        verdict = work() or passed()
        if verdict.state != "passed":
            raise _Stopped(verdict)
        self._note("passed", verdict.detail, verdict.reason)

    def _note(
        self, state: StepState, detail: Mapping[str, Any] = NOTHING, reason: str = ""
    ) -> None:
        told = {"reason": reason, **detail} if reason else detail
        self._store.add_step(self.id, self._lease.fence, self._step, state, plain(told))
        self._tell(self._service.name, self._step, state)

    def _give_up(self, error: Exception) -> Attempt:
        """Remove the candidate, and write down why."""
        if self._step == "promote" and self._was_live():
            # Only the answer of the store was lost.
            return Attempt(deployment=self.id, state="live")
        self._withdraw()
        verdict = error.verdict if isinstance(error, _Stopped) else _as_verdict(error)
        name, fence = self._service.name, self._lease.fence
        reason = f"{self._step}: {verdict.reason}"
        retry_at = self._retry_at(verdict, error)
        if retry_at is None:
            self._note("failed", verdict.detail, verdict.reason)
            self._store.end_deployment(self.id, fence, "failed", reason)
            self._store.observe(name, fence, self._service.generation)
            return Attempt(deployment=self.id, state="refused", reason=reason)
        is_held = verdict.state == "held"
        detail = {**verdict.detail, "retry_at": retry_at.isoformat()}
        self._note("held" if is_held else "failed", detail, verdict.reason)
        reason += f"\nIt is tried again after {retry_at:%H:%M:%S} UTC."
        self._store.end_deployment(self.id, fence, "superseded", reason)
        state: Literal["held", "retrying"] = "held" if is_held else "retrying"
        return Attempt(deployment=self.id, state=state, reason=reason, retry_at=retry_at)

    def _retry_at(self, verdict: Verdict, error: Exception) -> datetime | None:
        if verdict.state == "held":
            return datetime.now(UTC) + HELD
        return after(datetime.now(UTC), self._tries) if is_passing(error) else None

    def _withdraw(self) -> None:
        if not self._started:
            return
        try:
            if self._step == "promote" and self._was_live():
                return
            self._target.stop(self.id, drain=timedelta(0))
        except (DeploymentError, StoreError) as error:
            # What is left and not live is swept by the next reconcile.
            _log.warning("The candidate %s could not be removed yet: %s", self.id, error)

    def _was_live(self) -> bool:
        return self._store.deployment(self.id).live_from is not None


def _as_verdict(error: Exception) -> Verdict:
    if not isinstance(error, DeploymentError):
        _log.info("A step raised", exc_info=error)
    told = str(error) or "no message"
    kind = type(error).__name__
    return failed(told if isinstance(error, DeploymentError) else f"{kind}: {told}", error=kind)


def plain(value: Any) -> Any:
    """A value as JSON that every database keeps: no NaN, no infinity, no other types."""

    def finite(value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)
        if isinstance(value, Mapping):
            return {str(key): finite(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [finite(item) for item in value]
        return value

    return json.loads(json.dumps(finite(value), default=str))
