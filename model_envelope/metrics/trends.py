"""Scalar metrics of many models over time: lines, or medians with quartile bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from model_envelope.errors import InvalidInput
from model_envelope.metrics import vega
from model_envelope.metrics.charts import Chart

if TYPE_CHECKING:
    import pandas as pd

NO_TAG = "(no tag)"
MAX_POINTS = 20_000
"""What a browser draws in about a second."""

MAX_DOTS = 2_000
"""Models with a point each, before they hide one another."""

MAX_LINES = 40
MAX_NAMED = 10
MAX_SERIES = 200
MAX_BANDS = 4
BUCKETS = 200

# Points, so that a single value is a dot and not nothing.
_LINE = {"type": "line", "point": {"size": 20}, "tooltip": {"content": "data"}}

# The wheel alone scrolls the page.
_ZOOM = {
    "name": "zoom",
    "select": {
        "type": "interval",
        "encodings": ["x"],
        "zoom": "wheel![event.ctrlKey || event.metaKey]",
    },
    "bind": "scales",
}

X = Literal["saved_at", "step", "at"]
Mode = Literal["auto", "lines", "band"]
Scale = Literal["linear", "log"]


def plot_points(
    points: pd.DataFrame, *, x: X = "saved_at", split: str | None = None, mode: Mode = "auto"
) -> Chart:
    """Draw what `frame` gives.

    Args:
        points: scalar metrics; other types and values that are not finite are left out,
            and counted in the note.
        x: `saved_at` has one point for each model, its last value; `step` and `at` have
            a line for each model, of its own colour where there are up to ten and
            nothing else to tell apart.
        split: a tag column: one series for each of its values, and `(no tag)`.
        mode: `lines` draws each value, `band` the median of each series and, for up to
            four series, the range from the first to the third quartile. `auto` takes
            lines unless there are more than 20,000 points, 40 lines or, with a point for
            each, 2,000 models.

    Raises:
        InvalidInput: nothing is left to draw, a column is missing, or it is too much.
    """
    series, left_out = _series(points, split)
    if x == "saved_at":
        series = series.sort_values(["step", "at"]).drop_duplicates(
            ["envelope_id", "name"], keep="last"
        )
    band = mode == "band" or (mode == "auto" and _is_much(series, x))
    if x != "saved_at" and not band:
        series = _name_models(series)
    labels = sorted(series["series"].unique())
    _check_size(len(series), len(labels), band)
    return Chart(
        spec=band_spec(x, labels) if band else line_spec(x, labels),
        rows=_band_rows(series, x) if band else _line_rows(series, x),
        title=", ".join(sorted(series["name"].unique())),
        note=_note(series["envelope_id"].nunique(), len(labels), band, left_out, len(points)),
    )


def _is_much(series: pd.DataFrame, x: X) -> bool:
    if x == "saved_at":
        return len(series) > MAX_DOTS
    lines = len(series[["envelope_id", "series"]].drop_duplicates())
    return len(series) > MAX_POINTS or lines > MAX_LINES


def _check_size(n_points: int, n_series: int, band: bool) -> None:
    if n_points > MAX_POINTS and not band:
        raise InvalidInput(
            f"{n_points:,} points are too many to draw one by one: at most {MAX_POINTS:,}. "
            "Use mode='band', or narrow the query."
        )
    if n_series > MAX_SERIES:
        raise InvalidInput(
            f"{n_series} series are too many to tell apart: at most {MAX_SERIES} are drawn. "
            "Split by a tag with fewer values, or choose fewer metrics."
        )


def _note(models: int, n_series: int, band: bool, left_out: int, n_points: int) -> str:
    told = [f"{models} model{'s' * (models != 1)}", f"{n_series} series"]
    if band:
        told.append("median and p25-p75" if n_series <= MAX_BANDS else "medians")
    if left_out:
        told.append(f"{left_out} of {n_points} points left out: not finite or no numbers")
    return " · ".join(told)


def _series(points: pd.DataFrame, split: str | None) -> tuple[pd.DataFrame, int]:
    """Finite scalars with their `series`, and how many points are none."""
    import numpy as np

    missing = {"envelope_id", "saved_at", "name", "step", "at", "value"} - set(points.columns)
    if missing:
        raise InvalidInput(f"The points lack {', '.join(sorted(missing))}: use metrics.frame().")
    if split is not None and split not in points.columns:
        raise InvalidInput(f"The points lack {split!r}: use metrics.frame(..., tags=({split!r},)).")
    chosen = points[np.isfinite(points["value"].astype("float64"))].copy()
    if chosen.empty:
        raise InvalidInput("There are no points to draw: the query matches no finite scalar.")
    label = None if split is None else chosen[split].astype(object).fillna(NO_TAG).astype(str)
    if label is None:
        chosen["series"] = chosen["name"]
    elif chosen["name"].nunique() == 1:
        chosen["series"] = label
    else:
        chosen["series"] = chosen["name"] + " · " + label
    return chosen, len(points) - len(chosen)


def _name_models(series: pd.DataFrame) -> pd.DataFrame:
    """A few models' lines are told apart by their ids, where nothing else does."""
    if series["series"].nunique() > 1 or series["envelope_id"].nunique() > MAX_NAMED:
        return series
    return series.assign(series=series["envelope_id"].str[:8])


def _line_rows(series: pd.DataFrame, x: X) -> list[dict[str, Any]]:
    drawn = series.sort_values(x).rename(columns={"envelope_id": "model"})
    return _records(drawn[[x, "value", "series", "model"]], x)


def _band_rows(series: pd.DataFrame, x: X) -> list[dict[str, Any]]:
    values = series.assign(**{x: _bucketed(series[x])}).groupby(["series", x])["value"]
    drawn = values.agg(["median", "count"])
    drawn["p25"], drawn["p75"] = values.quantile(0.25), values.quantile(0.75)
    return _records(drawn.reset_index(), x)


def _records(drawn: pd.DataFrame, x: X) -> list[dict[str, Any]]:
    if x != "step":
        drawn = drawn.assign(**{x: drawn[x].dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ")})
    return cast("list[dict[str, Any]]", drawn.to_dict("records"))


def _bucketed(values: pd.Series[Any]) -> pd.Series[Any]:
    """The values, or the starts of 200 equal ranges where there are more different ones."""
    if values.nunique() <= BUCKETS:
        return values
    start, width = values.min(), (values.max() - values.min()) / BUCKETS
    bucket = ((values - start) // width).clip(upper=BUCKETS - 1)
    return cast("pd.Series[Any]", start + bucket * width)


def line_spec(x: X, labels: Sequence[str], scale: Scale = "linear") -> vega.Spec:
    """A point or line for each model; its rows have `x`, `value`, `series`, `model`.

    Args:
        x: see `plot_points`.
        labels: of all series, each of which keeps its colour whichever of them are shown.
        scale: of the values.
    """
    of_model = {} if x == "saved_at" else {"detail": vega.nominal("model")}
    drawn = vega.chart(
        "Metric values of each model",
        mark=_LINE,
        x=_x_channel(x),
        y=_y_channel("value", scale),
        **_series_channels(labels),
        **of_model,
    )
    return {**drawn, "params": [_ZOOM]}


def band_spec(x: X, labels: Sequence[str], scale: Scale = "linear") -> vega.Spec:
    """Medians with bands; its rows have `x`, `series`, `median`, `p25`, `p75`, `count`.

    Arguments are those of `line_spec`.
    """
    series = _series_channels(labels)
    band = {
        "mark": {"type": "area", "opacity": 0.12},
        "encoding": {
            "y": _y_channel("p25", scale),
            "y2": {"field": "p75"},
            "color": series["color"],
        },
    }
    median = {
        "params": [_ZOOM],
        "mark": _LINE,
        "encoding": {"y": _y_channel("median", scale), **series},
    }
    return {
        "description": "Median metric value of each series",
        "data": {"name": "data"},
        "encoding": {"x": _x_channel(x)},
        "layer": [band, median] if len(labels) <= MAX_BANDS else [median],
    }


def _y_channel(field: str, scale: Scale) -> vega.Spec:
    kind = {"type": "log"} if scale == "log" else {"zero": False}
    return vega.quantitative(field, title=None, scale=kind)


def _x_channel(x: X) -> vega.Spec:
    if x == "step":
        return vega.whole("step", title="Step")
    return {"field": x, "type": "temporal", "title": "Saved" if x == "saved_at" else "Measured"}


def _series_channels(labels: Sequence[str]) -> dict[str, vega.Spec]:
    # Bands are pale; their legend, which is the lines' too, is not.
    legend = {"symbolType": "stroke", "symbolOpacity": 1} if len(labels) > 1 else None
    series = vega.nominal("series", title=None, scale={"domain": list(labels)}, legend=legend)
    return {"color": series, "strokeDash": series}
