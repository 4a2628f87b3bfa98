"""Canaries and shadows: what a candidate does never costs a client its answer."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from model_envelope.serving.plan import ServicePlan
from tests.integration.serving.support import Service, until

FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0]})

Plans = Callable[..., ServicePlan]
Serve = Callable[..., Service]


def times(factor: float) -> Callable[[pd.DataFrame], pd.Series]:
    def model(frame: pd.DataFrame) -> pd.Series:
        if factor < 0 and (frame["a"] == 13).any():
            raise ValueError("not this one")
        return frame["a"] * abs(factor)

    return model


def begin(service: Service, mode: str, address: str, share: float = 1.0, **more: Any) -> None:
    order = {"mode": mode, "address": address, "share": share, "token": "", **more}
    answer = service.control("PUT", "split", order)
    assert answer.status == 200, answer.body


def address(service: Service) -> str:
    return f"http://127.0.0.1:{service.port}"


def split(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = service.state()["split"]
    return found


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a candidate that takes requests and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def talks_nonsense() -> Iterator[str]:
    """The address of a candidate that speaks no HTTP, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 OK\r\ncontent-length: lots\r\n\r\n")
                connection.close()

        threading.Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def test_a_canary_gets_its_share(make_plan: Plans, serve: Serve) -> None:
    live, candidate = serve(make_plan(times(2), FRAME)), serve(make_plan(times(3), FRAME))
    begin(live, "canary", address(candidate), share=0.5)
    answers = [live.predict([{"a": 1}], **{"x-request-id": f"id-{i}"}) for i in range(200)]
    assert {answer.status for answer in answers} == {200}
    by_release = {answer.headers["x-release"]: answer.json() for answer in answers}
    assert by_release == {live.plan.release: [{"a": 2.0}], candidate.plan.release: [{"a": 3.0}]}
    assert [answer.headers["x-request-id"] for answer in answers] == [f"id-{i}" for i in range(200)]
    found = split(live)
    assert found["failures"] == 0
    assert 50 < found["requests"] < 150
    assert found["requests"] == sum(
        answer.headers["x-release"] == candidate.plan.release for answer in answers
    )
    assert found["live_seconds"] > 0
    assert found["candidate_seconds"] > 0
    begin(live, "canary", address(candidate), share=0)
    assert split(live)["requests"] == found["requests"]  # another share of the same split
    assert live.control("DELETE", "split").json()["split"]["requests"] == found["requests"]
    assert live.state()["split"] is None


def test_a_canary_over_a_unix_socket(make_plan: Plans, serve: Serve, tmp_path: Path) -> None:
    live = serve(make_plan(times(2), FRAME))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "candidate.sock"))
    listener.listen()
    candidate = serve(make_plan(times(3), FRAME), listener=listener)
    begin(live, "canary", f"unix:{tmp_path / 'candidate.sock'}")
    assert live.predict([{"a": 1}]).json() == [{"a": 3.0}]
    assert candidate.plan.release != live.plan.release


def test_a_canary_that_fails_costs_nothing(
    make_plan: Plans, serve: Serve, silent: str, talks_nonsense: str
) -> None:
    live, broken = serve(make_plan(times(2), FRAME)), serve(make_plan(times(-3), FRAME))
    begin(live, "canary", address(broken))
    assert live.predict([{"a": 13}]).json() == [{"a": 26.0}]
    assert live.predict([{"a": 1}]).json() == [{"a": 3.0}]
    assert (split(live)["requests"], split(live)["failures"]) == (2, 1)
    # What is wrong with the request is no failure of the candidate.
    assert live.predict([{"b": 13}]).status == 422
    assert (split(live)["requests"], split(live)["failures"]) == (3, 1)
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    for candidate in (f"http://127.0.0.1:{port}", silent, talks_nonsense):
        begin(live, "canary", candidate, seconds=0.2)
        for _ in range(5):
            answer = live.predict([{"a": 1}])
            assert answer.json() == [{"a": 2.0}]
            assert answer.headers["x-release"] == live.plan.release
        assert split(live)["failures"] == 5


def test_a_canary_may_die_at_any_time(make_plan: Plans, serve: Serve) -> None:
    live, candidate = serve(make_plan(times(2), FRAME)), serve(make_plan(times(3), FRAME))
    begin(live, "canary", address(candidate))
    for _ in range(5):
        assert live.predict([{"a": 1}]).json() == [{"a": 3.0}]
    candidate.process.kill()
    candidate.process.wait()
    candidate.listener.close()
    for _ in range(5):
        assert live.predict([{"a": 1}]).json() == [{"a": 2.0}]
    assert split(live)["failures"] == 5


def test_a_shadow_is_compared(make_plan: Plans, serve: Serve) -> None:
    live = serve(make_plan(times(2), FRAME))
    same, other = serve(make_plan(times(2.0000000000001), FRAME)), serve(make_plan(times(3), FRAME))
    for candidate, different in ((same, 0), (other, 10)):
        begin(live, "shadow", address(candidate))
        for i in range(10):
            answer = live.predict([{"a": i + 1.0}])
            assert answer.json() == [{"a": 2.0 * (i + 1)}]
            assert answer.headers["x-release"] == live.plan.release
        until(lambda: split(live)["candidate_seconds"] > 0, "the candidate has answered")
        until(lambda d=different: split(live)["different"] == d, "they were compared")  # type: ignore[misc]
        until(lambda: split(live)["requests"] == 10, "all were copied")
        assert split(live)["failures"] == 0
        assert split(live)["live_seconds"] > 0


def test_a_shadow_that_fails_costs_nothing(make_plan: Plans, serve: Serve, silent: str) -> None:
    live, broken = serve(make_plan(times(2), FRAME)), serve(make_plan(times(-3), FRAME))
    begin(live, "shadow", address(broken))
    assert live.predict([{"a": 13}]).json() == [{"a": 26.0}]
    until(lambda: split(live)["failures"] == 1, "the failure is counted")
    begin(live, "shadow", silent, seconds=0.5)
    # Far more than may wait for the candidate at once: what is too much is left out.
    for _ in range(100):
        assert live.predict([{"a": 1}]).json() == [{"a": 2.0}]
    until(lambda: split(live)["failures"] > 0, "the failure is counted")
    assert split(live)["requests"] + split(live)["skipped"] == 100
    assert live.get("/livez").status == 200


@pytest.mark.parametrize(
    "order",
    [
        {"mode": "canary", "address": "http://127.0.0.1:1", "share": 2},
        {"mode": "canary", "address": "http://127.0.0.1:1", "share": -0.1},
        {"mode": "blue", "address": "http://127.0.0.1:1", "share": 0.5},
        {"mode": "canary", "address": "https://127.0.0.1:1", "share": 0.5},
        {"mode": "canary", "address": "http://127.0.0.1", "share": 0.5},
        {"mode": "canary", "address": "http://127.0.0.1:99999", "share": 0.5},
        {"mode": "canary", "address": "http://127.0.0.1:1/path", "share": 0.5},
        {"mode": "canary", "address": "http://127.0.0.1:1\r\nx: y", "share": 0.5},
        {"mode": "canary", "address": "file:///etc/passwd", "share": 0.5},
        {"mode": "canary", "address": "http://127.0.0.1:1", "share": 0.5, "more": 1},
        {"mode": "canary"},
        [],
    ],
)
def test_orders_that_make_no_sense(shared_service: Service, order: Any) -> None:
    assert shared_service.control("PUT", "split", order).status == 422
    assert shared_service.state()["split"] is None


@pytest.mark.parametrize("token", ["", "other", "a-control-tokenx", "\xff"])
@pytest.mark.parametrize(
    "route", ["GET state", "PUT split", "DELETE split", "POST drain", "POST accept", "POST cease"]
)
def test_control_needs_the_token(shared_service: Service, token: str, route: str) -> None:
    method, path = route.split()
    answer = shared_service.control(method, path, token=token)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert shared_service.get(f"/-/{path}").status == 401
    assert shared_service.state()["draining"] is False
