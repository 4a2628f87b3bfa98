"""Findings for people: on the terminal, and as a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod
from rich.table import Table

from demo import report
from demo.findings import Findings
from demo.look import where
from demo.online import SEGMENT, SERVICE, Online

NO_DIFFERENCE = "Spark's predictions are those of the models in this process, to the last bit."
DIFFERENCE = "Spark's predictions DIFFER from those of the models in this process."
BRIEFLY = ["segment", "model", "envelope", "rmse", "total_ratio", "gini", "passes"]


def show(found: Findings, online: Online, console: Console, home: Path) -> None:
    """Print the findings."""
    for title, frame in {
        "Models, on the 39 weeks that followed": _short(found.models)[BRIEFLY],
        NO_DIFFERENCE if found.identical else DIFFERENCE: _short(found.agreement),
        "Mean dollars by tenth of the customers, lowest predictions first": found.deciles,
    }.items():
        console.print(f"\n{title}", style="bold")
        console.print(_frame(frame))
    console.print(
        f"{found.customers:,} customers: [bold]${found.predicted:,.0f}[/] predicted, "
        f"[bold]${found.actual:,.0f}[/] spent.\n"
    )
    console.print(f"Online: what became of the service {SERVICE}", style="bold")
    console.print(_frame(_short(online.events)))
    console.print(_online(online), markup=False, soft_wrap=True)
    console.print("\n[bold]Next[/]")
    console.print(_next(found, online, home), markup=False, highlight=False, soft_wrap=True)
    console.print(f"\nThe report: {home / 'report.html'}", markup=False, soft_wrap=True)


def write_page(
    found: Findings, online: Online, path: Path, timings: Mapping[str, float], home: Path
) -> None:
    """Write the findings as a page that can be opened anywhere."""
    steps = pd.DataFrame({"step": list(timings), "seconds": list(timings.values())})
    sections = [
        report.Section(
            title="Predicted and actual spend",
            text="Customers in ten groups of equal size by what was predicted for them; the "
            "bars are mean dollars of the 39 weeks from 1 October 1997.",
            blocks=[
                report.bars(
                    found.deciles,
                    label="decile",
                    caption="Mean dollars by tenth of the customers, lowest predictions first.",
                )
            ],
        ),
        report.Section(
            title="Models",
            text="Three for each month of first purchase. The one with the smallest root mean "
            "squared error passes, and is what the batch DAG finds.",
            blocks=[report.table(found.models, mark="passes")],
        ),
        report.Section(
            title="Batch and model agree",
            text=NO_DIFFERENCE if found.identical else DIFFERENCE,
            blocks=[report.table(found.agreement, digits=6)],
        ),
        report.Section(
            title="Customers to look after",
            text="The highest predictions, and what these customers then spent.",
            blocks=[report.table(found.best)],
        ),
        report.Section(
            title="Online",
            text=_online(online),
            blocks=[report.table(_short(online.events))],
        ),
        report.Section(
            title="What to try next",
            text="In the folder of the project:",
            blocks=[report.code(_next(found, online, home))],
        ),
        report.Section(title="Time taken", text="", blocks=[report.table(steps, digits=1)]),
    ]
    lead = (
        f"{found.customers:,} customers of CDNOW, predicted by Airflow and Spark with the best "
        f"model of each segment: ${found.predicted:,.0f} predicted, ${found.actual:,.0f} spent."
    )
    path.write_text(report.page("Client lifetime value", lead, sections))


def _short(frame: pd.DataFrame) -> pd.DataFrame:
    """With as much of the ids as people type."""
    return frame.assign(envelope=frame["envelope"].str[:8])


def _frame(frame: pd.DataFrame) -> Table:
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in frame.columns:
        justify: JustifyMethod = "right" if report.is_number(frame[name]) else "left"
        drawn.add_column(name.replace("_", " "), justify=justify)
    for row in frame.to_dict("records"):
        drawn.add_row(*(_text(value) for value in row.values()))
    return drawn


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _online(online: Online) -> str:
    same = "to the last bit" if online.identical else "but NOT always"
    return (
        f"From the rule to the first answer at {online.url} it took {online.seconds:.0f} s. For "
        f"{len(online.answers):,} customers of {SEGMENT} the service says what the batch table "
        f"says, {same}. It goes on answering: {online.url} is a page to try it."
    )


def _next(found: Findings, online: Online, home: Path) -> str:
    passes, ids = found.models["passes"], found.models["envelope"]
    a, b = ids[passes].iloc[0], ids[~passes].iloc[0]
    of_this = "" if home == Path("demo-home").resolve() else f" home={home}"
    return f"""
make look{of_this}      # all of this in Airflow, to see and to click, at
{where(home)}

export MODEL_ENVELOPE_HOME={home / "envelopes"} PATH=$PWD/.venv/bin:$PATH
model-envelope ui --token demo         # the same pages without Airflow
model-envelope query "metric.rmse < 100" --columns id,segment,model_family,metric:rmse
model-envelope show {a}
model-envelope diff {a} {b}
model-envelope verify {a}    # in its own environment, built anew

model-envelope service {SERVICE}                # every deployment, every gate's verdict
model-envelope rules resume {SERVICE}           # the rollback paused it
model-envelope undeploy {SERVICE}               # ends the service at {online.url}

python - <<'PYTHON'              # or in a notebook
import model_envelope as me
print(me.latest("canonical_name == 'client_ltv' and segment == '1997-01'"))
print(me.why("canonical_name == 'client_ltv' and passes_tests == 'true'", "{b}"))
PYTHON

docs/how-to/batch-from-airflow.md    a DAG of your own
docs/how-to/save-a-model.md          a model of your own
""".strip("\n")
