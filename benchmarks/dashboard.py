"""How long the dashboard's charts take: 10,000 models with 100 points each.

    python -m benchmarks.dashboard [--postgres] [--models 10000] [--steps 100]

`floor` is bare SQL in the same run: the quartiles of the same points by PostgreSQL, one sum of
them by SQLite, which has no quartiles.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, bindparam, text, update

from benchmarks import postgres, report
from benchmarks.tag_query_latest import fill
from model_envelope.client.dashboard.compare_metrics import Axis, CompareMetrics
from model_envelope.client.dashboard.time_series import TimeSeries
from model_envelope.store.engine import make_engine, parse_url
from model_envelope.store.opening import open_store, upgrade
from model_envelope.store.tables import envelope
from model_envelope.tag_query import parse

LIMIT = 1.0
"""Seconds that a chart may take."""

FLOOR = {
    "postgresql": "SELECT step, percentile_cont(array[.25, .5, .75]) WITHIN GROUP (ORDER BY value) "
    "FROM metric WHERE name = 'auc' GROUP BY step",
    "sqlite": "SELECT step, sum(value) FROM metric WHERE name = 'auc' GROUP BY step",
}
RANDOM = {"postgresql": "random()", "sqlite": "random() / 18446744073709551616.0 + 0.5"}
POINTS = (
    "WITH RECURSIVE steps (step) AS "
    "(SELECT 0 UNION ALL SELECT step + 1 FROM steps WHERE step + 1 < :steps) "
    "INSERT INTO metric (envelope_revision, name, step, envelope_id, at, type, value) "
    "SELECT revision, 'auc', step, id, created_at, 'scalar', {} FROM envelope, steps"
)
LAST = (
    "INSERT INTO metric_latest (envelope_id, name, step, value) "
    "SELECT envelope_id, name, step, value FROM metric WHERE step = :last"
)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--postgres", action="store_true", help="measure PostgreSQL too")
    options.add_argument("--models", type=int, default=10_000)
    options.add_argument("--steps", type=int, default=100)
    options.add_argument("--times", type=int, default=5)
    given = options.parse_args()
    measured = (given.models, given.steps, given.times)
    with tempfile.TemporaryDirectory() as folder:
        rows = _measure(f"sqlite:///{Path(folder) / 'store.sqlite'}", *measured)
    if given.postgres:
        with postgres.server() as url:
            rows += _measure(url, *measured)
    slowest = {f"{r['store']}: {r['chart']} / {LIMIT} s": r["median s"] / LIMIT for r in rows}
    report.show("dashboard", rows, **slowest)


def _measure(url: str, models: int, steps: int, times: int) -> list[dict[str, Any]]:
    upgrade(url)
    engine = make_engine(parse_url(url))
    fill(engine, models)
    _log(engine, models, steps)
    name = engine.dialect.name

    def floor() -> None:
        with engine.connect() as connection:
            connection.execute(text(FLOOR[name])).all()

    everything = parse("True")
    with open_store(url) as store:
        over_time = TimeSeries(q=everything, metrics=("auc",), split="region")
        over_steps = TimeSeries(q=everything, metrics=("auc",), split="region", x="step")
        axis = Axis("metric", "auc")
        scatter = CompareMetrics(q=everything, x=axis, y=axis, color="region")
        charts: dict[str, Callable[[], Any]] = {
            "floor": floor,
            "time saved": lambda: over_time.draw(store),
            "steps": lambda: over_steps.draw(store),
            "scatter": lambda: scatter.draw(store),
        }
        found = [
            {
                "store": name,
                "models": models,
                "points": models * steps,
                "chart": chart,
                "median s": report.median(report.seconds(draw, times)),
            }
            for chart, draw in charts.items()
        ]
    engine.dispose()
    return found


def _log(engine: Engine, models: int, steps: int) -> None:
    """Give every model its points, and a time of its own."""
    now = datetime.now(UTC)
    times = [{"of": i + 1, "at": now - timedelta(minutes=models - i)} for i in range(models)]
    saved = update(envelope).where(envelope.c.revision == bindparam("of"))
    with engine.begin() as connection:
        connection.execute(saved.values(created_at=bindparam("at")), times)
        connection.execute(text(POINTS.format(RANDOM[engine.dialect.name])), {"steps": steps})
        connection.execute(text(LAST), {"last": steps - 1})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


if __name__ == "__main__":
    main()
