"""Clients that send requests without end, as many as a service answers, and count."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from types import TracebackType
from urllib.parse import urlsplit

PATIENCE = 120.0
HEADERS = {"Content-Type": "application/json"}


class Traffic:
    """Requests from several clients at once while its block runs.

    Args:
        url: a service of a model that doubles its column `a`.
        keeping: clients that keep their connection.
        fresh: clients that connect for each request.
    """

    def __init__(self, url: str, *, keeping: int = 6, fresh: int = 3) -> None:
        place = urlsplit(url)
        self.failures: list[str] = []
        self.by_release: Counter[str] = Counter()
        self._host, self._port = place.hostname or "", place.port or 80
        self._path = f"{place.path}/predict"
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._keep) for _ in range(keeping)]
        self._threads += [threading.Thread(target=self._renew) for _ in range(fresh)]

    @property
    def answered(self) -> int:
        """Right answers so far."""
        with self._lock:
            return self.by_release.total()

    def wait_for(self, answers: int) -> None:
        """Wait until so many more were answered, or something failed."""
        wanted, end = self.answered + answers, time.monotonic() + PATIENCE
        while self.answered < wanted and not self.failures:
            assert time.monotonic() < end, f"{self.answered} of {wanted} requests were answered"
            time.sleep(0.01)

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _keep(self) -> None:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=60)
        while not self._stop.is_set():
            self._send(connection, {})
        connection.close()

    def _renew(self) -> None:
        while not self._stop.is_set():
            connection = http.client.HTTPConnection(self._host, self._port, timeout=60)
            self._send(connection, {"Connection": "close"})
            connection.close()

    def _send(self, connection: http.client.HTTPConnection, headers: dict[str, str]) -> None:
        number = self.answered
        try:
            body = json.dumps([{"a": number}])
            connection.request("POST", self._path, body, {**HEADERS, **headers})
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._fail(f"{type(error).__name__}: {error}")
            connection.close()
            return
        if response.status != 200 or number * 2 not in _values(content):
            self._fail(f"{response.status} {content[:200]!r}")
            return
        with self._lock:
            self.by_release[response.headers["x-release"]] += 1

    def _fail(self, failure: str) -> None:
        with self._lock:
            self.failures.append(failure)


def _values(content: bytes) -> list[float]:
    return [value for row in json.loads(content) for value in row.values()]
