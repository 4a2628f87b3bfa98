"""Services: what they run, how they are, what they log; and calling them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Annotated

from fastapi import Depends, Path, Query, Request

from model_envelope.deployment.probing import JSON, ask
from model_envelope.errors import DeploymentError, TargetFailed
from model_envelope.web.access import ClientOf
from model_envelope.web.parameters import ServiceName
from model_envelope.web.probes import Health, health, within
from model_envelope.web.problems import NotHere
from model_envelope.web.routing import router
from model_envelope.web.shapes.services import (
    ServiceDetail,
    ServiceList,
    service_detail,
    services,
)

reads = router("Services")
changes = router("Services")

LEDGER = 20
CALL_SECONDS = 30.0
LARGEST_ANSWER = 4 << 20

_PASSED = ("content-type", "x-envelope-id", "x-request-id", "retry-after")
_calls = BoundedSemaphore(8)

FunctionName = Annotated[
    str, Path(pattern="^[A-Za-z_][A-Za-z0-9_]{0,127}$", description="A query function.")
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Logged:
    """The last lines of a log."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Called:
    """What a service answered; `truncated` where that was longer than is shown."""

    status: int
    headers: Mapping[str, str]
    body: str
    seconds: float
    truncated: bool


@reads.get("/services")
def list_services(client: ClientOf) -> ServiceList:
    """List every service with what it runs and what is wanted of it."""
    store = client.store
    return ServiceList(items=services(store, store.services()))


@reads.get("/services/{service}")
def show_service(client: ClientOf, service: ServiceName) -> ServiceDetail:
    """Show a service with its newest deployments."""
    store = client.store
    record = store.service(service)
    return service_detail(store, record, store.deployments(service, limit=LEDGER))


@reads.get("/services/{service}/health")
def service_health(client: ClientOf, service: ServiceName) -> Health:
    """Ask a service and its target how it is, now and for a few seconds at most."""
    return health(client, client.store.service(service))


@reads.get("/services/{service}/logs")
def service_logs(
    client: ClientOf,
    service: ServiceName,
    *,
    lines: Annotated[int, Query(ge=1, le=5_000, description="At most so many.")] = 200,
    deployment: Annotated[
        str | None, Query(pattern="^[0-9a-f]{20}$", description="Of another release than the live.")
    ] = None,
) -> Logged:
    """Show the last lines that a service has logged."""
    return Logged(
        text=within(lambda: client.service_logs(service, lines=lines, deployment=deployment))
    )


async def _body(request: Request) -> bytes:
    return await request.body()


@changes.post(
    "/services/{service}/call/{function}",
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": {}}}}},
)
def call_service(
    client: ClientOf,
    service: ServiceName,
    function: FunctionName,
    body: Annotated[bytes, Depends(_body)],
) -> Called:
    """Have the live release of a service predict what is sent, as its clients do.

    Nothing else can be reached: neither another address nor another path, and no redirection
    is followed.
    """
    record = client.store.service(service)
    if record.url is None or record.live_envelope is None:
        raise DeploymentError(f"The service {service!r} runs nothing: deploy a model to it first.")
    known = client.store.get(record.live_envelope).functions
    if function not in known:
        raise NotHere(f"{record.live_envelope} has no function {function!r}: {', '.join(known)}.")
    if not _calls.acquire(blocking=False):
        raise TargetFailed("Too many calls from pages are under way: try again in a moment.")
    try:
        answer = ask(
            record.url,
            "POST",
            f"/{function}",
            body,
            headers={"Content-Type": JSON, "Accept": JSON},
            timeout=CALL_SECONDS,
            largest=LARGEST_ANSWER,
        )
    finally:
        _calls.release()
    return Called(
        status=answer.status,
        headers={name: answer.headers[name] for name in _PASSED if name in answer.headers},
        body=answer.body.decode(errors="replace"),
        seconds=answer.seconds,
        truncated=len(answer.body) == LARGEST_ANSWER,
    )
