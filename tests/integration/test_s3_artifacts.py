"""What only S3 does: a network that fails, between us and a server that does not."""

from __future__ import annotations

import hashlib
import http.client
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest

from model_envelope.artifacts.opening import open_artifacts
from model_envelope.artifacts.s3 import PART, S3Artifacts
from model_envelope.errors import ArtifactCorrupted, ArtifactError
from model_envelope.names import new_id

Fault = Callable[[int, bytes], tuple[int, bytes] | None]
"""From the server's answer to the one the client sees; None: the line breaks instead."""


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def lost(_status: int, _body: bytes) -> None:
    """The server did it, its answer never arrived."""


def flipped(status: int, body: bytes) -> tuple[int, bytes]:
    return status, bytes([body[0] ^ 1]) + body[1:]


class FaultyNetwork(ThreadingHTTPServer):
    """Passes requests on to a server, and breaks what it was told to break.

    `faults` maps a method to what happens to its next answers; `refusals` to how many of
    its next requests are answered by 503 without reaching the server.
    """

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.faults: dict[str, list[Fault]] = {}
        self.refusals: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        super().__init__(("127.0.0.1", 0), _Pass)


class _Pass(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyNetwork

    def handle_any(self) -> None:
        network, method = self.server, self.command
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        network.seen[method] += 1
        if network.refusals[method] > 0:
            network.refusals[method] -= 1
            self.answer(503, [], b"")
            return
        connection = http.client.HTTPConnection(network.upstream)
        connection.request(method, self.path, body, dict(self.headers))
        response = connection.getresponse()
        content = response.read()
        connection.close()
        status = response.status
        if faults := network.faults.get(method):
            broken = faults.pop(0)(status, content)
            if broken is None:
                self.close_connection = True
                return
            status, content = broken
        self.answer(status, response.getheaders(), content)

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        length = str(len(body))
        for name, value in headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value
            elif name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def network(
    s3_endpoint: str, s3_address: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultyNetwork]:
    server = FaultyNetwork(s3_endpoint)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def artifacts(network: FaultyNetwork, s3_address: str) -> S3Artifacts:
    found = open_artifacts(s3_address)
    assert isinstance(found, S3Artifacts)
    return found


@pytest.fixture
def key() -> str:
    return f"{new_id()}/predict.bundle"


def test_a_server_in_trouble_is_asked_again(
    artifacts: S3Artifacts, network: FaultyNetwork, key: str
) -> None:
    network.refusals["PUT"] = 2
    artifacts.put(key, b"model", sha256=sha256(b"model"))
    assert artifacts.fetch(key, sha256=sha256(b"model")).read_bytes() == b"model"
    assert network.seen["PUT"] == 3


def test_a_server_in_trouble_for_ever_is_an_error_that_says_where(
    artifacts: S3Artifacts, network: FaultyNetwork, s3_address: str, key: str
) -> None:
    network.refusals["PUT"] = 1000
    with pytest.raises(ArtifactError, match=f"{s3_address} failed.*503"):
        artifacts.put(key, b"model", sha256=sha256(b"model"))


@pytest.mark.parametrize(("method", "size"), [("PUT", 1000), ("POST", PART + 1)])
def test_a_lost_reply_to_a_put_is_no_conflict(
    artifacts: S3Artifacts, network: FaultyNetwork, key: str, method: str, size: int
) -> None:
    body = os.urandom(size)
    keep: Fault = lambda status, content: (status, content)  # noqa: E731
    # The second POST of a file in parts puts it together.
    network.faults[method] = [lost] if method == "PUT" else [keep, lost]
    artifacts.put(key, body, sha256=sha256(body))
    assert network.faults[method] == []
    assert artifacts.fetch(key, sha256=sha256(body)).read_bytes() == body


def test_a_bit_flipped_on_the_way_is_fetched_again(
    artifacts: S3Artifacts, network: FaultyNetwork, key: str
) -> None:
    artifacts.put(key, b"model", sha256=sha256(b"model"))
    network.faults["GET"] = [flipped]
    assert artifacts.fetch(key, sha256=sha256(b"model")).read_bytes() == b"model"


def test_bits_that_always_flip_never_reach_the_caller_or_the_cache(
    artifacts: S3Artifacts, network: FaultyNetwork, tmp_path: Path, key: str
) -> None:
    artifacts.put(key, b"model", sha256=sha256(b"model"))
    network.faults["GET"] = [flipped] * 10
    with pytest.raises(ArtifactCorrupted, match="predict"):
        artifacts.fetch(key, sha256=sha256(b"model"))
    assert [file for file in (tmp_path / "cache").rglob("*") if file.is_file()] == []


def test_a_broken_download_is_taken_up_again(
    artifacts: S3Artifacts, network: FaultyNetwork, key: str
) -> None:
    artifacts.put(key, b"model", sha256=sha256(b"model"))
    network.faults["GET"] = [lost, lost]
    assert artifacts.fetch(key, sha256=sha256(b"model")).read_bytes() == b"model"


def test_what_was_fetched_is_kept_and_checked(
    artifacts: S3Artifacts, network: FaultyNetwork, key: str
) -> None:
    artifacts.put(key, b"model", sha256=sha256(b"model"))
    first = artifacts.fetch(key, sha256=sha256(b"model"))
    asked = network.seen["GET"]
    assert artifacts.fetch(key, sha256=sha256(b"model")) == first
    assert network.seen["GET"] == asked
    first.chmod(0o644)
    first.write_bytes(b"wrong")
    assert artifacts.fetch(key, sha256=sha256(b"model")).read_bytes() == b"model"
    assert network.seen["GET"] == asked + 1


def test_a_cache_on_a_full_disk_is_named(
    artifacts: S3Artifacts,
    small_disk: Callable[[int], Path],
    monkeypatch: pytest.MonkeyPatch,
    key: str,
) -> None:
    cache = small_disk(1)
    monkeypatch.setenv("MODEL_ENVELOPE_CACHE", str(cache))
    body = os.urandom(2 << 20)
    artifacts.put(key, body, sha256=sha256(body))
    with pytest.raises(ArtifactError, match=rf"{cache}.*bytes are free"):
        artifacts.fetch(key, sha256=sha256(body))
    assert [file for file in cache.rglob("*") if file.is_file()] == []


def test_deleting_ends_what_was_being_sent(artifacts: S3Artifacts, key: str) -> None:
    client = boto3.client("s3")
    name = f"{artifacts.prefix}/{key}"
    client.create_multipart_upload(Bucket=artifacts.bucket, Key=name)
    artifacts.delete(key.partition("/")[0])
    assert "Uploads" not in client.list_multipart_uploads(Bucket=artifacts.bucket)
    client.close()


def test_a_put_that_fails_leaves_no_parts_behind(
    artifacts: S3Artifacts, network: FaultyNetwork, key: str
) -> None:
    body = os.urandom(PART + 1)
    network.refusals["PUT"] = 1000
    with pytest.raises(ArtifactError):
        artifacts.put(key, body, sha256=sha256(body))
    client = boto3.client("s3")
    assert "Uploads" not in client.list_multipart_uploads(Bucket=artifacts.bucket)
    client.close()


def test_a_missing_bucket_and_missing_credentials_say_so(
    s3_address: str, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    with pytest.raises(ArtifactError, match="NoSuchBucket") as caught:
        open_artifacts("s3://no-such-bucket/x").put(key, b"x", sha256=sha256(b"x"))
    assert "s3-secret" not in str(caught.value)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ArtifactError, match="AWS_ACCESS_KEY_ID"):
        open_artifacts(s3_address).put(key, b"x", sha256=sha256(b"x"))
