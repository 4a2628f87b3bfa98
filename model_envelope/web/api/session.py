"""Who asks, what they may do, and whether there is a store."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Literal

from model_envelope._version import __version__
from model_envelope.deployment.targets.opening import GROUP
from model_envelope.errors import EnvelopeError
from model_envelope.web.access import Host, HostOf, ViewerOf
from model_envelope.web.problems import next_step
from model_envelope.web.routing import router

reads = router("Session")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rights:
    """What somebody may do besides looking."""

    change: bool
    deploy: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreState:
    """Whether the store answers; if not, why, and what to do."""

    ok: bool
    message: str = ""
    next_step: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """Who asks, and where."""

    mode: Literal["airflow", "alone"]
    user: str
    may: Rights
    deploy_dag: str | None
    version: str
    targets: tuple[str, ...]
    store: StoreState


@reads.get("/session")
def session(host: HostOf, viewer: ViewerOf) -> Session:
    """Tell who asks, what they may do, and whether the store answers.

    It answers when the store does not.
    """
    return Session(
        mode=host.mode,
        user=viewer.name,
        may=Rights(change=viewer.change, deploy=viewer.deploy),
        deploy_dag=host.deploy_dag(),
        version=__version__,
        targets=tuple(sorted(point.name for point in entry_points(group=GROUP))),
        store=_store(host),
    )


def _store(host: Host) -> StoreState:
    try:
        host.open_client().store.head()
    except EnvelopeError as error:
        return StoreState(ok=False, message=str(error), next_step=next_step(error))
    return StoreState(ok=True)
