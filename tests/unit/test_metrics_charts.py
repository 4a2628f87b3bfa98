"""Charts: valid Vega-Lite, safe to draw, and a table where nothing can draw them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import altair
import jsonschema
import numpy as np
import pandas as pd
import pytest
import vl_convert

from model_envelope import metrics
from model_envelope.errors import InvalidInput
from model_envelope.metrics import Chart, MetricType
from model_envelope.metrics.screening import screen

HOSTILE = "<script>alert('x')</script>\"'"
MIME = "application/vnd.vegalite.v5+json"


@cache
def schema() -> jsonschema.Draft7Validator:
    """The JSON schema of Vega-Lite 6, as Altair ships it."""
    folder = Path(altair.__file__).parent / "vegalite" / "v6" / "schema"
    return jsonschema.Draft7Validator(json.loads((folder / "vega-lite-schema.json").read_text()))


def samples(seed: int) -> dict[str, MetricType]:
    """One metric of each type."""
    random = np.random.default_rng(seed)
    truth = random.random(300) < 0.4
    score = random.normal(truth, 1)
    classes = random.choice(["a", "b", "c"], (2, 300))
    times = pd.date_range("2026-01-01", periods=50, tz="UTC")
    found = (
        metrics.Scalar(0.5),
        metrics.Vector(random.random(4).tolist(), ["w", "x", "y", "z"]),
        metrics.RocCurve.from_scores(truth, score),
        metrics.PrCurve.from_scores(truth, score),
        metrics.ConfusionMatrix.from_labels(*classes),
        metrics.Histogram.from_values(score),
        metrics.Calibration.from_scores(truth, 1 / (1 + np.exp(-score))),
        metrics.FeatureImportance.from_mapping({f"f{i}": random.normal() for i in range(40)}),
        metrics.Table.from_frame(pd.DataFrame({"a": [1, 2], "b": ["x", None]})),
        metrics.Quantiles.from_values(score),
        metrics.TimeSeries.from_series(pd.Series(random.normal(size=50), index=times)),
        metrics.UnknownMetric("acme.lift", "{}", "not installed"),
    )
    return {metric.type: metric for metric in found}


SAMPLES = samples(1), samples(2), samples(3)
MARKS = {
    "scalar": 1,
    "vector": 4,
    "roc_curve": 1,
    "pr_curve": 1,
    "confusion_matrix": 9,
    "histogram": 30,
    "calibration": 1,
    "feature_importance": 30,
    "table": 4,
    "quantiles": 1,
    "time_series": 1,
    "unknown": 1,
}


def check(chart: Chart) -> None:
    whole = chart.to_vega_lite()
    json.dumps(whole, allow_nan=False)
    schema().validate(whole)


def drawn(chart: Chart, version: str = "5.20") -> str:
    """The SVG that Vega-Lite itself makes of it, with nothing allowed from outside."""
    return str(
        vl_convert.vegalite_to_svg(
            json.dumps(chart.to_vega_lite()), vl_version=version, allowed_base_urls=[]
        )
    )


def test_every_built_in_type_is_sampled() -> None:
    assert {*SAMPLES[0]} - {"unknown"} == {
        name for name in metrics.metric_types() if "." not in name
    }


@pytest.mark.parametrize("n_models", [1, 2, 3])
@pytest.mark.parametrize("type_name", sorted(SAMPLES[0]))
def test_charts_are_valid_vega_lite(type_name: str, n_models: int) -> None:
    models = {f"m{i}": SAMPLES[i][type_name] for i in range(n_models)}
    chart = metrics.plot_models(models)
    check(chart)
    assert {row["model"] for row in chart.rows} == set(models)
    assert chart.spec.get("description")


@pytest.mark.parametrize("version", ["5.20", "6.1"])
@pytest.mark.parametrize("type_name", sorted(SAMPLES[0]))
def test_vega_lite_draws_every_model(type_name: str, version: str) -> None:
    for n_models in (1, 2):
        chart = metrics.plot_models({f"m{i}": SAMPLES[i][type_name] for i in range(n_models)})
        svg = drawn(chart, version)
        marks = sum(svg.count(f'aria-roledescription="{kind}"') for kind in KINDS[type_name])
        assert marks >= MARKS[type_name] * n_models


KINDS = dict.fromkeys(MARKS, ("bar",)) | {
    "roc_curve": ("line mark",),
    "pr_curve": ("line mark",),
    "calibration": ("line mark",),
    "quantiles": ("line mark",),
    "time_series": ("line mark",),
    "confusion_matrix": ("text mark",),
    "table": ("text mark",),
    "unknown": ("text mark",),
}


def test_a_metric_shows_itself_in_a_notebook() -> None:
    bundle = SAMPLES[0]["roc_curve"]._repr_mimebundle_()
    assert bundle.keys() == {MIME, "text/html", "text/plain"}
    assert bundle[MIME]["datasets"]["data"]
    assert bundle["text/plain"].startswith("<Chart roc_curve: ")


def test_a_table_shows_itself_as_a_table() -> None:
    bundle = SAMPLES[0]["table"]._repr_mimebundle_()
    assert bundle.keys() == {"text/html", "text/plain"}
    assert "<th>a</th><th>b</th>" in bundle["text/html"]


class Tags(HTMLParser):
    """Collects the elements of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert not attrs
        self.found.add(tag)


@pytest.mark.parametrize(
    "metric",
    [
        metrics.Vector([1], [HOSTILE]),
        metrics.FeatureImportance([HOSTILE], [1]),
        metrics.Table([HOSTILE], [[HOSTILE]]),
        metrics.UnknownMetric(HOSTILE, HOSTILE, HOSTILE),
    ],
)
def test_nothing_of_a_user_becomes_html(metric: MetricType) -> None:
    chart = metrics.plot_models({HOSTILE: metric}, title=HOSTILE)
    for html in (chart._repr_mimebundle_()["text/html"], metric._repr_mimebundle_()["text/html"]):
        page = Tags()
        page.feed(html)
        assert page.found <= {"table", "caption", "thead", "tbody", "tr", "th", "td"}
        assert "&lt;script&gt;" in html


def test_a_long_table_says_what_it_leaves_out() -> None:
    curve = SAMPLES[0]["roc_curve"]
    html = curve._repr_mimebundle_()["text/html"]
    assert f"[20 of {len(curve.rows())} rows]" in html
    assert html.count("<tr>") == 21


def test_models_of_different_types_are_not_drawn_together() -> None:
    with pytest.raises(InvalidInput, match="these are roc_curve, vector"):
        metrics.plot_models({"a": SAMPLES[0]["roc_curve"], "b": SAMPLES[0]["vector"]})
    with pytest.raises(InvalidInput, match="these are none"):
        metrics.plot_models({})


def nested(depth: int) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    for _ in range(depth):
        spec = {"layer": [spec]}
    return spec


LINE = {"data": {"name": "data"}, "mark": "line"}


@pytest.mark.parametrize(
    "spec",
    [
        {**LINE, "data": {"url": "https://example.org/x.json"}},
        {**LINE, "data": {"url": "data.json"}},
        {"layer": [{**LINE, "data": {"url": "//example.org/x"}}]},
        {**LINE, "transform": [{"lookup": "a", "from": {"data": {"url": "x"}, "key": "a"}}]},
        {**LINE, "mark": {"type": "image", "url": "https://example.org/x.png"}},
        {**LINE, "encoding": {"url": {"field": "image"}}},
        {**LINE, "mark": {"type": "point", "href": "https://example.org"}},
        {**LINE, "encoding": {"href": {"value": "javascript:alert(1)"}}},
        {**LINE, "encoding": {"href": {"value": " javascript:alert(1)"}}},
        {**LINE, "encoding": {"href": {"value": "java\nscript:alert(1)"}}},
        {**LINE, "encoding": {"href": {"value": "//example.org"}}},
        {**LINE, "encoding": {"href": {"value": "\\\\example.org"}}},
        {**LINE, "encoding": {"href": {"value": "data:text/html,x"}}},
        {**LINE, "encoding": {"href": {"field": "link"}}},
        {**LINE, "encoding": {"href": {"value": "a", "condition": {"value": "http://b"}}}},
        {**LINE, "config": {"mark": {"href": "http://example.org"}}},
        {**LINE, "params": [{"name": "p", "bind": {"input": "text", "element": "#login"}}]},
        {"layer": [{**LINE, "usermeta": {"embedOptions": {"actions": True}}}]},
        {**LINE, "description": "x" * 100_001},
        {**LINE, "y": float("nan")},
        {**LINE, "mark": object()},
        nested(100_000),
        "line",
        None,
    ],
    ids=range(24),
)
def test_a_chart_that_reaches_out_is_refused(spec: Any) -> None:
    with pytest.raises(InvalidInput):
        screen(spec)


def test_screening_takes_out_what_is_the_hosts() -> None:
    spec = {
        **LINE,
        "$schema": "https://example.org/other.json",
        "usermeta": {"embedOptions": {"loader": {}}},
        "datasets": {"data": [{"x": 1}]},
    }
    assert screen(spec) == LINE


def test_screening_lets_harmless_charts_pass_unchanged() -> None:
    spec = {
        **LINE,
        "encoding": {"href": {"value": "models/3fa9"}, "x": {"field": "url", "type": "nominal"}},
        "params": [{"name": "zoom", "select": "interval", "bind": "scales"}],
        "layer": [{"data": {"values": [{"url": "only a value"}]}, "mark": "rule"}],
    }
    found = screen(spec)
    assert found == spec
    assert found is not spec


def test_a_foreign_chart_is_screened_before_it_is_drawn() -> None:
    class Beacon(metrics.Vector):
        type = "test.beacon"

        @classmethod
        def spec(cls, n_models: int) -> dict[str, Any]:
            return {"data": {"url": "https://example.org"}, "mark": "line"}

    with pytest.raises(InvalidInput, match=r"spec\.data\.url"):
        Beacon([1]).plot()


@pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}])
def test_rows_of_a_foreign_type_must_be_json(value: object) -> None:
    class Odd(metrics.Vector):
        type = "test.odd"

        def rows(self) -> list[dict[str, Any]]:
            return [{"x": value}]

    with pytest.raises(InvalidInput, match=r"The rows of a test\.odd are no JSON"):
        Odd([1]).plot()


def frame(models: int, steps: int = 1, **tags: Sequence[str | None]) -> pd.DataFrame:
    """What `metrics.frame` gives for models that log `auc` at each step."""
    n = models * steps
    index = np.repeat(np.arange(models), steps)
    start = pd.Timestamp("2026-01-01", tz="UTC")
    columns: Mapping[str, Any] = {
        "envelope_id": [f"{i:08x}{i:012x}" for i in index],
        "saved_at": start + pd.to_timedelta(index, unit="h"),
        "name": "auc",
        "step": np.tile(np.arange(steps), models),
        "at": start + pd.to_timedelta(np.arange(n), unit="min"),
        "value": np.arange(n, dtype=float),
        "type": "scalar",
        **{key: np.array(values, dtype=object)[index] for key, values in tags.items()},
    }
    return pd.DataFrame(columns)


def test_over_saving_each_model_has_one_point_its_last() -> None:
    chart = metrics.plot_points(frame(3, steps=5))
    check(chart)
    assert [row["value"] for row in chart.rows] == [4.0, 9.0, 14.0]
    assert chart.rows[0]["saved_at"] == "2026-01-01T00:00:00.000000Z"
    assert chart.note == "3 models · 1 series"
    assert chart.title == "auc"


def test_models_without_the_tag_are_a_series_too() -> None:
    chart = metrics.plot_points(frame(3, region=["US", None, "US"]), split="region")
    assert [row["series"] for row in chart.rows] == ["US", "(no tag)", "US"]
    check(chart)


def test_over_steps_each_model_has_a_line() -> None:
    chart = metrics.plot_points(frame(3, steps=5), x="step")
    check(chart)
    assert {row["series"] for row in chart.rows} == {"00000000", "00000001", "00000002"}
    assert drawn(chart).count('aria-roledescription="line mark"') == 3


def test_many_models_become_medians_with_a_band() -> None:
    models = 60
    points = frame(models, steps=3, region=["US", "UK"] * 30)
    chart = metrics.plot_points(points, x="step", split="region")
    check(chart)
    assert chart.note == "60 models · 2 series · median and p25-p75"
    expected = points.groupby(["region", "step"])["value"]
    found = pd.DataFrame(chart.rows).set_index(["series", "step"])
    assert (found["median"] == expected.median()).all()
    assert (found["p25"] == expected.quantile(0.25)).all()
    assert (found["p75"] == expected.quantile(0.75)).all()
    assert (found["count"] == 30).all()
    svg = drawn(chart)
    assert svg.count('aria-roledescription="area mark"') == 2
    assert svg.count('aria-roledescription="legend"') == 1


def test_medians_only_when_bands_would_hide_each_other() -> None:
    chart = metrics.plot_points(
        frame(60, steps=2, region=list("abcdef") * 10), x="step", split="region"
    )
    assert chart.note.endswith("6 series · medians")
    assert len(chart.spec["layer"]) == 1


def test_a_long_time_is_drawn_in_at_most_200_buckets() -> None:
    chart = metrics.plot_points(frame(25_000))
    check(chart)
    assert len(chart.rows) == 200
    assert sum(row["count"] for row in chart.rows) == 25_000
    assert chart.note.startswith("25000 models")


def test_lines_can_be_asked_for_within_reason() -> None:
    points = frame(60, steps=3)
    assert len(metrics.plot_points(points, x="step", mode="lines").rows) == 180
    with pytest.raises(InvalidInput, match=r"20,001 points are too many.*mode='band'"):
        metrics.plot_points(frame(20_001), mode="lines")
    with pytest.raises(InvalidInput, match="201 series are too many"):
        metrics.plot_points(frame(201, tag=[f"t{i}" for i in range(201)]), split="tag")


def test_several_metrics_are_told_apart() -> None:
    points = pd.concat([frame(2), frame(2).assign(name="loss")])
    assert {row["series"] for row in metrics.plot_points(points).rows} == {"auc", "loss"}
    points["region"] = "US"
    chart = metrics.plot_points(points, split="region")
    assert {row["series"] for row in chart.rows} == {"auc · US", "loss · US"}
    assert chart.title == "auc, loss"


def test_what_cannot_be_drawn_is_counted() -> None:
    points = frame(4)
    points["value"] = [1.0, float("nan"), float("inf"), 2.0]
    chart = metrics.plot_points(points)
    assert [row["value"] for row in chart.rows] == [1.0, 2.0]
    assert "2 of 4 points left out" in chart.note
    check(chart)


@pytest.mark.parametrize(
    ("points", "split", "message"),
    [
        (frame(0), None, "no points to draw"),
        (frame(1).drop(columns=["at", "step"]), None, r"lack at, step: use metrics\.frame"),
        (frame(1), "region", r"lack 'region': use metrics\.frame\(\.\.\., tags="),
    ],
)
def test_nothing_to_draw_says_why(points: pd.DataFrame, split: str | None, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        metrics.plot_points(points, split=split)
