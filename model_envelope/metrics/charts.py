"""A chart as data: the same in a notebook, in the dashboard and in tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from model_envelope.errors import InvalidInput
from model_envelope.metrics.metric_type import MetricType
from model_envelope.metrics.screening import screen

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
MIME = "application/vnd.vegalite.v5+json"
"""What JupyterLab and VS Code draw themselves, without loading anything."""

MAX_TABLE = 20


@dataclass(frozen=True)
class Chart:
    """A Vega-Lite chart and its rows. Notebooks draw it; elsewhere it is a table.

    Attributes:
        spec: Vega-Lite without data; it draws the named dataset `data`.
        rows: the data, JSON values only.
        title: what is shown.
        note: what is not: how many of how many, and in which way.
        meta: the same in numbers; plain JSON.
        source: reads every row that the chart stands for, where `rows` are a summary.
    """

    spec: dict[str, Any]
    rows: list[dict[str, Any]]
    title: str
    note: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
    source: Callable[[], pd.DataFrame] | None = field(default=None, repr=False, compare=False)

    @property
    def columns(self) -> dict[str, list[Any]]:
        """The rows as columns; null where a row has no such field."""
        names = dict.fromkeys(name for row in self.rows for name in row)
        return {name: [row.get(name) for row in self.rows] for name in names}

    def frame(self) -> pd.DataFrame:
        """What the chart shows: every match, where it draws a summary of them."""
        import pandas as pd

        return pd.DataFrame(self.rows) if self.source is None else self.source()

    def to_vega_lite(self) -> dict[str, Any]:
        """The whole chart, data included, for any viewer of Vega-Lite 5 or 6."""
        title = {"text": self.title, "subtitle": self.note} if self.note else self.title
        return {"$schema": SCHEMA, **self.spec, "title": title, "datasets": {"data": self.rows}}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {
            MIME: self.to_vega_lite(),
            "text/html": html_table(self.rows, MAX_TABLE, self._caption),
            "text/plain": repr(self),
        }

    def __repr__(self) -> str:
        return f"<Chart {self._caption}: {len(self.rows)} rows>"

    @property
    def _caption(self) -> str:
        return f"{self.title} ({self.note})" if self.note else self.title


def plot_models(metrics: Mapping[str, MetricType], *, title: str = "") -> Chart:
    """Metrics of one type, those of several models over or beside each other.

    Args:
        metrics: what to call each model, and its metric.
        title: the metric's name; the type's unless given.

    Raises:
        InvalidInput: there is none, their types differ, or rows or chart of a foreign
            type are not acceptable (see `screen`).
    """
    types = {metric.type: type(metric) for metric in metrics.values()}
    if len(types) != 1:
        found = ", ".join(sorted(types)) or "none"
        raise InvalidInput(f"A chart shows metrics of one type; these are {found}.")
    ((name, cls),) = types.items()
    rows = [{**row, "model": model} for model, metric in metrics.items() for row in metric.rows()]
    try:
        json.dumps(rows, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"The rows of a {name} are no JSON: {error}") from error
    return Chart(spec=screen(cls.spec(len(metrics))), rows=rows, title=title or name)


def html_table(rows: list[dict[str, Any]], limit: int, caption: str = "") -> str:
    """The first rows as an HTML table, everything escaped."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    shown = rows[:limit]
    told = caption if len(shown) == len(rows) else f"{caption} [{len(shown)} of {len(rows)} rows]"
    body = "".join(_line("td", (row.get(column) for column in columns)) for row in shown)
    return (
        f"<table><caption>{escape(told.strip())}</caption>"
        f"<thead>{_line('th', columns)}</thead><tbody>{body}</tbody></table>"
    )


def _line(cell: str, values: Iterable[Any]) -> str:
    return (
        "<tr>" + "".join(f"<{cell}>{escape(_text(value))}</{cell}>" for value in values) + "</tr>"
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
