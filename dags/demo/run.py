"""The demo, step by step: train, predict, read back, compare, serve, report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from demo.airflow_runs import DAGS, migrate, output_to, run_dag, settle

AS_OF = date(1997, 10, 1)
TRANSACTIONS = DAGS / "data" / "cdnow" / "CDNOW_master.txt"


def run(home: Path) -> int:
    """Run everything in `home`; gives an exit code."""
    home.mkdir(parents=True, exist_ok=True)
    settle(home)
    started = datetime.now(UTC)
    screen = Screen(Console(), home / "demo.log")
    try:
        with screen.step("Airflow's database"):
            migrate()
        with screen.step("Training three models for each of three segments (Airflow)"):
            run_dag("client_ltv_train", AS_OF)
        with screen.step("Predicting with the best model of each (Airflow and Spark)"):
            run_dag("client_ltv_predict", AS_OF)
        with screen.step("Reading back, and asking the models in this process"):
            # Imported only now: it reads the store that `settle` has chosen.
            from demo.findings import find

            found = find(
                tables=home / "tables", transactions=TRANSACTIONS, as_of=AS_OF, since=started
            )
        with screen.step("Serving the best model of a segment, and refusing others"):
            from client_ltv.transactions import read_transactions
            from demo.online import go_online

            online = go_online(
                tables=home / "tables", transactions=read_transactions(TRANSACTIONS), as_of=AS_OF
            )
    except Exception as error:
        screen.failed(error)
        return 1

    from demo.outcome import show, write_page

    write_page(found, online, home / "report.html", screen.timings, home)
    show(found, online, screen.console, home)
    return 0 if found.identical and online.identical else 1


class Screen:
    """What the person who started the demo sees; everything else goes to the log."""

    def __init__(self, console: Console, log: Path) -> None:
        self.console = console
        self.timings: dict[str, float] = {}
        self._log = log

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Announce a step, keep its output apart, and tell how long it took."""
        self.console.print(f"  {escape(title)} ...", end="", soft_wrap=True)
        start = time.monotonic()
        with output_to(self._log):
            yield
        self.timings[title] = time.monotonic() - start
        self.console.print(f" [green]{self.timings[title]:.0f} s[/]")

    def failed(self, error: Exception) -> None:
        """Say what went wrong, and where to read on."""
        self.console.print(" [red]failed[/]")
        self.console.print(f"{type(error).__name__}: {error}", markup=False, soft_wrap=True)
        lines = self._log.read_text(errors="replace").splitlines()[-25:]
        self.console.print("\n".join(lines), markup=False, highlight=False, style="dim")
        self.console.print(f"The whole log: {self._log}", markup=False, soft_wrap=True)
