"""A store whose services run as processes, and how tests look at it."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from model_envelope.client.client import Client
from model_envelope.client.envelope import Envelope
from model_envelope.deployment.reconciling import Outcome, reconcile
from model_envelope.deployment.targets.opening import open_target
from model_envelope.deployment.targets.protocol import Target
from model_envelope.store.rows import DeploymentRecord, ServiceRecord

PATIENCE = 120.0
SERVICE = "ltv"
LEASE = timedelta(seconds=2)
RECONCILER = Path(__file__).with_name("reconciler.py")


def times(factor: float) -> Callable[[pd.DataFrame], Any]:
    """A model that multiplies its column `a`."""

    def model(frame: pd.DataFrame) -> pd.Series:
        return frame["a"] * factor

    return model


class Scene:
    """What tests say and ask; the service is always the same one."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.store = client.store

    def save(self, model: Any = None, **tags: str) -> Envelope:
        """A model, doubling unless given."""
        return self.client.save_model(
            model or times(2), tags={"name": "m", **tags}, api_input=pd.DataFrame({"a": [1.0, 2.5]})
        )

    def want(self, envelope: Envelope | None, **fields: Any) -> ServiceRecord:
        """A person's wish."""
        values: dict[str, Any] = {"target": {"kind": "process", "options": {}}, "by": "ada"}
        envelope_id = None if envelope is None else envelope.id
        return self.store.want(SERVICE, envelope_id=envelope_id, **{**values, **fields})

    def want_by_rule(
        self, envelope: Envelope, *, gates: list[Any] | None = None, **rollout: Any
    ) -> ServiceRecord:
        """A rule's wish, with its gates and its rollout."""
        spec = {"gates": gates or [], "rollout": rollout or None}
        rule = self.store.put_rule("best", SERVICE, spec, "ada")
        known = {record.name: record.generation for record in self.store.services()}
        record = self.store.want_by_rule(
            rule.name,
            rule.revision,
            service=SERVICE,
            generation=known.get(SERVICE, 0),
            target={"kind": "process", "options": {}},
            envelope_id=envelope.id,
        )
        assert record is not None
        return record

    def reconcile(self, **options: Any) -> Outcome:
        (outcome,) = reconcile(self.client.platform, services=[SERVICE], lease=LEASE, **options)
        return outcome

    def reconcile_until_free(self) -> Outcome:
        """Reconcile again and again until nobody else holds the service."""
        end = time.monotonic() + PATIENCE
        while (outcome := self.reconcile(retry=True)).action == "busy":
            assert time.monotonic() < end, outcome
            time.sleep(0.1)
        return outcome

    def wait_until(self, holds: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, self.ledger
            time.sleep(0.05)

    def reconcile_elsewhere(self, fault: str = "") -> subprocess.Popen[str]:
        """Another process that reconciles; `fault` is what befalls it, see `reconciler`."""
        return subprocess.Popen(
            [sys.executable, str(RECONCILER), SERVICE, str(LEASE.total_seconds()), fault],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def record(self) -> ServiceRecord:
        return self.store.service(SERVICE)

    @property
    def target(self) -> Target:
        return open_target("process", self.client.platform)

    @property
    def ledger(self) -> tuple[DeploymentRecord, ...]:
        return self.store.deployments(SERVICE)

    def steps(self, deployment: str | None = None) -> dict[str, str]:
        """The last state of each step of a deployment, the newest one unless given."""
        found = self.store.steps(deployment or self.ledger[0].id)
        return {step.name: step.state for step in found}

    def detail(self, step: str) -> Mapping[str, Any]:
        """What the newest deployment's step says."""
        found = self.store.steps(self.ledger[0].id)
        return next(s.detail for s in reversed(found) if s.name == step)

    def running(self) -> list[str]:
        return [found.release for found in self.target.running()]

    def stop(self, release: str) -> None:
        self.target.stop(release, drain=timedelta(0))

    def answer(self, a: float = 1.0) -> float:
        """What the service says to one row."""
        place = urlsplit(self.record.url or "")
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        try:
            body = json.dumps([{"a": a}])
            connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read()
            assert response.status == 200, content
            assert response.headers["x-release"] == self.record.live_deployment
            ((value,),) = (row.values() for row in json.loads(content))
            return float(value)
        finally:
            connection.close()

    def check_one_live(self, envelope: Envelope) -> None:
        """One release runs, it is what the ledger says, and the ledger holds together."""
        record = self.record
        assert record.live_envelope == envelope.id
        assert self.running() == [record.live_deployment]
        ledger = self.ledger
        assert [d.id for d in ledger if d.state == "live"] == [record.live_deployment]
        assert not [d for d in ledger if d.state == "running"]
        live_now = self.store.live_at(SERVICE, datetime.now(UTC))
        assert live_now is not None
        assert live_now.id == record.live_deployment
        was_live = sorted((d.live_from, d.id) for d in ledger if d.live_from is not None)
        ends = {d.id: d.live_to for d in ledger}
        for (_, before), (began, _) in pairwise(was_live):
            ended = ends[before]
            assert ended is not None
            assert ended <= began
        assert self.answer() > 0
