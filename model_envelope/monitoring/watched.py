"""What there is to watch: every live service, as the ledger and its target know it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from model_envelope.deployment.targets.opening import open_target
from model_envelope.deployment.targets.protocol import Platform, Running
from model_envelope.envelope import Reproducible
from model_envelope.errors import DeploymentError

OWNERS = ("team", "owner")
"""Tags that say whose an envelope is; alerts are routed by them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """One live service.

    `addresses` are base URLs to scrape, one for each replica that is reached by HTTP, else
    the stable one. `owners` are the values of those tags of `OWNERS` that the envelope has.
    """

    service: str
    envelope_id: str
    deployment: str
    kind: str
    created_at: datetime
    reproducible: Reproducible
    addresses: tuple[str, ...]
    owners: dict[str, str]


def watched(platform: Platform) -> tuple[Watched, ...]:
    """Every live service, by name; a target that does not answer leaves the stable URLs."""
    services = platform.store.services()
    kinds = {str(service.target["kind"]) for service in services if service.live_deployment}
    running = {found.release: found for kind in kinds for found in _running(platform, kind)}
    records = platform.store.records([s.live_envelope for s in services if s.live_envelope])
    return tuple(
        Watched(
            service=service.name,
            envelope_id=record.id,
            deployment=service.live_deployment,
            kind=str(service.target["kind"]),
            created_at=record.created_at,
            reproducible=record.reproducible,
            addresses=_direct(running.get(service.live_deployment)) or (service.url,),
            owners={key: record.tags[key] for key in OWNERS if key in record.tags},
        )
        for service in services
        if service.live_deployment and service.url
        if (record := records.get(service.live_envelope or ""))
    )


def _direct(found: Running | None) -> tuple[str, ...]:
    """Replicas that Prometheus can scrape one by one."""
    return tuple(a for a in (found.addresses if found else ()) if urlsplit(a).scheme == "http")


def _running(platform: Platform, kind: str) -> Iterable[Running]:
    try:
        return open_target(kind, platform).running()
    except DeploymentError:
        return ()
