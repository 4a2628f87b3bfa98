"""The newest match of a three-tag query as the store grows, on SQLite and PostgreSQL.

    python -m benchmarks.tag_query_latest [--postgres] [--sizes 1000 10000 100000]

Times are of `Store.latest`: the query, one transaction, and reading the whole envelope.
Envelopes are written as rows, since saving 100,000 models would take hours.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, delete, insert, update

from benchmarks import postgres, report
from model_envelope.envelope import Distribution, Environment, Manifest, Provenance
from model_envelope.runtime.spec import FunctionSpec
from model_envelope.store import bitmaps
from model_envelope.store.engine import make_engine, parse_url
from model_envelope.store.opening import open_store, upgrade
from model_envelope.store.store import Store
from model_envelope.store.tables import clock, envelope, tag, tag_bitmap, tag_count
from model_envelope.tag_query import parse

QUERIES = {
    "hit": "canonical_name == 'model_7' and region == 'US' and passes_tests == 'true'",
    "hit, common tags": "region == 'US' and passes_tests == 'true' and business_line == 'kids'",
    "miss": "canonical_name == 'model_7' and region == 'US' and passes_tests == 'never'",
    "miss, common tags": "region == 'US' and business_line == 'kids' and channel == 'store'",
}
BATCH = 5_000
NOW = datetime.now(UTC)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--postgres", action="store_true", help="measure PostgreSQL too")
    options.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    options.add_argument("--times", type=int, default=200)
    given = options.parse_args()
    rows = []
    for size in given.sizes:
        with tempfile.TemporaryDirectory() as folder:
            rows += _measure(f"sqlite:///{Path(folder) / 'store.sqlite'}", size, given.times)
    if given.postgres:
        with postgres.server() as url:
            for size in given.sizes:
                rows += _measure(url, size, given.times)
    report.show("tag_query_latest", rows, **_growth(rows, min(given.sizes), max(given.sizes)))


def _measure(url: str, size: int, times: int) -> list[dict[str, Any]]:
    upgrade(url)
    engine = make_engine(parse_url(url))
    fill(engine, size)
    engine.dispose()
    with open_store(url) as store:
        return [
            {"store": url.partition(":")[0].partition("+")[0], "envelopes": size}
            | {"query": name, **_latest(store, text, times)}
            for name, text in QUERIES.items()
        ]


def _latest(store: Store, text: str, times: int) -> dict[str, Any]:
    query = parse(text)
    found = store.latest(query)
    taken = report.seconds(lambda: store.latest(query), times)
    return {
        "matches": store.count(query),
        "newest": found.revision if found else None,
        "median ms": 1e3 * report.median(taken),
        "p99 ms": 1e3 * statistics.quantiles(taken, n=100)[98],
    }


def _growth(rows: list[dict[str, Any]], smallest: int, largest: int) -> dict[str, float]:
    """How many times longer the largest store takes than the smallest."""
    times = {(row["store"], row["query"], row["envelopes"]): row["median ms"] for row in rows}
    return {
        f"{store}: {query}, {largest} / {smallest}": times[store, query, largest] / value
        for (store, query, size), value in times.items()
        if size == smallest
    }


def fill(engine: Engine, size: int) -> None:
    """Put so many envelopes with tags into an empty store."""
    counts: Counter[tuple[str, str]] = Counter()
    manifest = _manifest().to_bytes().decode()
    with engine.begin() as connection:
        for table in (tag, tag_bitmap, tag_count, envelope):
            connection.execute(delete(table))
        every = _models(size)
        while models := list(islice(every, BATCH)):
            for _, tags in models:
                counts.update(tags.items())
            connection.execute(insert(envelope), [_row(r, manifest) for r, _ in models])
            connection.execute(
                insert(tag),
                [
                    {"key": k, "value": v, "revision": revision, "envelope_id": _id(revision)}
                    for revision, tags in models
                    for k, v in tags.items()
                ],
            )
        counted = [{"key": k, "value": v, "envelopes": n} for (k, v), n in counts.items()]
        connection.execute(insert(tag_count), counted)
        marks = ((k, v, revision) for revision, tags in _models(size) for k, v in tags.items())
        bitmaps.mark(connection, marks, present=True)
        connection.execute(update(clock).values(revision=size))


def _models(size: int) -> Iterator[tuple[int, dict[str, str]]]:
    chance = random.Random(0)
    for revision in range(1, size + 1):
        tags = {
            "canonical_name": f"model_{chance.randrange(50)}",
            "region": chance.choice(["US", "UK"]),
            "business_line": chance.choice(["womens", "mens", "kids"]),
            "channel": chance.choice(["web", "app", "store"]),
            "passes_tests": chance.choice(["true", "true", "false"]),
            "run": str(revision),
        }
        if tags["region"] == "US" and tags["business_line"] == "kids":
            tags["channel"] = chance.choice(["web", "app"])
        yield revision, tags


def _id(revision: int) -> str:
    return f"{revision:020x}"


def _manifest() -> Manifest:
    distributions = tuple(Distribution(name=f"package-{i}", version=f"1.{i}.0") for i in range(60))
    return Manifest(
        id=_id(0),
        created_at=NOW,
        functions={"predict": FunctionSpec(name="predict", file="predict.bundle")},
        files={},
        environment=Environment(
            python="3.11.7",
            platform="linux_x86_64",
            distributions=distributions,
            digest="0" * 64,
        ),
        provenance=Provenance(),
    )


def _row(revision: int, manifest: str) -> dict[str, Any]:
    return {
        "id": _id(revision),
        "revision": revision,
        "updated_revision": revision,
        "save_key": _id(revision),
        "created_at": NOW,
        "description": "Predicts client LTV from a set of features",
        "archived": False,
        "manifest_sha256": "0" * 64,
        "manifest": manifest.replace(_id(0), _id(revision)),
        "environment_digest": "0" * 64,
        "reproducible": "unproved",
        "reproducible_reason": "",
    }


if __name__ == "__main__":
    main()
