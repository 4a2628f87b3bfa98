"""What becomes HAProxy's configuration, and what never does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model_envelope.deployment.proxy.rendering import Backend, Frame, render
from model_envelope.errors import InvalidName

FRAME = Frame(bind="127.0.0.1:8780")
ONE = Backend(
    service="ltv",
    release="0123456789abcdef0123",
    fence=3,
    servers=(("me-1", "172.18.0.1:20001"), ("me-2", "name-1:8080")),
)


def test_equal_input_gives_equal_text_and_any_change_another_revision() -> None:
    other = replace(ONE, service="abc")
    assert render(FRAME, [ONE, other]) == render(FRAME, [other, ONE])
    changes = [
        replace(ONE, fence=4),
        replace(ONE, release="f" * 20),
        replace(ONE, servers=ONE.servers[:1]),
        replace(ONE, servers=()),
    ]
    revisions = {render(FRAME, [backend])[1] for backend in (ONE, *changes)}
    assert len(revisions) == 5
    text, revision = render(FRAME, [ONE])
    assert f"setenv MODEL_ENVELOPE_REVISION {revision}\n" in text
    assert "server me-1 172.18.0.1:20001\n" in text


@pytest.mark.parametrize(
    "backend",
    [
        replace(ONE, service="x\n  server evil 1.2.3.4:80"),
        replace(ONE, service="../admin"),
        replace(ONE, service="//evil"),
        replace(ONE, service="health"),
        replace(ONE, release="x\nfrontend y"),
        replace(ONE, servers=(("me-1", "1.2.3.4:80\nlisten x"),)),
        replace(ONE, servers=(("me 1", "1.2.3.4:80"),)),
        replace(ONE, servers=(("me-1", "1.2.3.4:80 backup"),)),
        replace(ONE, servers=(("me-1", "unix@/run/docker.sock"),)),
    ],
)
def test_nothing_hostile_is_read_as_configuration(backend: Backend) -> None:
    with pytest.raises(InvalidName):
        render(FRAME, [backend])


@pytest.mark.parametrize("bind", ["", "8780", "*:8780\n stats uri /", "0.0.0.0:80 ssl crt x", "/x"])
def test_addresses_to_listen_on_are_addresses(bind: str) -> None:
    with pytest.raises(InvalidName):
        render(Frame(bind=bind), [])


@pytest.mark.parametrize("bind", [":8780", "*:8780", "0.0.0.0:80", "[::]:8780", "proxy.local:1"])
def test_addresses_of_all_kinds(bind: str) -> None:
    assert f"    bind {bind}\n" in render(Frame(bind=bind), [])[0]
