"""Clients that send single-row requests until their input ends, and count what came back.

    python -m benchmarks.swap_load http://127.0.0.1:20000 --keeping 12 --fresh 4

Clients that keep their connection close it when told to, as every client does, and never
send a request twice: whatever goes wrong is a failure. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from time import perf_counter
from urllib.parse import urlsplit

_SECONDS = 60.0


@dataclass
class Counts:
    """What the clients of one kind have seen."""

    milliseconds: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    releases: set[str] = field(default_factory=set)

    def to_json(self) -> dict[str, object]:
        """Numbers for a table."""
        ordered = sorted(self.milliseconds) or [0.0]
        return {
            "answered": len(self.milliseconds),
            "failed": self.failures.total(),
            "failures": dict(self.failures),
            "releases": len(self.releases),
            "p50 ms": ordered[len(ordered) // 2],
            "p99 ms": ordered[len(ordered) * 99 // 100],
            "max ms": ordered[-1],
        }


class Client:
    """One client: it has at most one request under way."""

    def __init__(self, url: str, counts: Counts, *, keeps: bool) -> None:
        place = urlsplit(url)
        self._host, self._port = place.hostname or "", place.port or 80
        self._path = f"{place.path.rstrip('/')}/predict"
        self._counts = counts
        self._keeps = keeps
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Send requests until told to stop."""
        number = 0
        while not stop.is_set():
            number += 1
            begun = perf_counter()
            try:
                async with asyncio.timeout(_SECONDS):
                    await self._ask(float(number))
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                self._counts.failures[f"{type(error).__name__}: {error}"[:200]] += 1
                self._close()
            else:
                self._counts.milliseconds.append((perf_counter() - begun) * 1000)
        self._close()

    async def _ask(self, number: float) -> None:
        if self._connection is None:
            self._connection = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._connection
        body = b'[{"a":%r}]' % number
        connection = "keep-alive" if self._keeps else "close"
        head = (
            f"POST {self._path} HTTP/1.1\r\nHost: {self._host}\r\nConnection: {connection}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        status, headers, content = await _answer(reader)
        if headers.get("connection", "").lower() == "close" or not self._keeps:
            self._close()
        if status != 200:
            raise ValueError(f"{status} {content[:100]!r}")
        (row,) = json.loads(content)
        if list(row.values()) != [number * 2]:
            raise ValueError(f"a wrong answer: {content[:100]!r} to {number}")
        self._counts.releases.add(headers["x-release"])

    def _close(self) -> None:
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return int(first.split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


async def _load(url: str, keeping: int, fresh: int) -> dict[str, Counts]:
    counts = {"keep their connection": Counts(), "connect each time": Counts()}
    kept, renewed = counts.values()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, stop.set)
    clients = [Client(url, kept, keeps=True) for _ in range(keeping)]
    clients += [Client(url, renewed, keeps=False) for _ in range(fresh)]
    await asyncio.gather(*(client.run(stop) for client in clients))
    return counts


def main() -> None:
    """Send and count."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("url")
    options.add_argument("--keeping", type=int, default=12)
    options.add_argument("--fresh", type=int, default=4)
    given = options.parse_args()
    counts = asyncio.run(_load(given.url, given.keeping, given.fresh))
    print(json.dumps({name: found.to_json() for name, found in counts.items()}))


if __name__ == "__main__":
    main()
