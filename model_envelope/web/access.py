"""Who may do what: asked of the host for every route, and never of the page."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, HTTPException, Request

from model_envelope.client.client import Client

GUARD = "X-Model-Envelope"
"""A header that only our own pages can send: others would need a CORS preflight first."""

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Viewer:
    """Who asks.

    Attributes:
        name: as the history shows it.
        change: whether tags, rules and views may be changed.
        deploy: whether models may be deployed.
    """

    name: str
    change: bool = False
    deploy: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """What the host says of who asks: dependencies of FastAPI.

    Attributes:
        read: refuses (401, 403) who may not look.
        change: refuses who may not change anything.
        viewer: gives a `Viewer`; refuses who is nobody.
    """

    read: Callable[..., Any]
    change: Callable[..., Any]
    viewer: Callable[..., Viewer]


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """What the pages run in.

    Attributes:
        mode: Airflow's web server, or a process of its own.
        open_client: a client of the store; is called for each request. May raise what
            opening a store does.
        access: who may do what.
        deploy_dag: the DAG that deploys, if there is one here.
        bring_about: starts to make a service what is wanted of it, and does not wait;
            None where a DAG does that.
    """

    mode: Literal["airflow", "alone"]
    open_client: Callable[[], Client]
    access: Access
    deploy_dag: Callable[[], str | None] = lambda: None
    bring_about: Callable[[str], None] | None = None


def same_origin(request: Request) -> None:
    """Refuse what another site had a browser send.

    Cookies alone would let it: `SameSite=Lax` still sends them from a neighbouring host.
    """
    if request.method in SAFE:
        return
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    if site not in ("same-origin", "none") or request.headers.get(GUARD) != "1":
        raise HTTPException(403, f"Only our own pages may send this: the header {GUARD} is not 1.")


def host_of(request: Request) -> Host:
    """The host of the app that a request has reached."""
    found: Host = request.app.state.host
    return found


def client_of(host: Annotated[Host, Depends(host_of)]) -> Client:
    """A client whose store is open.

    Raises:
        StoreError: it is away, or its schema is not ours.
    """
    client = host.open_client()
    _ = client.store
    return client


def viewer_of(request: Request) -> Viewer:
    """Who asks; `create_app` has the host's own `Access.viewer` answer instead."""
    raise NotImplementedError(request.url.path)


def acting(
    client: Annotated[Client, Depends(client_of)], viewer: Annotated[Viewer, Depends(viewer_of)]
) -> Client:
    """The client, acting for who asks: the history names them."""
    mine = copy(client)
    mine.actor = viewer.name
    return mine


HostOf = Annotated[Host, Depends(host_of)]
ClientOf = Annotated[Client, Depends(client_of)]
ViewerOf = Annotated[Viewer, Depends(viewer_of)]
Acting = Annotated[Client, Depends(acting)]
