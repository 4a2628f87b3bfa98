"""The web application in Airflow's web server: its users, its permissions, its connection."""

from __future__ import annotations

from time import monotonic

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.models.dag import DagModel
from airflow.sdk.exceptions import AirflowNotFoundException
from fastapi import HTTPException

from model_envelope.client.client import Client
from model_envelope.errors import InvalidInput, StoreError
from model_envelope.operators.hook import Addresses, ModelEnvelopeHook
from model_envelope.web.access import Access, Host, Viewer
from model_envelope.web.app import create_app

DEPLOY_DAG = "model_deploy"
FRESH = 5.0
"""Seconds for which a connection is not asked for again: it may lie in a vault far away."""


class _Connected:
    """The client of the default connection, opened again when that says something else."""

    def __init__(self) -> None:
        self._known: tuple[Addresses, Client] | None = None
        self._until = 0.0

    def __call__(self) -> Client:
        known = self._known
        if known is None or monotonic() > self._until:
            known = self._known = self._connected(known)
            self._until = monotonic() + FRESH
        return known[1]

    def _connected(self, known: tuple[Addresses, Client] | None) -> tuple[Addresses, Client]:
        hook = ModelEnvelopeHook()
        try:
            addresses = hook.addresses()
            if known is not None and known[0] == addresses:
                return known
            client = hook.client()
            # Not made where there is none: who looks changes nothing.
            client.store = hook.store()
        except (AirflowNotFoundException, InvalidInput) as error:
            raise StoreError(str(error)) from error
        return addresses, client


def may_deploy(user: GetUserDep) -> bool:
    """Whether somebody may trigger the DAG that deploys."""
    return get_auth_manager().is_authorized_dag(
        method="POST",
        access_entity=DagAccessEntity.RUN,
        details=DagDetails(id=DEPLOY_DAG, team_name=DagModel.get_team_name(DEPLOY_DAG)),
        user=user,
    )


def change(user: GetUserDep) -> None:
    """Refuse who may not trigger the DAG that deploys."""
    if not may_deploy(user):
        raise HTTPException(403, f"This needs the permission to trigger the DAG {DEPLOY_DAG!r}.")


def viewer(user: GetUserDep) -> Viewer:
    """Who asks."""
    may = may_deploy(user)
    return Viewer(name=user.get_name(), change=may, deploy=may)


def deploy_dag() -> str | None:
    """The DAG that deploys, if Airflow has it."""
    dag = DagModel.get_dagmodel(DEPLOY_DAG)
    return DEPLOY_DAG if dag is not None and not dag.is_stale else None


app = create_app(
    Host(
        mode="airflow",
        open_client=_Connected(),
        access=Access(read=requires_access_dag("GET"), change=change, viewer=viewer),
        deploy_dag=deploy_dag,
    )
)
