"""Requests that meet in the queue: each gets its own answer, whatever the others are."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from model_envelope.serving.plan import Limits, ServicePlan
from tests.integration.serving.support import Service, keep_alive, read_answer, until

FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [1, 2, 3]})

Plans = Callable[..., ServicePlan]
Serve = Callable[..., Service]


def gated(gate: Path) -> Callable[[pd.DataFrame], pd.Series]:
    """A model that is busy with a row of a == -1 until there is a file."""

    def model(frame: pd.DataFrame) -> pd.Series:
        if (frame["a"] == -1).any():
            while not gate.exists():
                time.sleep(0.005)
        if (frame["a"] == 13).any():
            raise ValueError("thirteen is right out")
        if (frame["a"] == 14).any():
            raise SystemExit("a model must not end the service")
        return frame["a"] * 2 + frame["b"]

    return model


def row(a: float, b: int) -> list[dict[str, Any]]:
    return [{"a": a, "b": b}]


def test_every_client_gets_its_own_answer(make_plan: Plans, serve: Serve, tmp_path: Path) -> None:
    service = serve(make_plan(gated(tmp_path / "gate"), FRAME))
    clients, times = 16, 60

    def client(number: int) -> int:
        wrong = 0
        with keep_alive(service) as connection:
            for i in range(times):
                rows = [{"a": number + 100.0, "b": i * 1000 + j} for j in range(1 + i % 3)]
                headers = {"content-type": "application/json", "x-request-id": f"{number}-{i}"}
                connection.request("POST", "/predict", json.dumps(rows), headers)
                answer = read_answer(connection)
                expected = [{"prediction": row["a"] * 2 + row["b"]} for row in rows]
                wrong += answer.json() != expected
                wrong += answer.headers["x-request-id"] != f"{number}-{i}"
        return wrong

    with ThreadPoolExecutor(clients) as pool:
        assert sum(pool.map(client, range(clients))) == 0
    count = service.metric('model_envelope_batch_rows_count{function="predict"}')
    assert count < clients * times  # some did go together


def test_what_waits_goes_together(make_plan: Plans, serve: Serve, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    limits = Limits(batch_rows=8)
    service = serve(make_plan(gated(gate), FRAME, limits=limits))
    with ThreadPoolExecutor(32) as pool:
        blocked = pool.submit(service.predict, row(-1, 0))
        until(lambda: service.state()["queued_rows"] == 1, "the first one is being predicted")
        others = [pool.submit(service.predict, row(i + 20, i)) for i in range(20)]
        until(lambda: service.state()["queued_rows"] == 21, "the others wait")
        assert service.get("/livez").status == 200
        gate.touch()
        assert blocked.result().json() == [{"prediction": -2.0}]
        assert [other.result().json() for other in others] == [
            [{"prediction": i * 3.0 + 40}] for i in range(20)
        ]
    assert service.metric('model_envelope_batch_rows_count{function="predict"}') == 1 + 3
    assert service.metric('model_envelope_batch_rows_sum{function="predict"}') == 21


@pytest.mark.parametrize("poison", [13, 14])
def test_a_bad_request_fails_alone(
    make_plan: Plans, serve: Serve, tmp_path: Path, poison: int
) -> None:
    gate = tmp_path / "gate"
    service = serve(make_plan(gated(gate), FRAME))
    with ThreadPoolExecutor(16) as pool:
        blocked = pool.submit(service.predict, row(-1, 0))
        until(lambda: service.state()["queued_rows"] == 1, "the first one is being predicted")
        wanted = [1, 2, poison, 3, 4]
        others = [pool.submit(service.predict, row(a, 0)) for a in wanted]
        until(lambda: service.state()["queued_rows"] == 6, "the others wait")
        gate.touch()
        assert blocked.result().status == 200
        found = {a: other.result() for a, other in zip(wanted, others, strict=True)}
    failed = found.pop(poison)
    assert {a: answer.json() for a, answer in found.items()} == {
        a: [{"prediction": a * 2.0}] for a in found
    }
    assert failed.status == 500
    error = failed.json()["error"]
    assert error["code"] == "internal_server_error"
    assert error["request_id"] == failed.headers["x-request-id"]
    # The cause is for the log: a client is told neither code nor data of ours.
    assert b"right out" not in failed.body
    assert b"Traceback" not in failed.body
    (logged,) = [line for line in service.logged() if line["level"] == "error"]
    assert logged["request_id"] == failed.headers["x-request-id"]
    assert "Traceback" in logged["traceback"] or "SystemExit" in logged["traceback"]


def test_a_model_that_was_quick_may_become_slow(
    make_plan: Plans, serve: Serve, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    service = serve(make_plan(gated(gate), FRAME, limits=Limits(deadline_seconds=2)))
    for i in range(50):
        assert service.predict(row(i + 20, i)).status == 200
    with ThreadPoolExecutor(4) as pool:
        blocked = pool.submit(service.predict, row(-1, 0))
        until(lambda: service.state()["queued_rows"] == 1, "the slow one is being predicted")
        assert service.get("/livez").status == 200
        assert service.predict(row(1, 0)).status == 503  # in time, though the model is busy
        gate.touch()
        assert blocked.result().json() == [{"prediction": -2.0}]
    assert service.predict(row(1, 1)).json() == [{"prediction": 3.0}]


def test_a_model_is_always_called_in_one_thread(make_plan: Plans, serve: Serve) -> None:
    def model(frame: pd.DataFrame) -> pd.Series:
        time.sleep(frame["a"].max())
        return pd.Series(threading.get_ident(), frame.index)

    service = serve(make_plan(model, pd.DataFrame({"a": [0.0, 0.001]})))
    seconds = [0.0] * 20 + [0.02, 0.0] * 10
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda a: service.predict([{"a": a}]).json(), seconds))
    assert len({answer[0]["prediction"] for answer in answers}) == 1


@pytest.mark.parametrize(("rows", "independent"), [(3, False), (1, None)])
def test_a_function_that_may_mix_rows_is_given_one_request_at_a_time(
    make_plan: Plans, serve: Serve, tmp_path: Path, rows: int, independent: bool | None
) -> None:
    """Also where one golden row could not show whether it does."""
    gate = tmp_path / "gate"

    def share(frame: pd.DataFrame) -> pd.Series:
        if (frame["a"] == -1).any():
            while not gate.exists():
                time.sleep(0.005)
        return frame["b"] / frame["b"].sum()

    plan = make_plan(share, FRAME.head(rows))
    assert plan.functions[0].function.row_independent is independent
    service = serve(plan)
    with ThreadPoolExecutor(8) as pool:
        blocked = pool.submit(service.predict, row(-1, 1))
        until(lambda: service.state()["queued_rows"] == 1, "the first one is being predicted")
        others = [pool.submit(service.predict, row(i, i)) for i in range(1, 5)]
        until(lambda: service.state()["queued_rows"] == 5, "the others wait")
        gate.touch()
        assert blocked.result().json() == [{"b": 1.0}]
        assert [other.result().json() for other in others] == [[{"b": 1.0}]] * 4


def test_small_bodies_in_chunks_take_little_room(
    make_plan: Plans, serve: Serve, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    service = serve(make_plan(gated(gate), FRAME))
    body = json.dumps(row(1, 1)).encode()
    chunked = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    chunked += b"transfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        blocked = pool.submit(service.predict, row(-1, 0))
        until(lambda: service.state()["queued_rows"] == 1, "the first one is being predicted")
        connections = [stack.enter_context(service.connect()) for _ in range(40)]
        for connection in connections:
            connection.sendall(chunked)
        until(lambda: service.state()["queued_rows"] == 41, "all of them wait")
        gate.touch()
        assert blocked.result().status == 200
        for connection in connections:
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK")


def test_a_full_queue_says_so(make_plan: Plans, serve: Serve, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    service = serve(make_plan(gated(gate), FRAME, limits=Limits(queue_rows=4)))
    with ThreadPoolExecutor(4) as pool:
        blocked = pool.submit(service.predict, row(-1, 0))
        until(lambda: service.state()["queued_rows"] == 1, "the first one is being predicted")
        waiting = pool.submit(service.predict, row(1, 0) * 3)
        until(lambda: service.state()["queued_rows"] == 4, "the queue is full")
        refused = service.predict(row(1, 0))
        assert refused.status == 429
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["error"]["code"] == "too_many_requests"
        assert service.get("/livez").status == 200
        gate.touch()
        assert blocked.result().status == waiting.result().status == 200
    assert service.predict(row(1, 0)).status == 200
    assert service.predict(row(1, 0) * 5).status == 413


def test_what_cannot_be_begun_in_time_is_refused(
    make_plan: Plans, serve: Serve, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    service = serve(make_plan(gated(gate), FRAME, limits=Limits(deadline_seconds=0.2)))
    with ThreadPoolExecutor(4) as pool:
        blocked = pool.submit(service.predict, row(-1, 0))
        until(lambda: service.state()["queued_rows"] == 1, "the first one is being predicted")
        # Answered while the model is still busy, not when it comes to them.
        refused = [f.result() for f in [pool.submit(service.predict, row(1, 0)) for _ in range(3)]]
        assert [answer.status for answer in refused] == [503, 503, 503]
        assert refused[0].headers["retry-after"] == "1"
        assert service.state()["queued_rows"] == 1
        gate.touch()
        assert blocked.result().status == 200  # it was begun: it is finished
    assert service.predict(row(1, 0)).status == 200


def test_clients_that_leave_harm_nobody(make_plan: Plans, serve: Serve, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    service = serve(make_plan(gated(gate), FRAME))
    body = json.dumps(row(-1, 0)).encode()
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    for _ in range(5):
        with service.connect() as connection:
            connection.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body)
            until(lambda: service.state()["queued_rows"] >= 1, "it was read")
    threading.Timer(0.1, gate.touch).start()
    until(lambda: service.state()["queued_rows"] == 0, "all are done")
    assert service.state()["in_flight"] == 0
    assert service.predict(row(1, 1)).json() == [{"prediction": 3.0}]
