"""The pages without Airflow: a process of its own, on this machine only."""

from __future__ import annotations

import hmac
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, FastAPI, HTTPException
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import FileResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.middleware.trustedhost import TrustedHostMiddleware

from model_envelope.client.client import Client
from model_envelope.errors import InvalidInput
from model_envelope.web.access import Access, Host, Viewer
from model_envelope.web.app import STATIC, create_app

HERE = ("127.0.0.1", "localhost")

# No `unsafe-eval`: charts are drawn by Vega's interpreter. Their library writes style elements.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)

_bearer = HTTPBearer(auto_error=False)
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def alone(open_client: Callable[[], Client], *, token: str | None = None) -> FastAPI:
    """The app: who has the token may change things, everybody on this machine may look.

    Args:
        open_client: gives the client.
        token: nobody may change anything without one.
    """
    keeper = _Keeper(open_client, token)
    access = Access(read=keeper.known, change=keeper.change, viewer=keeper.viewer)
    host = Host(
        mode="alone",
        open_client=open_client,
        access=access,
        bring_about=lambda service: _reconcile(open_client(), service),
    )
    app = create_app(host)
    # Other names lead here when a page on the web has its own name point to this machine.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(HERE), www_redirect=False)
    app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=5)

    @app.get("/{path:path}", include_in_schema=False)
    def page(path: str) -> FileResponse:
        """The page, which reads its own address."""
        file = Path(STATIC) / "alone.html"
        if path.startswith(("api/", "static/")) or not file.exists():
            raise HTTPException(404, "There is no such page.")
        return FileResponse(file, headers={"Content-Security-Policy": POLICY})

    return app


def _reconcile(client: Client, service: str) -> None:
    """Start to make a service what is wanted of it, in a process that outlives this one."""
    command = [sys.executable, "-m", "model_envelope.cli", "reconcile", service, "--retry"]
    run = partial(
        subprocess.run,
        command,
        env=os.environ | client.environment,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        check=False,
    )
    # The thread only waits, so that nothing is left of a child that has ended.
    Thread(target=run, name=f"reconcile {service}", daemon=True).start()


class _Keeper:
    """Lets everybody on this machine look, and who has the token change things."""

    def __init__(self, open_client: Callable[[], Client], token: str | None) -> None:
        self._open_client = open_client
        self._token = token

    def known(self, given: Bearer) -> bool:
        """Whether the token was given; one that is wrong is not ignored."""
        if given is None:
            return False
        mine = self._token
        if not mine or not hmac.compare_digest(given.credentials.encode(), mine.encode()):
            raise _unknown("The token is wrong")
        return True

    def change(self, given: Bearer) -> None:
        if self.known(given):
            return
        if self._token:
            raise _unknown("Changes need the token")
        raise HTTPException(403, "This server only reads: start it as `model-envelope ui --token`.")

    def viewer(self, given: Bearer) -> Viewer:
        known = self.known(given)
        return Viewer(name=self._open_client().actor, change=known, deploy=known)


def _unknown(what: str) -> HTTPException:
    told = f"{what}: open the address that `model-envelope ui` has shown."
    return HTTPException(401, told, {"WWW-Authenticate": "Bearer"})


def serve(client: Client, *, port: int, token: str | None, tell: Callable[[str], None]) -> None:
    """Serve the pages until somebody ends it.

    Args:
        client: whose store is shown.
        port: of 127.0.0.1; 0 for any that is free.
        token: see `alone`.
        tell: is told the address once it answers.

    Raises:
        InvalidInput: the port is taken.
    """
    import uvicorn

    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
        except OSError as error:
            raise InvalidInput(f"Port {port} cannot be had: {error}. Give another.") from error
        listening.listen()
        # After `#`, so that it is in no log: the page keeps it for its own requests.
        secret = f"#token={quote(token)}" if token else ""
        tell(f"http://127.0.0.1:{listening.getsockname()[1]}/{secret}")
        app = alone(lambda: client, token=token)
        settings = uvicorn.Config(app, log_level="warning", server_header=False)
        uvicorn.Server(settings).run([listening])
