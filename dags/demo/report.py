"""The page that the demo leaves behind: one file, nothing to load, all text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #dfe4ea;
  --page: #fbfcfd; --actual: #9aa7b8; --predicted: #2f6fde; --good: #1a7f4b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #98a4b3;
  --line: #2c3541; --page: #12171e; --actual: #5d6b7d; --predicted: #6ea2ff; --good: #4cc38a; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 70rem; margin: 3rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.6rem 0 .4rem; }
p, li { max-width: 46rem; } .soft, figcaption, th { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { font-weight: 500; font-size: .85rem; } th, td { text-align: left; padding: .35rem .8rem
  .35rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
.number { text-align: right; } .long { white-space: normal; min-width: 20rem; }
.good { color: var(--good); font-weight: 600; }
code, pre { font: .88rem/1.5 ui-monospace, monospace; }
pre { background: color-mix(in srgb, var(--line) 40%, transparent); padding: .8rem 1rem;
  border-radius: 6px; overflow-x: auto; }
figure { margin: .8rem 0; } svg { width: 100%; height: auto; } text { fill: var(--soft);
  font: 12px system-ui, sans-serif; }
"""


_LONG = 60
"""Characters from which on a column's texts are broken into lines."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading, a sentence or two, and blocks of ready HTML."""

    title: str
    text: str
    blocks: Sequence[str]


def page(title: str, lead: str, sections: Iterable[Section]) -> str:
    """The whole HTML document."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f"<h1>{escape(title)}</h1><p class=soft>{escape(lead)}</p>",
    ]
    for section in sections:
        parts.append(f"<h2>{escape(section.title)}</h2><p>{escape(section.text)}</p>")
        parts.extend(section.blocks)
    return "\n".join(parts) + "\n"


def table(frame: pd.DataFrame, *, digits: int = 2, mark: str | None = None) -> str:
    """An HTML table of a frame's columns.

    Args:
        frame: numbers are right-aligned, everything else is text.
        digits: of floating-point columns.
        mark: a boolean column; rows where it holds are emphasised.
    """
    css = {name: _css(frame[name]) for name in frame.columns}
    head = "".join(f"<th{css[name]}>{escape(name.replace('_', ' '))}</th>" for name in css)
    rows = []
    for row in frame.to_dict("records"):
        cells = "".join(f"<td{css[name]}>{_cell(row[name], digits)}</td>" for name in css)
        rows.append(f"<tr{' class=good' if mark and row[mark] else ''}>{cells}</tr>")
    return (
        f"<div class=scroll><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def bars(frame: pd.DataFrame, *, label: str, caption: str) -> str:
    """Pairs of bars, `predicted` beside `actual` dollars, one pair for each row.

    Args:
        frame: columns `predicted`, `actual` and the one named by `label`.
        label: what is written under a pair.
        caption: what the figure shows, for those who see it and those who do not.
    """
    width, height, foot = 840, 240, 40
    highest = max(float(frame[["predicted", "actual"]].to_numpy().max()), 1e-9)
    step = width / len(frame)
    shapes = []
    for position, row in enumerate(frame.to_dict("records")):
        left = position * step
        for offset, name in enumerate(("actual", "predicted")):
            tall = float(row[name]) / highest * (height - 24)
            x, wide = left + step * (0.14 + 0.37 * offset), step * 0.34
            shapes.append(
                f'<rect x="{x:.1f}" y="{height - tall:.1f}" width="{wide:.1f}" '
                f'height="{tall:.1f}" rx="2" fill="var(--{name})"><title>'
                f"{name} ${float(row[name]):,.2f}</title></rect>"
                f'<text x="{x + wide / 2:.1f}" y="{height - tall - 5:.1f}" '
                f'text-anchor="middle">{float(row[name]):,.0f}</text>'
            )
        shapes.append(
            f'<text x="{left + step / 2:.1f}" y="{height + 17}" text-anchor="middle">'
            f"{escape(str(row[label]))}</text>"
        )
    legend = "".join(
        f'<rect x="{x}" y="{height + 27}" width="11" height="11" rx="2" fill="var(--{name})"/>'
        f'<text x="{x + 17}" y="{height + 37}">{name} dollars</text>'
        for x, name in ((0, "actual"), (130, "predicted"))
    )
    return (
        f'<figure><svg viewBox="0 0 {width} {height + foot}" role="img" '
        f'aria-label="{escape(caption, quote=True)}">{"".join(shapes)}{legend}</svg>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def code(text: str) -> str:
    """A block of commands or Python."""
    return f"<pre>{escape(text.strip())}</pre>"


def is_number(column: pd.Series[Any]) -> bool:
    """Whether a column's values stand right-aligned."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _css(column: pd.Series[Any]) -> str:
    if is_number(column):
        return " class=number"
    return " class=long" if column.astype(str).str.len().max() > _LONG else ""


def _cell(value: Any, digits: int) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, float):
        return f"{value:,.{digits}f}"
    return f"{value:,}" if isinstance(value, int) else escape(str(value))
