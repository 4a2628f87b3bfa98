"""The configuration of HAProxy, whole, from which release has which service's traffic."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from model_envelope.errors import InvalidName
from model_envelope.names import check_id, check_service

_ADDRESS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?:\d{1,5}")
_BIND = re.compile(r"(?:\*|[A-Za-z0-9._-]+|\[[0-9a-f:]+\])?:\d{1,5}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Backend:
    """A service, the release that has its traffic, and `host:port` of its replicas by name."""

    service: str
    release: str
    fence: int
    servers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """What does not depend on services.

    `bind` is where the proxy listens; `user` whom its workers become when root starts it;
    `resolve` says that servers are names in a Docker network rather than addresses of this
    machine.
    """

    bind: str
    user: str | None = None
    resolve: bool = False


_HEAD = """\
# Written by Model Envelope from its ledger of services. What is changed here is lost.
global
    setenv MODEL_ENVELOPE_REVISION {revision}
    hard-stop-after 10m
    spread-checks 0
{user}
defaults
    mode http
    option dontlognull
    option forwardfor
    option redispatch 1
    option idle-close-on-response
    retries 3
    retry-on conn-failure
    http-reuse safe
    timeout connect 2s
    timeout http-request 30s
    timeout http-keep-alive 5s
    timeout client 60s
    timeout server 5m
    timeout queue 30s
    timeout check 3s
    option httpchk GET /readyz
    default-server check inter 1s fastinter 200ms downinter 500ms rise 1 fall 2 pool-purge-delay 1s
    http-error status 502 content-type application/json string '{lost}'
    http-error status 503 content-type application/json string '{away}'
{resolvers}
frontend services
    bind {bind}
    # What is below /-/ is between the platform and its releases.
    acl control path,url_dec -m reg (^|/)-(/|$)
    http-request return status 404 content-type application/json string '{none}' if control
    use_backend service-%[path,field(2,/)]
    default_backend nothing

backend nothing
    http-request return status 404 content-type application/json string '{none}'
"""

_RESOLVERS = """
    default-server resolvers docker init-addr last,libc,none

resolvers docker
    nameserver engine 127.0.0.11:53
    hold valid 1s
"""

_BACKEND = """
# release {release}, fence {fence}
backend service-{service}
    balance leastconn
    http-request redirect code 308 location /{service}/ if {{ path /{service} }}
    http-request set-header X-Forwarded-Prefix /{service}
    http-request set-path %[path,regsub(^/{service},)]
"""


def render(frame: Frame, backends: Iterable[Backend]) -> tuple[str, str]:
    """The configuration, and the revision it will be known by; equal input gives equal text.

    Raises:
        InvalidName: a service, a release or an address is none, so that nothing that was
            made up elsewhere is ever read as configuration.
    """
    if not _BIND.fullmatch(frame.bind):
        raise _malformed("an address to listen on", frame.bind)
    body = "".join(_backend(one) for one in sorted(backends, key=lambda one: one.service))
    head = _HEAD.format(
        revision="{revision}",
        bind=frame.bind,
        user=f"    user {frame.user}\n" if frame.user else "",
        resolvers=_RESOLVERS if frame.resolve else "",
        none=_error("not_found", "There is no service at this address."),
        away=_error("unavailable", "The service has nobody to answer at the moment: try again."),
        lost=_error("lost", "The service died while it answered."),
    )
    text = head.replace("{revision}", "-") + body
    revision = hashlib.sha256(text.encode()).hexdigest()[:16]
    return head.replace("{revision}", revision) + body, revision


def _backend(backend: Backend) -> str:
    names = {"service": check_service(backend.service), "release": check_id(backend.release)}
    lines = [_BACKEND.format(**names, fence=int(backend.fence))]
    for name, address in backend.servers:
        if not _ADDRESS.fullmatch(address) or not re.fullmatch(r"[a-z0-9-]{1,80}", name):
            raise _malformed("the address of a replica", f"{name} {address}")
        lines.append(f"    server {name} {address}\n")
    return "".join(lines)


def _error(code: str, message: str) -> str:
    return f'{{"error":{{"code":"{code}","message":"{message}"}}}}'


def _malformed(what: str, value: str) -> InvalidName:
    return InvalidName(f"{value!r:.200} is not {what}.")
