"""Charts by the API: valid, of all matches, counted rightly, the same as in a notebook."""

from __future__ import annotations

import json
import math
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import altair
import jsonschema
import numpy as np
import pandas as pd
import pytest
import vl_convert
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, text

import model_envelope as me
from model_envelope import metrics
from model_envelope.client.dashboard import compare_metrics, time_series
from model_envelope.envelope import EnvelopeRecord, Manifest
from model_envelope.names import new_id
from model_envelope.store.opening import open_store
from model_envelope.store.store import Store
from model_envelope.tag_query import parse
from tests import acme_wheel

Save = Callable[..., EnvelopeRecord]
API = "/api/v1/"
HOSTILE = "<script>alert('x')</script>\"'"
NOW = datetime.now(UTC)


@cache
def schema() -> jsonschema.Draft7Validator:
    folder = Path(altair.__file__).parent / "vegalite" / "v6" / "schema"
    return jsonschema.Draft7Validator(json.loads((folder / "vega-lite-schema.json").read_text()))


def whole(drawn: dict[str, Any]) -> dict[str, Any]:
    columns = drawn["data"]["columns"]
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return {**drawn["spec"], "datasets": {"data": rows}}


def check(drawn: dict[str, Any]) -> None:
    """See that a chart is valid, and that it says how many points it has."""
    spec = whole(drawn)
    rows = spec["datasets"].pop("data")
    schema().validate(spec)
    assert drawn["meta"]["points_sent"] == len(rows) <= 20_000


def picture(drawn: dict[str, Any]) -> str:
    """The SVG that Vega-Lite itself makes of it."""
    check(drawn)
    spec = whole(drawn)
    svg = vl_convert.vegalite_to_svg(json.dumps(spec), vl_version="5.20", allowed_base_urls=[])
    return str(svg)


def log(store: Store, model: EnvelopeRecord, values: dict[str, Any], **when: Any) -> None:
    store.log_metrics(model.id, metrics.points_of(values, **when))


@pytest.fixture
def models(store: Store, save: Save) -> list[EnvelopeRecord]:
    """Twelve models: regions US, UK and none; one without the metric, two not finite."""
    found = []
    for i in range(12):
        tags = {"run": str(i), "a.b[c]": HOSTILE if i % 2 else "plain"}
        region = ("US", "UK", None)[i % 3]
        if region:
            tags["region"] = region
        model = save(tags=tags)
        value = {3: None, 4: math.nan, 5: math.inf}.get(i, i / 10)
        if value is not None:
            log(store, model, {"auc": value, "loss": 2.0 - i / 10})
        store.set_hyperparameters(model.id, {"depth": i, "kind": "tree" if i % 2 else "net"})
        found.append(model)
    return found


def runs(store: Store, service: str, envelope_id: str) -> None:
    """An envelope goes live."""
    target = {"kind": "process", "options": {}}
    wanted = store.want(service, target=target, envelope_id=envelope_id, by="ada")
    fence = store.claim(service, new_id(), timedelta(minutes=1))
    assert fence is not None
    begun = store.begin_deployment(
        service,
        fence,
        new_id(),
        envelope_id=envelope_id,
        by="ada",
        generation=wanted.generation,
    )
    store.go_live(service, fence, begun.id, f"http://host/{service}")


def sql(url: str, statement: str) -> Any:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        found = connection.execute(text(statement)).scalar()
    engine.dispose()
    return found


def test_numbers_are_what_the_database_counts(
    get: Any, models: list[EnvelopeRecord], store_url: str
) -> None:
    drawn = get("viz/time_series", metric="auc", split="region", range="all")
    check(drawn)
    meta = drawn["meta"]
    assert meta["matched"] == sql(store_url, "SELECT count(*) FROM envelope")
    has = "SELECT count(DISTINCT envelope_id) FROM metric WHERE name = 'auc'"
    assert meta["used"] == sql(store_url, f"{has} AND value IS NOT NULL") == 9
    assert meta["lacking"] == {"auc": meta["matched"] - sql(store_url, has)}
    assert meta["not_finite"] == 2
    of_region = f"{has} AND value IS NOT NULL AND envelope_id IN (SELECT envelope_id FROM tag "
    assert {one["name"]: one["models"] for one in meta["series"]} == {
        "(no tag)": 3,
        "UK": sql(store_url, f"{of_region} WHERE key = 'region' AND value = 'UK')"),
        "US": sql(store_url, f"{of_region} WHERE key = 'region' AND value = 'US')"),
    }
    assert meta["points_total"] == meta["points_sent"] == 9


def test_a_series_has_the_same_values_with_and_without_others(
    get: Any, store: Store, save: Save
) -> None:
    for i in range(45):
        model = save(tags={"region": ("US", "UK", "FR")[i % 3]})
        for step in (0, 7, 500):
            log(store, model, {"loss": i * 1.5 + step}, step=step, at=NOW + timedelta(hours=step))

    def us(**asked: Any) -> list[Any]:
        drawn = get("viz/time_series", metric="loss", split="region", mode="band", **asked)
        check(drawn)
        rows = whole(drawn)["datasets"]["data"]
        return [row for row in rows if row["series"] == "US"]

    for x in ("step", "saved_at"):
        every = us(x=x)
        assert every
        assert us(x=x, q="region != 'UK'") == every == us(x=x, q="region == 'US'")


def test_quartiles_are_those_of_all_points(get: Any, store: Store, save: Save) -> None:
    values: dict[tuple[str, int], list[float]] = {}
    chance = np.random.default_rng(1)
    for i in range(60):
        region = ("US", "UK")[i % 2]
        model = save(tags={"region": region})
        for step in range(-2, 3):
            value = float(chance.normal())
            values.setdefault((region, step), []).append(value)
            log(store, model, {"loss": value}, step=step)
    drawn = get("viz/time_series", metric="loss", x="step", split="region")
    assert picture(drawn).count('aria-roledescription="area mark"') == 2
    assert drawn["meta"]["mode"] == "band"
    assert drawn["meta"]["reason"] == "more than 40 lines"
    assert drawn["meta"]["points_total"] == 300
    rows = whole(drawn)["datasets"]["data"]
    assert {(row["series"], row["step"]) for row in rows} == set(values)
    for row in rows:
        of_all = values[row["series"], row["step"]]
        assert row["count"] == len(of_all)
        assert [row["p25"], row["median"], row["p75"]] == pytest.approx(
            np.quantile(of_all, (0.25, 0.5, 0.75))
        )


def test_over_steps_and_time_few_models_have_lines(get: Any, store: Store, save: Save) -> None:
    for i in range(3):
        model = save(tags={"region": "US"})
        for step in range(4):
            log(store, model, {"loss": i + step}, step=step, at=NOW + timedelta(days=step))
    for x in ("step", "at"):
        drawn = get("viz/time_series", metric="loss", x=x)
        assert picture(drawn).count('aria-roledescription="line mark"') == 3
        assert len({row["model"] for row in whole(drawn)["datasets"]["data"]}) == 3
    since = (NOW + timedelta(days=1, hours=1)).isoformat()
    late = get("viz/time_series", metric="loss", x="at", **{"from": since})
    assert late["meta"]["points_total"] == 6


def test_many_models_with_a_point_each_become_medians(
    get: Any, models: list[EnvelopeRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"metric": "auc", "split": "region"}
    assert get("viz/time_series", **asked)["meta"]["mode"] == "lines"
    monkeypatch.setattr(time_series, "MAX_DOTS", 5)
    drawn = get("viz/time_series", **asked)
    check(drawn)
    assert (drawn["meta"]["mode"], drawn["meta"]["used"]) == ("band", 9)
    assert drawn["meta"]["reason"] == "more than 5 points"
    assert sum(drawn["data"]["columns"]["count"]) == 9
    assert get("viz/time_series", mode="lines", **asked)["meta"]["mode"] == "lines"


def test_a_vector_is_drawn_by_its_projections(get: Any, store: Store, save: Save) -> None:
    log(store, save(tags={}), {"folds": [0.1, 0.3, 0.5]})
    drawn = get("viz/time_series", metric="folds")
    check(drawn)
    series = [one["name"] for one in drawn["meta"]["series"]]
    assert series == ["folds.max", "folds.mean", "folds.min"]


def test_an_address_that_names_nothing_shows_the_most(
    get: Any, models: list[EnvelopeRecord], store: Store, save: Save
) -> None:
    found = get("viz/defaults")
    assert found["metric"] == ["auc"]
    assert (found["x"], found["y"]) == ("metric.auc", "metric.loss")
    assert found["split"] in ("a.b[c]", "region")
    chosen = get("viz/time_series")["meta"]["chosen"]
    assert chosen["metric"] == ["auc"]
    assert chosen["split"] == found["split"]
    assert get("viz/time_series", split="none")["meta"]["chosen"]["split"] is None


def test_the_range_is_widened_where_it_would_be_empty(
    get: Any, store: Store, save: Save, new_manifest: Callable[..., Manifest]
) -> None:
    old = new_manifest(created_at=NOW - timedelta(days=200))
    log(store, save(old), {"auc": 1.0})
    since = datetime.fromisoformat(get("viz/time_series")["meta"]["chosen"]["from"])
    assert timedelta(days=364) < NOW - since < timedelta(days=367)
    log(store, save(tags={}), {"auc": 1.0})
    meta = get("viz/time_series")["meta"]
    assert (meta["matched"], meta["outside"]) == (1, 1)
    assert get("viz/time_series", range="all")["meta"]["matched"] == 2
    assert get("viz/time_series", range="300d")["meta"]["matched"] == 2


@pytest.mark.parametrize("path", ["viz/time_series", "viz/compare_metrics"])
def test_nothing_to_draw_says_why(get: Any, store: Store, save: Save, path: str) -> None:
    drawn = get(path)
    assert drawn["spec"] is None
    model = save(tags={})
    asked = {"metric": "auc"} if "time" in path else {"x": "auc", "y": "auc"}
    assert "none has" in get(path, **asked)["meta"]["reason"]
    log(store, model, {"auc": math.nan})
    drawn = get(path, **asked)
    assert drawn["spec"] is None
    assert "finite" in drawn["meta"]["reason"]
    assert drawn["data"] == {"columns": {}}


def test_one_model_and_equal_values_are_drawn(get: Any, store: Store, save: Save) -> None:
    for _ in range(2):
        log(store, save(tags={}), {"auc": 0.5})
        for asked in ({"mode": "band"}, {"mode": "lines"}, {"mode": "auto", "scale": "log"}):
            check(get("viz/time_series", metric="auc", **asked))
        check(get("viz/compare_metrics", x="auc", y="auc"))


def test_a_scatter_has_every_match_that_has_both(get: Any, models: list[EnvelopeRecord]) -> None:
    asked = {"x": "metric.auc", "y": "hyperparameter.depth", "color": "a.b[c]", "shape": "region"}
    drawn = get("viz/compare_metrics", **asked)
    assert HOSTILE not in picture(drawn)
    meta = drawn["meta"]
    assert meta["matched"] == 12
    assert meta["lacking"] == {"metric.auc": 1, "hyperparameter.depth": 0}
    assert (meta["used"], meta["not_finite"]) == (9, 2)
    columns = drawn["data"]["columns"]
    assert set(columns["color"]) == {HOSTILE, "plain"}
    assert set(columns["shape"]) == {"US", "UK", "(no tag)"}
    assert drawn["spec"]["params"] == [{"name": "brush", "select": "interval"}]


def test_a_scatter_has_categories_for_texts(get: Any, models: list[EnvelopeRecord]) -> None:
    drawn = get("viz/compare_metrics", x="hyperparameter.kind", y="auc")
    check(drawn)
    assert drawn["spec"]["encoding"]["x"]["type"] == "nominal"
    assert set(drawn["data"]["columns"]["x"]) == {"tree", "net"}


def test_many_points_become_bins_of_all(
    get: Any, models: list[EnvelopeRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare_metrics, "MAX_SHOWN", 5)
    assert "rect mark" in picture(get("viz/compare_metrics", x="auc", y="loss"))
    for x in ("hyperparameter.depth", "hyperparameter.kind"):
        drawn = get("viz/compare_metrics", x=x, y="loss")
        check(drawn)
        assert drawn["meta"]["mode"] == "bins"
        assert sum(drawn["data"]["columns"]["count"]) == drawn["meta"]["used"] == 11


def test_too_much_is_refused_with_what_to_do(get: Any, store: Store, save: Save) -> None:
    for i in range(201):
        log(store, save(tags={"run": f"r{i}"}), {"auc": i})
    problem = get("viz/time_series", 413, metric="auc", split="run")
    assert problem["code"] == "too_much"
    assert "fewer values" in problem["message"]
    assert len(get("viz/time_series", metric="auc", split="run", q="run != 'r0'")["meta"]["series"])
    assert get("viz/compare_metrics", 413, x="auc", y="auc", shape="run")["code"] == "too_much"
    ids = [one.id for one in store.query(parse("True"), limit=9).records]
    assert get("viz/compare_models", 413, m=ids)["code"] == "too_much"


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("viz/time_series", {"q": "region ==="}),
        ("viz/time_series", {"metric": "a b"}),
        ("viz/time_series", {"metric": "auc", "from": "yesterday"}),
        ("viz/time_series", {"metric": "auc", "from": "2026-01-01T00:00:00"}),
        ("viz/time_series", {"metric": "auc", "from": "0001-01-01T00:00:00+14:00"}),
        ("viz/time_series", {"metric": "auc", "range": "9 days"}),
        ("viz/time_series", {"metric": "auc", "mode": "pie"}),
        ("viz/compare_metrics", {"x": "metric.", "y": "auc"}),
        ("viz/compare_models", {}),
        ("viz/compare_models", {"m": "nobody"}),
    ],
)
def test_what_cannot_be_read_is_refused(get: Any, path: str, asked: dict[str, Any]) -> None:
    assert get(path, 422, **asked)["message"]


@pytest.mark.parametrize(
    "case",
    [
        ("viz/time_series", {"metric": "auc", "split": "region", "range": "all"}, 12),
        ("viz/time_series", {"metric": "auc", "x": "step", "split": "region"}, 11),
        ("viz/compare_metrics", {"x": "auc", "y": "hyperparameter.kind", "color": "a.b[c]"}, 12),
    ],
)
def test_files_hold_every_match_and_python_gives_the_same(  # noqa: PLR0917
    browser: TestClient,
    get: Any,
    models: list[EnvelopeRecord],
    store_url: str,
    tmp_path: Path,
    case: tuple[str, dict[str, Any], int],
) -> None:
    path, asked, rows = case

    def file(format_: str) -> bytes:
        answer = browser.get(API + path, params={**asked, "format": format_})
        assert answer.status_code == 200, answer.text
        assert "attachment" in answer.headers["Content-Disposition"]
        return bytes(answer.content)

    table = pd.read_csv(StringIO(file("csv").decode()))
    columns = pd.read_parquet(BytesIO(file("parquet")))
    assert len(table) == len(columns) == rows
    script = tmp_path / "chart.py"
    script.write_bytes(file("python"))
    try:
        with me.connect(store_url).store:
            names = runpy.run_path(str(script))
    finally:
        me.connect()
    pd.testing.assert_frame_equal(names["frame"], columns)
    assert list(table.columns) == list(columns.columns)
    drawn = get(path, **asked)
    assert json.loads(json.dumps(names["chart"].rows)) == whole(drawn)["datasets"]["data"]
    assert json.loads(json.dumps(names["chart"].spec)) == drawn["spec"]
    assert names["chart"].note.startswith("9 of 12 models")


def test_models_are_compared_by_all_they_share(get: Any, store: Store, save: Save) -> None:
    curve = metrics.RocCurve.from_scores([0, 1, 0, 1], [0.1, 0.9, 0.4, 0.3])
    first = save(tags={"canonical_name": HOSTILE, "region": "US"})
    second = save(tags={"region": "UK"})
    for model, auc in ((first, 0.5), (second, 0.75)):
        log(store, model, {"roc": curve, "auc": auc})
    log(store, first, {"only": curve, "weird": math.nan})
    point = metrics.MetricPoint(name="lift", at=NOW, type="acme.lift", body="{}")
    store.log_many({first.id: [point], second.id: [point]})
    found = get("viz/compare_models", m=[first.id, second.id], baseline=first.id)
    charts = {one["name"]: one for one in found["charts"]}
    assert set(charts) == {"roc", "lift"}
    assert charts["lift"]["type"] == "acme.lift"
    assert "no installed package" in str(charts["lift"]["data"])
    for one in found["charts"]:
        schema().validate(whole(one))
    assert found["meta"]["lacking"] == {"only": [second.id]}
    scalars = {one["name"]: one for one in found["scalars"]}
    assert scalars["auc"]["deltas"] == {second.id: 0.25}
    assert scalars["weird"]["values"] == {first.id: "NaN"}
    rows = {(one["what"], one["name"]): one for one in found["differences"]}
    assert rows["tag", "region"]["values"] == {first.id: "US", second.id: "UK"}
    assert not rows["tag", "region"]["same"]
    assert rows["about", "python"]["same"]
    newest = save(tags={"region": "US"})
    by_region = get("viz/compare_models", split="region")
    assert [one["id"] for one in by_region["models"]] == [newest.id, second.id]
    assert (by_region["meta"]["matched"], by_region["meta"]["used"]) == (3, 2)
    for i in range(9):
        save(tags={"region": f"r{i}"})
    told = get("viz/compare_models", split="region")["meta"]
    assert (told["matched"], told["used"], told["values"]) == (12, 8, 11)
    assert told["note"] == "the newest for 8 of 11 values of region"


def test_a_model_has_others_to_be_compared_with(
    get: Any, store: Store, save: Save, new_manifest: Callable[..., Manifest]
) -> None:
    def saved(days: int, region: str = "US", name: str = "ltv") -> str:
        manifest = new_manifest(created_at=NOW - timedelta(days=days))
        return save(manifest, tags={"canonical_name": name, "region": region}).id

    def others(one: str) -> list[tuple[str, str, str | None]]:
        items = get(f"models/{one}/others")["items"]
        return [(item["why"], item["id"], item["service"]) for item in items]

    old = saved(33)
    saved(30, "UK")  # nearer, but another region's
    saved(30, name="else")
    live, previous, newest = saved(8), saved(1), saved(0)
    for service, one in (("ltv", live), ("own", newest)):
        runs(store, service, one)
    assert others(newest) == [
        ("previous", previous, None),
        ("live", live, "ltv"),
        ("week", live, None),
        ("month", old, None),
    ]
    assert others(old) == [("live", live, "ltv"), ("live", newest, "own")]
    assert others(save(tags={"region": "US"}).id) == []
    get("models/00000000000000000000/others", 404)


def test_whole_numbers_are_written_as_such(get: Any, store: Store, save: Save) -> None:
    for i in range(3):
        model = save(tags={})
        store.set_hyperparameters(model.id, {"depth": i})
        for step in range(3):
            log(store, model, {"auc": i / 3 + step}, step=step)

    def written(axis: str, path: str, **asked: str) -> list[str]:
        svg = picture(get(path, **asked))
        _, _, rest = svg.partition(f'aria-roledescription="axis" aria-label="{axis}')
        return re.findall(r">(-?[\d.,]+)</text>", rest.partition("role-axis-title")[0])

    for mode in ("lines", "band"):
        asked = {"metric": "auc", "x": "step", "mode": mode}
        assert written("X-axis", "viz/time_series", **asked) == ["0", "1", "2"]
    asked = {"x": "hyperparameter.depth", "y": "auc"}
    assert written("X-axis", "viz/compare_metrics", **asked) == ["0", "1", "2"]
    assert "2.0" in written("Y-axis", "viz/compare_metrics", **asked)


def test_one_metric_draws_itself(get: Any, store: Store, save: Save) -> None:
    model = save(tags={})
    curve = metrics.RocCurve.from_scores([0, 1, 0, 1], [0.1, 0.9, 0.4, 0.3])
    log(store, model, {"a.b/roc": curve, "auc": 0.5})
    for name in ("a.b/roc", "auc"):
        drawn = get(f"models/{model.id}/metrics/{name}/chart")
        schema().validate(whole(drawn))
    assert get(f"models/{model.id}/metrics/nothing/chart", 404)


def test_views_are_saved_by_who_may(get: Any, send: Any, browser: TestClient) -> None:
    assert get("views") == {"items": [], "next": None}
    assert browser.put(API + "views/mine", json={"search": "?q="}).status_code in (401, 403)
    saved = send("PUT", "views/weekly%20US", {"search": "?view=time&q=region"})
    assert saved["name"] == "weekly US"
    assert get("views")["items"] == [saved]
    assert saved["search"] == "?view=time&q=region"
    send("DELETE", "views/weekly%20US")
    assert get("views")["items"] == []
    send("DELETE", "views/weekly%20US", status=404)


COMPARE = """
import json, sys
from fastapi.testclient import TestClient
from model_envelope.client.client import Client
from model_envelope.web.alone import alone

client = Client(sys.argv[1])
browser = TestClient(alone(lambda: client), base_url="http://127.0.0.1")
found = browser.get("/api/v1/viz/compare_models", params={"m": sys.argv[2:]}).json()
print(json.dumps(found["charts"]))
"""


def test_a_type_from_another_wheel_draws_itself_and_is_screened(
    sqlite_store_url: str, new_manifest: Callable[..., Manifest], tmp_path: Path
) -> None:
    site = acme_wheel.installed(tmp_path)
    ids = []
    with open_store(sqlite_store_url) as store:
        for gain in (3.0, 2.0):
            manifest = new_manifest()
            store.begin_upload(manifest.id, timedelta(hours=1))
            points = [
                metrics.MetricPoint(
                    name=kind, at=NOW, type=f"acme.{kind}", body=f'{{"gains": [{gain}, 1.0]}}'
                )
                for kind in ("lift", "beacon")
            ]
            store.commit_envelope(
                manifest=manifest,
                manifest_sha256="0" * 64,
                description="",
                tags={},
                save_key=manifest.id,
                metrics=points,
            )
            ids.append(manifest.id)
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPARE, sqlite_store_url, *ids],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    beacon, lift = json.loads(told)
    assert lift["problem"] is None
    schema().validate(whole(lift))
    assert sorted(lift["data"]["columns"]["gain"]) == [1.0, 1.0, 2.0, 3.0]
    assert len(set(lift["data"]["columns"]["model"])) == 2
    assert beacon["spec"] is None
    assert "must not load anything" in beacon["problem"]
