"""The end of a process: no client that keeps its connection sees a failure."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from model_envelope.serving.plan import Limits, ServicePlan
from tests.integration.serving.support import Answer, Service, keep_alive, read_answer, until

FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0]})
JSON = {"content-type": "application/json"}

Plans = Callable[..., ServicePlan]
Serve = Callable[..., Service]


def doubled() -> Callable[[pd.DataFrame], pd.Series]:
    def model(frame: pd.DataFrame) -> pd.Series:
        return frame["a"] * 2

    return model


def http_request(a: float) -> bytes:
    body = json.dumps([{"a": a}]).encode()
    return (
        b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%s" % (len(body), body)
    )


def read_answers(connection: socket.socket, count: int) -> list[Answer]:
    """Answers to pipelined requests, in order."""
    file = connection.makefile("rb")
    found = []
    for _ in range(count):
        status = int(file.readline().split()[1])
        headers = {}
        while line := file.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        found.append(Answer(status, headers, file.read(int(headers["content-length"]))))
    return found


def test_an_idle_connection_gets_one_more_answer(make_plan: Plans, serve: Serve) -> None:
    service = serve(make_plan(doubled(), FRAME))
    with keep_alive(service) as connection:
        connection.request("POST", "/predict", '[{"a": 1}]', JSON)
        first = read_answer(connection)
        assert "connection" not in first.headers
        watcher = service.connect()
        watcher.sendall(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert read_answers(watcher, 1)[0].status == 200
        service.terminate()
        until(lambda: refuses(service), "it takes no new connections")
        watcher.sendall(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
        (ready,) = read_answers(watcher, 1)
        assert ready.status == 503
        assert ready.headers["connection"] == "close"
        watcher.close()
        connection.request("POST", "/predict", '[{"a": 2}]', JSON)
        last = read_answer(connection)
        assert last.status == 200
        assert last.json() == [{"a": 4.0}]
        assert last.headers["connection"] == "close"
    # Nobody is connected any more, so it need not wait for drain_seconds.
    assert service.wait() == 0


def refuses(service: Service) -> bool:
    """Whether the listening socket is ours alone: what comes now waits in its backlog."""
    with service.connect() as probe:
        probe.settimeout(0.2)
        probe.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        try:
            return not probe.recv(1)
        except TimeoutError:
            return True


def test_it_does_not_wait_for_ever(make_plan: Plans, serve: Serve) -> None:
    service = serve(make_plan(doubled(), FRAME, limits=Limits(drain_seconds=0.3)))
    with service.connect() as idle:
        idle.sendall(http_request(1))
        read_answers(idle, 1)
        service.terminate()
        assert service.wait() == 0
        assert idle.recv(1) == b""


def test_what_is_being_predicted_is_finished(
    make_plan: Plans, serve: Serve, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"

    def model(frame: pd.DataFrame) -> pd.Series:
        while (frame["a"] == -1).any() and not gate.exists():
            time.sleep(0.005)
        return frame["a"] * 2

    service = serve(make_plan(model, FRAME))
    with service.connect() as connection:
        connection.sendall(http_request(-1))
        until(lambda: service.state()["queued_rows"] == 1, "it is being predicted")
        service.terminate()
        until(lambda: refuses(service), "it drains")
        gate.touch()
        (answer,) = read_answers(connection, 1)
        assert answer.json() == [{"a": -2.0}]
        assert answer.headers["connection"] == "close"
    assert service.wait() == 0


def test_pipelined_requests_are_all_answered_in_order(make_plan: Plans, serve: Serve) -> None:
    service = serve(make_plan(doubled(), FRAME))
    with service.connect() as connection:
        connection.sendall(b"".join(http_request(a) for a in range(20)))
        answers = read_answers(connection, 20)
        assert [answer.json() for answer in answers] == [[{"a": 2.0 * a}] for a in range(20)]
        assert service.control("POST", "drain").status == 200
        connection.sendall(b"".join(http_request(a) for a in range(5)))
        answers = read_answers(connection, 5)
        assert [answer.json() for answer in answers] == [[{"a": 2.0 * a}] for a in range(5)]
        assert [answer.headers.get("connection") for answer in answers] == [None] * 4 + ["close"]
        assert connection.recv(1) == b""


def test_a_drain_on_request_leaves_the_process(make_plan: Plans, serve: Serve) -> None:
    service = serve(make_plan(doubled(), FRAME))
    assert service.control("POST", "drain", token="other").status == 401  # noqa: S106
    assert service.get("/readyz").status == 200
    assert service.control("POST", "drain").json()["draining"] is True
    assert service.get("/readyz").status == 503
    assert service.predict([{"a": 1}]).json() == [{"a": 2.0}]
    assert service.state()["draining"] is True


def test_swaps_under_load_fail_no_request(make_plan: Plans, serve: Serve, tmp_path: Path) -> None:
    """Releases that share a socket, each ended by SIGTERM once the next one is ready."""
    plan = make_plan(doubled(), FRAME)
    first = serve(plan)
    failures: list[str] = []
    answered: list[str] = []
    done = threading.Event()

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", first.port, timeout=60)
        i = 0
        while not done.is_set():
            i += 1
            try:
                connection.request("POST", "/predict", json.dumps([{"a": i}]), JSON)
                answer = read_answer(connection)
            except (OSError, http.client.HTTPException) as error:
                failures.append(f"{number}/{i}: {error!r}")
                connection.close()
                continue
            if answer.status != 200 or answer.json() != [{"a": i * 2.0}]:
                failures.append(f"{number}/{i}: {answer}")
            answered.append(answer.headers["x-release"])
        connection.close()

    def beyond(count: int) -> bool:
        return len(answered) > count

    threads = [threading.Thread(target=client, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    running = first
    for _ in range(3):
        previous, before = running, len(answered)
        fields = {**plan.to_json(), "release": f"{plan.release}x{before}"}
        running = serve(ServicePlan.from_json(fields), listener=first.listener)
        previous.terminate()
        assert previous.wait() == 0
        until(partial(beyond, before + 200), "requests are answered")
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(set(answered)) == 4
