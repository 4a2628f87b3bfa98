"""Runs of DAGs: what each one saved, predicted and deployed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Query

from model_envelope.web.access import ClientOf
from model_envelope.web.replies import BY_REVISION
from model_envelope.web.routing import router
from model_envelope.web.shapes.batch import BatchRow, batches
from model_envelope.web.shapes.models import ModelRow, rows
from model_envelope.web.shapes.services import DeploymentRow, deployments

reads = router("Runs")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """What a run of a DAG did, each the latest first."""

    envelopes: Sequence[ModelRow]
    predictions: Sequence[BatchRow]
    deployments: Sequence[DeploymentRow]


@reads.get("/runs", dependencies=[BY_REVISION])
def show_run(
    client: ClientOf,
    *,
    dag_id: Annotated[str, Query(min_length=1, max_length=250, description="The DAG.")],
    run_id: Annotated[str, Query(min_length=1, max_length=250, description="Its run.")],
) -> RunSummary:
    """Show what a run of a DAG saved, predicted and deployed."""
    store = client.store
    return RunSummary(
        envelopes=rows(client, store.envelopes_of_run(dag_id, run_id)),
        predictions=batches(store, store.predictions_of_run(dag_id, run_id)),
        deployments=deployments(store, store.deployments_of_run(dag_id, run_id)),
    )
