"""How long the dashboard takes to answer and to draw: 10,000 models with 100 points each.

    python -m benchmarks.dashboard [--sqlite] [--models 10000] [--steps 100]

`answer` is a request to the pages' server, a process of its own, from asking to the last byte;
`drawn` is from opening the page in a headless Chromium, its files in the cache, until the
chart stands there. The floors are of the same run: bare SQL for the quartiles of the same
points (for SQLite, which has none, their sums), and a page with its controls and no chart.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, sync_playwright
from sqlalchemy import Engine, bindparam, text, update

from benchmarks import postgres, report
from benchmarks.tag_query_latest import fill
from model_envelope.store.engine import make_engine, parse_url
from model_envelope.store.opening import upgrade
from model_envelope.store.tables import envelope

ANSWER, DRAWN = 1.0, 2.0
"""Seconds that a chart may take to be answered, and to be drawn."""

VIEWS = {
    "as it opens": ("viz/time_series", "view=time"),
    "time saved": ("viz/time_series", "view=time&metric=auc&split=region&range=all"),
    "steps": ("viz/time_series", "view=time&metric=auc&split=region&x=step"),
    "time measured": ("viz/time_series", "view=time&metric=auc&split=region&x=at"),
    "scatter": ("viz/compare_metrics", "view=metrics&x=auc&y=auc&color=region"),
    "scatter of few": (
        "viz/compare_metrics",
        "view=metrics&x=auc&y=auc&color=region&q=business_line+%3D%3D+%27kids%27",
    ),
    "newest per tag": ("viz/compare_models", "view=models&split=business_line"),
}
SEEN = """() => document.querySelector(".me-canvas canvas, [aria-label='Numbers of the models']")
    && !document.querySelector(".me-drawing-wait") && performance.now()"""
CONTROLS = "() => document.querySelector('.me-controls') && performance.now()"

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
    options.add_argument("--sqlite", action="store_true", help="measure SQLite too")
    options.add_argument("--models", type=int, default=10_000)
    options.add_argument("--steps", type=int, default=100)
    options.add_argument("--times", type=int, default=5)
    given = options.parse_args()
    measured = (given.models, given.steps, given.times)
    with postgres.server() as url:
        rows = _measure(url, *measured)
    if given.sqlite:
        with tempfile.TemporaryDirectory() as folder:
            rows += _measure(f"sqlite:///{Path(folder) / 'store.sqlite'}", *measured)
    ratios = {}
    for row in rows:
        chart = f"{row['store']}: {row['chart']}"
        ratios[f"{chart}, answer / {ANSWER} s"] = row["answer s"] / ANSWER
        ratios[f"{chart}, drawn / {DRAWN} s"] = row["drawn s"] / DRAWN
    limit = {"store": "any", "chart": "limit", "answer s": ANSWER, "drawn s": DRAWN}
    report.show("dashboard", [limit, *rows], **ratios)


def _measure(url: str, models: int, steps: int, times: int) -> list[dict[str, Any]]:
    upgrade(url)
    engine = make_engine(parse_url(url))
    fill(engine, models)
    _log(engine, models, steps)
    name = engine.dialect.name

    def floor() -> None:
        with engine.connect() as connection:
            connection.execute(text(FLOOR[name])).all()

    with (
        _serving(url) as address,
        httpx.Client(base_url=address, timeout=600) as client,
        _browser() as page,
    ):

        def measure(chart: str, answer: Callable[[], Any], path: str, seen: str) -> dict[str, Any]:
            drawn = [_drawn(page, address + path, seen) for _ in range(times + 1)]
            return {
                "store": name,
                "chart": chart,
                "answer s": report.median(report.seconds(answer, times)),
                "drawn s": report.median(drawn[1:]),
            }

        found = [measure("floor", floor, "/dashboard?run=0", CONTROLS)]
        for chart, (route, asked) in VIEWS.items():
            answer = partial(_answer, client, route, asked)
            found.append(measure(chart, answer, f"/dashboard?{asked}", SEEN))
    engine.dispose()
    return found


def _answer(client: httpx.Client, route: str, asked: str) -> None:
    """Ask the API for what a page's address shows."""
    client.get(f"/api/v1/{route}?{asked.partition('&')[2]}").raise_for_status()


def _drawn(page: Page, address: str, seen: str) -> float:
    """Seconds from opening a page until something is seen."""
    page.goto(address, wait_until="commit")
    return float(page.wait_for_function(seen, timeout=600_000).json_value()) / 1000


@contextmanager
def _serving(url: str) -> Iterator[str]:
    """The address of the pages' server over a store."""
    command = [sys.executable, "-m", "model_envelope.cli", "ui", "--port", "0"]
    environment = {**os.environ, "MODEL_ENVELOPE_STORE": url}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        found = re.search(r"http://[\d.:]+", server.stdout.readline())
        assert found, "The server has not said where it is."
        try:
            yield found[0]
        finally:
            server.terminate()


@contextmanager
def _browser() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        yield page
        browser.close()


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
