"""The web application: the API and the pages, for whichever host has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.staticfiles import StaticFiles

from model_envelope._version import __version__
from model_envelope.web import problems
from model_envelope.web.access import Host, same_origin, viewer_of
from model_envelope.web.api import (
    batch,
    deployments,
    metrics,
    models,
    rules,
    runs,
    services,
    session,
    statistics,
    tags,
    views,
    viz,
)
from model_envelope.web.framing import Frame
from model_envelope.web.shapes.problems import Refusal

STATIC = Path(__file__).parent / "static"
API = "/api/v1"

NOUNS = (
    session,
    models,
    tags,
    metrics,
    statistics,
    viz,
    views,
    rules,
    services,
    deployments,
    batch,
    runs,
)

_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal} for status in (400, 401, 403, 404, 409, 413, 422, 500, 502, 503)
}


def create_app(host: Host) -> FastAPI:
    """The app of a host. It loads no model and runs nothing that a user wrote.

    Every route of a module's `reads` is for who may look, every one of its `changes` for who
    may change; nothing but our own pages can have a browser send anything.
    """
    app = FastAPI(
        title="Model Envelope",
        version=__version__,
        description="Models, rules, services and what they did. Lists have `items`, the cursor "
        "`next` (null on the last page) and, where they can be searched, `matched`.",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses=_REFUSALS,
    )
    app.state.host = host
    app.dependency_overrides[viewer_of] = host.access.viewer
    app.add_middleware(Frame)
    problems.install(app)
    ours = Depends(same_origin)
    for noun in NOUNS:
        reading = [ours, Depends(host.access.read)]
        app.include_router(noun.reads, prefix=API, dependencies=reading)
        if hasattr(noun, "changes"):
            changing = [ours, Depends(host.access.change)]
            app.include_router(noun.changes, prefix=API, dependencies=changing)
    app.mount("/static", StaticFiles(directory=STATIC, check_dir=False), name="static")
    return app
