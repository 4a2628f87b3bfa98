"""What pages wait for with 10,000 envelopes: each route of the API, on SQLite and PostgreSQL.

    python -m benchmarks.web [--postgres] [--envelopes 10000] [--services 50]

Each envelope has ten scalar metrics, one structured one and 20 steps of a loss. Times are
from the request to the last byte, in one process; `statements` are those it takes.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy import Engine, event, insert, select

from benchmarks import postgres, report
from benchmarks.tag_query_latest import fill
from model_envelope.client.client import Client
from model_envelope.store.engine import make_engine, parse_url
from model_envelope.store.opening import upgrade
from model_envelope.store.tables import envelope, metric, metric_latest
from model_envelope.web.alone import alone

LIMIT = 1.0
"""Seconds that a page may wait."""

SCALARS = 10
STEPS = 20
CHUNK = 20_000


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--postgres", action="store_true", help="measure PostgreSQL too")
    options.add_argument("--envelopes", type=int, default=10_000)
    options.add_argument("--services", type=int, default=50)
    options.add_argument("--times", type=int, default=5)
    given = options.parse_args()
    measured = (given.envelopes, given.services, given.times)
    with tempfile.TemporaryDirectory() as folder:
        rows = _measure(f"sqlite:///{Path(folder) / 'store.sqlite'}", *measured)
    if given.postgres:
        with postgres.server() as url:
            rows += _measure(url, *measured)
    limits = {f"{row['store']}: {row['route']} / {LIMIT} s": row["seconds"] for row in rows}
    report.show("web", rows, **limits)


def _measure(url: str, envelopes: int, services: int, times: int) -> list[dict[str, Any]]:
    upgrade(url)
    engine = make_engine(parse_url(url))
    fill(engine, envelopes)
    ids = _log(engine)
    engine.dispose()
    client = Client(store=url, artifacts=tempfile.gettempdir())
    for i in range(services):
        target = {"kind": "process", "options": {}}
        client.store.want(f"service-{i}", target=target, envelope_id=ids[i], by="ada")
        spec = {"when": f"name == 'model-{i}'", "select": "latest", "target": target}
        client.store.put_rule(f"rule-{i}", f"service-{i}", spec)
    routes = (
        "models",
        "models?metrics=metric_0,metric_1,metric_2&limit=200",
        "models?sort=-metric:metric_0",
        "models?q=stage == 'production'",
        "models?q=metric.metric_0 > 0.99",
        "models?q=nothing == 'x'",
        f"models/{ids[-1]}",
        f"models/{ids[-1]}/metrics",
        "tags",
        "tags?q=stage == 'production'",
        "metrics",
        "services",
        "rules",
        "plan?explain=1",
        "batch",
    )
    store = url.partition(":")[0].partition("+")[0]
    with TestClient(alone(lambda: client), base_url="http://127.0.0.1") as browser:
        found = [{"store": store, "route": r, **_asked(browser, r, times)} for r in routes]
    client.store.close()
    return found


def _log(engine: Engine) -> list[str]:
    """Metrics for every envelope; gives their ids."""
    chance = random.Random(1)
    with engine.begin() as connection:
        rows = connection.execute(select(envelope.c.id, envelope.c.revision)).all()
        points, last = [], []
        curve = json.dumps({"x": [i / 100 for i in range(100)]})
        for row in rows:
            of = {"envelope_revision": row.revision, "envelope_id": row.id}
            at = {"at": datetime.now(UTC), "type": "scalar", "body": None}
            for i in range(SCALARS):
                value = chance.random()
                points.append({**of, **at, "name": f"metric_{i}", "step": 0, "value": value})
                last.append(
                    {"envelope_id": row.id, "name": f"metric_{i}", "step": 0, "value": value}
                )
            points += [
                {**of, **at, "name": "loss", "step": step, "value": chance.random()}
                for step in range(STEPS)
            ]
            drawn = {"name": "roc", "step": 0, "type": "roc_curve", "value": None, "body": curve}
            points.append({**of, **at, **drawn})
        for table, values in ((metric, points), (metric_latest, last)):
            for start in range(0, len(values), CHUNK):
                connection.execute(insert(table), values[start : start + CHUNK])
    return [row.id for row in rows]


def _asked(browser: TestClient, route: str, times: int) -> dict[str, Any]:
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        asked.append(statement)

    seconds = []
    size = 0
    for _ in range(times + 1):
        asked.clear()
        event.listen(Engine, "before_cursor_execute", note)
        started = perf_counter()
        answer = browser.get(f"/api/v1/{route}")
        seconds.append(perf_counter() - started)
        event.remove(Engine, "before_cursor_execute", note)
        assert answer.status_code == 200, answer.text
        size = len(answer.content)
    return {"seconds": median(seconds[1:]), "statements": len(asked), "kB": size / 1000}


if __name__ == "__main__":
    main()
