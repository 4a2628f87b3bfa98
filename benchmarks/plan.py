"""What 200 rules make of 10,000 envelopes: how long a plan takes, on SQLite and PostgreSQL.

    python -m benchmarks.plan [--postgres] [--rules 200] [--envelopes 10000]

Half of the rules take the newest match, half the one with the greatest metric. `explained`
also finds, for each, what one clause held back. `followed` plans and writes what is wanted:
once of every service, then, as it mostly is, of none.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from sqlalchemy import insert, select

from benchmarks import postgres, report
from benchmarks.tag_query_latest import fill
from model_envelope.deployment.planning import follow, plan
from model_envelope.deployment.rule import Rule
from model_envelope.store.engine import make_engine, parse_url
from model_envelope.store.opening import open_store, upgrade
from model_envelope.store.store import Store
from model_envelope.store.tables import envelope, metric_latest

LIMIT = 1.0
"""Seconds that a plan may take."""


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--postgres", action="store_true", help="measure PostgreSQL too")
    options.add_argument("--rules", type=int, default=200)
    options.add_argument("--envelopes", type=int, default=10_000)
    options.add_argument("--times", type=int, default=10)
    given = options.parse_args()
    measured = (given.rules, given.envelopes, given.times)
    with tempfile.TemporaryDirectory() as folder:
        rows = [_measure(f"sqlite:///{Path(folder) / 'store.sqlite'}", *measured)]
    if given.postgres:
        with postgres.server() as url:
            rows.append(_measure(url, *measured))
    report.show("plan", rows, **{f"{r['store']}: plan / {LIMIT} s": r["plan s"] for r in rows})


def _measure(url: str, rules: int, envelopes: int, times: int) -> dict[str, Any]:
    upgrade(url)
    engine = make_engine(parse_url(url))
    fill(engine, envelopes)
    chance = random.Random(1)
    with engine.begin() as connection:
        ids = connection.scalars(select(envelope.c.id)).all()
        values = [
            {"envelope_id": i, "name": "auc", "step": 0, "value": chance.random()} for i in ids
        ]
        connection.execute(insert(metric_latest), values)
    engine.dispose()
    with open_store(url) as store:
        store.apply_rules({rule.name: (rule.service, rule.spec()) for rule in _rules(rules)})
        plan(store)
        started = perf_counter()
        written = len(follow(store))
        first = perf_counter() - started
        return {
            "store": url.partition(":")[0].partition("+")[0],
            "rules": rules,
            "envelopes": envelopes,
            "plan s": _seconds(lambda: plan(store), times),
            "explained s": _seconds(lambda: plan(store, explain=True), times),
            "followed s": first,
            "written": written,
            "followed again s": _seconds(lambda: _nothing_new(store), times),
        }


def _seconds(call: Any, times: int) -> float:
    return report.median(report.seconds(call, times))


def _nothing_new(store: Store) -> None:
    assert follow(store) == ()


def _rules(count: int) -> list[Rule]:
    """Rules over the models and regions that `fill` makes."""
    return [
        Rule.read(
            {
                "name": f"rule-{i}",
                "service": f"service-{i}",
                "when": {
                    "canonical_name": f"model_{i // 2 % 50}",
                    "region": ["US", "UK"][i % 2],
                    "passes_tests": "true",
                },
                "select": "latest" if i < count / 2 else "max metric.auc",
                "gates": ["reproducible"],
            }
        )
        for i in range(count)
    ]


if __name__ == "__main__":
    main()
