"""Hostile and clumsy clients: each gets a plain no, and nobody else notices."""

import json
import socket
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.serving.support import Service, keep_alive, read_answer, until
from tests.integration.serving.test_service_drain import read_answers

GOOD = [{"a": 1.0, "b": 2}]
HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
MEGABYTE = b"[" + b" " * ((1 << 20) - 1)


def memory(service: Service) -> int:
    """Bytes that the process has in memory."""
    lines = Path(f"/proc/{service.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) << 10


def is_well(service: Service) -> None:
    assert service.predict(GOOD).json() == [{"prediction": 4.0}]
    assert service.state()["in_flight"] == 0
    assert service.state()["queued_rows"] == 0


def test_a_gigabyte_is_refused_at_once(shared_service: Service) -> None:
    before = memory(shared_service)
    with shared_service.connect() as connection:
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % (1 << 30))
        (answer,) = read_answers(connection, 1)  # before any of it was sent
        assert answer.status == 413
        assert answer.headers["connection"] == "close"
    assert memory(shared_service) - before < 50 << 20
    is_well(shared_service)


def test_a_gigabyte_in_chunks_is_refused_when_it_is_too_much(shared_service: Service) -> None:
    before = memory(shared_service)
    with shared_service.connect() as connection:
        connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")

        def send() -> None:
            try:
                for _ in range(1024):
                    connection.sendall(b"%x\r\n%s\r\n" % (len(MEGABYTE), MEGABYTE))
            except OSError:
                return  # the service has heard enough

        sender = threading.Thread(target=send)
        sender.start()
        (answer,) = read_answers(connection, 1)
        assert answer.status == 413
        sender.join()
    assert memory(shared_service) - before < 50 << 20
    is_well(shared_service)


def test_who_sends_it_all_the_same_sees_the_answer(shared_service: Service) -> None:
    answer = shared_service.request("POST", "/predict", MEGABYTE * 8)
    assert answer.status == 413
    assert answer.json()["error"]["code"] in ("content_too_large", "request_entity_too_large")


def test_a_body_that_never_ends_gets_408(shared_service: Service) -> None:
    with shared_service.connect() as connection:
        connection.sendall(HEAD + b"content-length: 100\r\n\r\n[")
        (answer,) = read_answers(connection, 1)
        assert answer.status == 408
    is_well(shared_service)


@pytest.mark.parametrize(
    ("given", "echoed"),
    [
        (b"abc-123", True),
        (b"a" * 128, True),
        (b"4bf92f3577b34da6a3ce929d0e0e4736/span=1", True),
        (b"a" * 129, False),
        (b"a b", False),
        (b"<script>", False),
        (b'"; drop table', False),
        (b"\xff\xfe", False),
        (b"", False),
    ],
)
def test_request_ids_are_echoed_if_well_formed(
    shared_service: Service, given: bytes, echoed: bool
) -> None:
    with shared_service.connect() as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\nx-request-id: %s\r\n\r\n" % given)
        (answer,) = read_answers(connection, 1)
    assert answer.status == 200
    assert (answer.headers["x-request-id"].encode("latin-1") == given) is echoed
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "message",
    [
        b"GARBAGE\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        b"POST /predict HTTP/1.1\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
        b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /livez HTTP/1.1\r\nhost : x\r\n\r\n",
        b"GET /livez HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET http://[::bad/ HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
)
def test_what_is_no_http(shared_service: Service, message: bytes) -> None:
    with shared_service.connect() as connection:
        connection.sendall(message)
        connection.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert not received or received.startswith(b"HTTP/1.1 4"), received
    is_well(shared_service)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": ""}, 415),
        ({"content-type": "application/json; charset=utf-16"}, 415),
        ({"content-encoding": "gzip"}, 415),
        ({"content-type": "a" * 5000}, 415),
    ],
)
def test_headers_that_are_not_taken(
    shared_service: Service, headers: dict[str, str], status: int
) -> None:
    answer = shared_service.predict(GOOD, **headers)
    assert answer.status == status
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]
    is_well(shared_service)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/predict", 405),
        ("POST", "/livez", 405),
        ("DELETE", "/-/state", 405),
        ("GET", "/nothing", 404),
        ("POST", "/predict/../-/state", 404),
        ("POST", "//predict", 404),
        ("GET", "/%2e%2e/etc/passwd", 404),
        ("GET", "/\x7f", 0),
        ("BREW", "/predict", 0),
    ],
)
def test_paths_and_methods_that_there_are_not(
    shared_service: Service, method: str, path: str, status: int
) -> None:
    token = {"authorization": "Bearer a-control-token"}
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: {token['authorization']}\r\n\r\n"
    with shared_service.connect() as connection:
        connection.sendall(head.encode())
        (answer,) = read_answers(connection, 1)
    assert answer.status == status or (not status and 400 <= answer.status < 500)
    is_well(shared_service)


@pytest.mark.parametrize("piece", [b"x", b"\r\nx-header: y"])
def test_headers_without_an_end(shared_service: Service, piece: bytes) -> None:
    before = memory(shared_service)
    with shared_service.connect() as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\nx-large: x")
        try:
            for _ in range(1000):
                connection.sendall(piece * (100_000 // len(piece)))
            answer = connection.recv(1000)
        except OSError:
            answer = b""  # it has hung up on us
    assert not answer or answer.startswith(b"HTTP/1.1 400")
    assert memory(shared_service) - before < 20 << 20
    is_well(shared_service)


def test_a_refused_request_leaves_its_connection_open(shared_service: Service) -> None:
    with keep_alive(shared_service) as connection:
        for path, status in (("/nothing", 404), ("/livez", 405), ("/predict", 422)) * 3:
            connection.request("POST", path, "[{}]", {"content-type": "application/json"})
            answer = read_answer(connection)
            assert answer.status == status
            assert "connection" not in answer.headers


def test_only_own_routes_are_told_to_prometheus(shared_service: Service) -> None:
    shared_service.get('/made-up"}1')
    text = shared_service.get("/metrics").body.decode()
    assert "made-up" not in text
    assert 'model_envelope_requests_total{route="(none)",status="404"}' in text
    assert f'envelope_id="{shared_service.plan.envelope_id}"' in text


def test_requests_are_logged_if_wanted(shared_service: Service, tmp_path: Path) -> None:
    service = Service(shared_service.plan, tmp_path, "--access-log")
    try:
        service.predict(GOOD, **{"x-request-id": "find-me"})
        service.get("/livez")
        found = [line for line in service.logged() if line["message"] == "request"]
        (line,) = [line for line in found if line["request_id"] == "find-me"]
        assert (line["method"], line["route"], line["status"]) == ("POST", "/predict", 200)
        assert line["service"] == "shared"
    finally:
        service.close()
    assert not any("find-me" in json.dumps(line) for line in shared_service.logged())


def test_many_large_bodies_at_once_are_too_many(shared_service: Service) -> None:
    """What is promised is counted before it comes."""
    head = HEAD + b"content-length: %d\r\n\r\n[" % len(MEGABYTE)
    with ExitStack() as stack:
        connections = [stack.enter_context(shared_service.connect()) for _ in range(16)]
        for connection in connections:
            connection.sendall(head)
        until(lambda: shared_service.state()["in_flight"] == 16, "all of them are coming")
        refused = shared_service.predict(GOOD)
        assert refused.status == 429
        assert refused.headers["retry-after"] == "1"
        assert shared_service.get("/livez").status == 200
    until(lambda: shared_service.state()["in_flight"] == 0, "all of them have gone")
    is_well(shared_service)


def test_who_asks_first_sends_nothing_in_vain(shared_service: Service) -> None:
    """As curl does: the headers alone, with `Expect: 100-continue`."""
    body = json.dumps(GOOD).encode()
    asking = HEAD + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n"
    with shared_service.connect() as connection:
        connection.sendall(asking % (1 << 30))
        (answer,) = read_answers(connection, 1)
        assert answer.status == 413
    with shared_service.connect() as connection:
        connection.sendall(asking % len(body))
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        (answer,) = read_answers(connection, 1)
        assert answer.json() == [{"prediction": 4.0}]


def test_a_large_body_may_be_followed_by_the_beginning_of_a_head(shared_service: Service) -> None:
    rows = json.dumps(GOOD * 4000).encode()
    body = json.dumps(GOOD).encode()
    second = HEAD + b"content-length: %d\r\n\r\n%s" % (len(body), body)
    with shared_service.connect() as connection:
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n%s%s" % (len(rows), rows, second[:9]))
        connection.sendall(second[9:])
        answers = read_answers(connection, 2)
    assert [len(answer.json()) for answer in answers] == [4000, 1]


BAD = [
    b"",
    b"nope",
    b"[" * 200_000,
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    b'[{"a":NaN,"b":"x"}]',
    b'[{"a":1}]',
    b'[{"a":1,"b":2,"c":3}]',
    b'[{"a":1,"b":null}]',
    b'[{"a":1,"b":1.5}]',
    b'[{"a":1,"b":99999999999999999999}]',
    b'[{"a":1,"b":2},3]',
    b'{"columns":{"a":[1],"b":[1,2]}}',
    b'{"inputs":[{"name":"a","shape":[-1],"datatype":"FP64","data":[1]}]}',
    b'{"dataframe_split":{"columns":["a","a"],"data":[[1,2]]}}',
    json.dumps(GOOD).encode("utf-16"),
    b"\xef\xbb\xbf" + json.dumps(GOOD).encode(),
    '[{"a":1,"b":"é"}]'.encode("latin-1"),
    b"\x1f\x8b\x08\x00\x00\x00",
    b"\x00" * 1000,
]


@pytest.mark.parametrize("path", ["/predict", "/invocations", "/v2/models/predict/infer"])
def test_bodies_that_cannot_be_predicted(shared_service: Service, path: str) -> None:
    for body in BAD:
        answer = shared_service.request("POST", path, body, {"content-type": "application/json"})
        assert answer.status in (400, 422), (body[:50], answer)
        assert answer.json()["error"], body[:50]
        assert answer.headers["x-request-id"]
    arrow = {"content-type": "application/vnd.apache.arrow.stream"}
    assert shared_service.request("POST", path, b"\xff" * 100, arrow).status in (400, 415)
    is_well(shared_service)
    assert not [line for line in shared_service.logged() if line["level"] == "error"]
