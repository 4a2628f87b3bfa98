"""Deployments: what was tried, what would be, and, where no DAG does it, having it done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Path, Query

from model_envelope import names
from model_envelope.client.client import Client
from model_envelope.client.comparing import Changes, compare
from model_envelope.client.envelope import Envelope
from model_envelope.client.wishes import Wish
from model_envelope.envelope import EnvelopeRecord
from model_envelope.errors import MissingDependency, TargetFailed
from model_envelope.store.rows import ServiceRecord
from model_envelope.web.access import Acting, ClientOf, Host, HostOf
from model_envelope.web.parameters import BODY, EnvelopeId, Limit, ServiceName
from model_envelope.web.problems import NotHere
from model_envelope.web.routing import router
from model_envelope.web.shapes.models import ModelRow, rows
from model_envelope.web.shapes.services import (
    DeploymentDetail,
    DeploymentList,
    Live,
    deployment_detail,
    deployments,
    services,
)

reads = router("Deployments")
changes = router("Deployments")

ACCEPTED = 202

Action = Literal["deploy", "replace", "keep"]

DeploymentId = Annotated[str, Path(pattern="^[0-9a-f]{20}$", description="A deployment's id.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What a service is to run.

    Attributes:
        envelope: an id, or a tag query, whose latest match is meant.
        target: a kind; what it was, or `process`, unless given.
        options: of the target; what they were unless given.
        reason: for the ledger.
    """

    __pydantic_config__ = BODY

    envelope: str
    service: str
    target: str | None = None
    options: dict[str, Any] | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """Why, for the ledger."""

    __pydantic_config__ = BODY

    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """What deploying would do.

    Attributes:
        replaces: what the service runs now; a rollback would put it back.
        action: `keep` where the service runs it so already.
        url: of the service as it is, if it is.
        schema_changes: how functions and their columns differ from those that run now.
        warnings: what somebody should know before.
    """

    envelope: ModelRow
    replaces: Live | None
    action: Action
    url: str | None
    schema_changes: Changes
    warnings: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Begun:
    """That something is wanted of a service now, and has been begun; `note` is for people."""

    service: str
    generation: int
    note: str


@reads.get("/deployments")
def list_deployments(
    client: ClientOf,
    *,
    service: Annotated[str | None, Query(max_length=63, description="Of this service.")] = None,
    envelope: Annotated[
        str | None, Query(pattern="^[0-9a-f]{20}$", description="Of this envelope.")
    ] = None,
    limit: Limit = 50,
    cursor: Annotated[
        str | None, Query(pattern="^[0-9a-f]{20}$", description="`next` of the page before.")
    ] = None,
) -> DeploymentList:
    """List deployments, the newest first."""
    store = client.store
    found = store.deployments(service, envelope, limit + 1, before=cursor)
    shown = found[:limit]
    return DeploymentList(
        items=deployments(store, shown), next=shown[-1].id if len(found) > limit else None
    )


@reads.get("/deployments/{deployment_id}")
def show_deployment(client: ClientOf, deployment_id: DeploymentId) -> DeploymentDetail:
    """Show a deployment with its steps."""
    store = client.store
    record = store.deployment(deployment_id)
    return deployment_detail(store, record, store.steps(deployment_id))


@reads.get("/models/{envelope_id}/deployments")
def deployments_of_model(
    client: ClientOf, envelope_id: EnvelopeId, limit: Limit = 50
) -> DeploymentList:
    """List the newest deployments of an envelope."""
    store = client.store
    found = store.deployments(None, store.resolve(envelope_id).id, limit)
    return DeploymentList(items=deployments(store, found), next=None)


@reads.post("/deployments/preview")
def preview_deployment(client: ClientOf, wanted: Wanted) -> Preview:
    """Tell what deploying would do. Nothing is changed, and nothing is started."""
    names.check_service(wanted.service)
    store, envelope = client.store, _meant(client, wanted.envelope)
    service = next((one for one in store.services() if one.name == wanted.service), None)
    rule = next((one.name for one in store.rules() if one.service == wanted.service), None)
    target, warnings = None, []
    try:
        target = client.target_for(wanted.service, wanted.target, wanted.options)
    except (MissingDependency, TargetFailed) as error:
        warnings.append(f"The options were not checked here: {error}")
    live = services(store, [service])[0].live if service else None
    running = store.records([live.envelope]).get(live.envelope) if live else None
    schema = Changes(added={}, removed={}, changed={}, same=0)
    if running is not None:
        schema = compare(client, Envelope(client, running), envelope).functions
    (row,) = rows(client, [envelope.record])
    return Preview(
        envelope=row,
        replaces=live,
        action=_action(service, envelope.id, target),
        url=service.url if service else None,
        schema_changes=schema,
        warnings=[*warnings, *_warnings(envelope.record, running, schema, rule)],
    )


@changes.post("/deployments", status_code=ACCEPTED)
def deploy(client: Acting, host: HostOf, wanted: Wanted) -> Begun:
    """Begin to have a service run an envelope, where no DAG does that; see the preview."""

    def wish() -> Wish:
        return client.want(
            wanted.envelope,
            wanted.service,
            target=wanted.target,
            options=wanted.options,
            reason=wanted.reason,
        )

    return _begin(host, wish)


@changes.post("/services/{service}/rollback", status_code=ACCEPTED)
def rollback(client: Acting, host: HostOf, service: ServiceName, why: Reason) -> Begun:
    """Begin to put back what a service ran before; its rule is paused, which the note says."""
    return _begin(host, lambda: client.want_previous(service, reason=why.reason))


@changes.post("/services/{service}/undeploy", status_code=ACCEPTED)
def undeploy(client: Acting, host: HostOf, service: ServiceName, why: Reason) -> Begun:
    """Begin to end a service; its rule is paused, which the note says."""
    return _begin(host, lambda: client.want_nothing(service, reason=why.reason))


def _begin(host: Host, wish: Callable[[], Wish]) -> Begun:
    if host.bring_about is None:
        raise NotHere("Here a run of the DAG model_deploy does this: start one.")
    made = wish()
    host.bring_about(made.record.name)
    return Begun(service=made.record.name, generation=made.record.generation, note=made.note)


def _meant(client: Client, envelope: str) -> Envelope:
    """The envelope of an id, or the latest match of a tag query."""
    return client.get(envelope) if names.ID.fullmatch(envelope) else client.latest(envelope)


def _action(
    service: ServiceRecord | None, envelope_id: str, target: Mapping[str, Any] | None
) -> Action:
    if service is None or service.live_envelope is None:
        return "deploy"
    same = service.live_envelope == envelope_id and target in (None, service.target)
    return "keep" if same else "replace"


def _warnings(
    envelope: EnvelopeRecord, running: EnvelopeRecord | None, schema: Changes, rule: str | None
) -> list[str]:
    """What somebody should know before an envelope is deployed."""
    found = {
        "It is archived.": envelope.archived,
        "In a rebuilt environment it did not give its saved outputs: "
        f"{envelope.reproducible_reason}": envelope.reproducible == "failed",
        "It was saved before what runs now.": running and envelope.revision < running.revision,
        "Callers may have to change: functions or columns are gone, or of other types.": (
            schema.removed or schema.changed
        ),
        f"The service is pinned to it: rule {rule!r} changes nothing until it is unpinned.": rule,
    }
    return [told for told, so in found.items() if so]
