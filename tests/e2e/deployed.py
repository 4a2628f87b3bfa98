"""A service that a whole Airflow deploys to."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from model_envelope.client.client import Client


class Deployed:
    """One service, its rule, and the Airflow that brings about what they want."""

    def __init__(self, airflow: Any, models: Client, name: str) -> None:
        self.airflow, self.models, self.name = airflow, models, name

    def follow_rule(self, **more: Any) -> None:
        when = f"canonical_name == '{self.name}' and passes_tests == 'true'"
        self.models.rule(self.name, when=when, service=self.name, target="process", **more)

    def save(self, model: Callable[[pd.DataFrame], Any], **tags: str) -> str:
        sample = pd.DataFrame({"a": [1.0, 2.0]})
        tags = {"canonical_name": self.name, **tags}
        return self.models.save_model(model, tags=tags, api_input=sample).id

    def let_pass(self, envelope_id: str) -> None:
        self.models.get(envelope_id).set_tags(passes_tests="true")

    def until(self, what: str, found: Callable[[], Any]) -> Any:
        return self.airflow.until(f"{what} of {self.name}", found)

    def until_live(self, envelope_id: str) -> None:
        def live() -> bool:
            found = self.models.store.deployments(self.name, limit=1)
            return bool(found) and (found[0].envelope_id, found[0].state) == (envelope_id, "live")

        self.until(f"live {envelope_id}", live)
        self.until("end", lambda: self.is_settled)

    @property
    def is_settled(self) -> bool:
        record = self.models.service(self.name)
        return record.observed_generation == record.generation and record.lease_owner is None

    def predict(self, *rows: float) -> list[float]:
        """What the service's URL answers."""
        request = urllib.request.Request(  # noqa: S310
            f"{self.models.service(self.name).url}/predict",
            data=json.dumps([{"a": a} for a in rows]).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return [next(iter(row.values())) for row in json.load(answer)]

    def start(self, dag_id: str, **conf: Any) -> str:
        """Trigger a DAG as its form does; gives the run's id."""
        body = {"logical_date": None, "conf": conf}
        return str(self.airflow.call(f"/api/v2/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def end_of(self, dag_id: str, run_id: str) -> str:
        def ended() -> str | None:
            state = self.airflow.call(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"]
            return str(state) if state in ("success", "failed") else None

        return str(self.until(f"end of {dag_id}", ended))

    def told(self, dag_id: str, run_id: str, task: str = "deploy", map_index: int = 0) -> str:
        """The log of a task's only try."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task}/logs/1"
        return str(self.airflow.read(f"{path}?map_index={map_index}"))
