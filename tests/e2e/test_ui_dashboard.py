"""The dashboard in a real browser: charts of all matches, and an address that says it all."""

from __future__ import annotations

import csv
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import expect

from model_envelope.client.client import Client
from model_envelope.metrics import RocCurve
from tests.e2e.browser import TOKEN, Visit, new_store, serving
from tests.e2e.canvas import drawn, has_colour, picture, wait_for_colour

pytestmark = pytest.mark.slow

MODELS = 12
VIEWS = ["time", "metrics", "models&split=region"]
UK, US, US_IN_THE_DARK = "#c2500a", "#007a5a", "#45cfa2"
SCRIPT = "<img src=x onerror=\"document.title='hacked'\">"


def answer() -> int:
    return 42


answer.__module__ = "__main__"  # as in a notebook: saved by value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dashboard")


@pytest.fixture(scope="module")
def models(folder: Path) -> Client:
    """Twelve models of two regions and none; the first has no metric."""
    client = new_store(folder)
    random = np.random.default_rng(7)
    for number in range(MODELS):
        tags = {"canonical_name": "client_ltv", "team": f"team {number}", "note": SCRIPT}
        if number % 3:
            tags["region"] = ("US", "UK")[number % 2]
        model = client.save_model(answer, tags=tags, api_input=None)
        if number == 0:
            continue
        truth = random.random(200) > 0.5
        model.log_metrics(
            {
                "validation_auc": 0.8 + number / 100,
                "rmse": 20.0 - number,
                "roc": RocCurve.from_scores(truth, truth * 0.3 + random.random(200)),
            }
        )
        model.log_hyperparameters({"depth": number % 4})
    return client


@pytest.fixture(scope="module")
def address(folder: Path, models: Client) -> Iterator[str]:
    with serving(folder) as url:
        yield url


def test_it_begins_with_what_most_models_have(visit: Visit, address: str) -> None:
    page = visit(address).go("/dashboard")
    drawn(page)
    expect(page.get_by_label("Split by")).to_have_value("region")
    expect(page.get_by_text("11 of 12 models")).to_be_visible()
    page.get_by_role("button", name="Table").click()
    table = page.get_by_role("region", name="rmse").get_by_role("table")
    expect(table.get_by_text("(no tag)").first).to_be_visible()
    expect(table.get_by_role("row")).to_have_count(12)


def test_the_address_says_it_all(visit: Visit, address: str) -> None:
    page = visit(address).go("/dashboard?q=region+%3D%3D+%27US%27&metric=validation_auc")
    drawn(page)
    page.get_by_label("Scale").select_option("log")
    page.get_by_label("Show", exact=True).select_option("band")
    expect(page.get_by_text("of 4 models")).to_be_visible()
    drawn(page)
    before = page.url
    assert "scale=log" in before
    assert "mode=band" in before
    page.reload()
    drawn(page)
    expect(page.get_by_label("Show", exact=True)).to_have_value("band")
    expect(page.get_by_role("textbox", name="Tag query")).to_have_value("region == 'US'")
    assert page.url == before


def test_an_address_may_ask_nothing(visit: Visit, address: str) -> None:
    asked: list[str] = []
    visitor = visit(address)
    visitor.page.on("request", lambda request: asked.append(request.url))
    page = visitor.go("/dashboard?run=0")
    expect(page.get_by_role("heading", name="Nothing was asked yet")).to_be_visible()
    assert not [url for url in asked if "/viz/" in url]
    page.get_by_role("button", name="Show", exact=True).last.click()
    drawn(page)


def test_what_is_exported_are_all_matches(visit: Visit, address: str, models: Client) -> None:
    page = visit(address).go("/dashboard?metric=rmse")
    drawn(page)

    def export(name: str) -> Path:
        page.locator("summary").filter(has_text="Export").click()
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        page.keyboard.press("Escape")
        return Path(download.value.path())

    matches = {one.id for one in models.query("True")}
    with export("CSV of all rows").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == MODELS
    assert {row["envelope_id"] for row in rows} == matches
    table = pq.read_table(export("Parquet of all rows"))
    assert table.num_rows == MODELS
    assert set(table["envelope_id"].to_pylist()) == matches
    with page.expect_download() as download:
        page.get_by_role("button", name="PNG").click()
    content = Path(download.value.path()).read_bytes()
    assert content.startswith(b"\x89PNG")
    width, height, colours = picture(page, content)
    assert width > 1000
    assert height > 600
    assert colours > 50


def test_models_are_chosen_by_dragging_over_them(visit: Visit, address: str) -> None:
    page = visit(address).go("/dashboard?view=metrics&x=metric.rmse&y=metric.validation_auc")
    drawn(page)
    compare = page.get_by_role("button", name="Compare these (0)")
    expect(compare).to_be_disabled()
    canvas = page.locator(".me-canvas canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    page.mouse.move(box["x"] + 60, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] - 60, steps=8)
    page.mouse.up()
    expect(compare).to_have_count(0)
    compare = page.get_by_role("button", name="Compare these")
    many = int(re.sub(r"\D", "", compare.inner_text()))
    assert 2 <= many <= 8
    compare.click()
    chosen = page.get_by_role("list", name="Models that are compared")
    expect(chosen.get_by_role("listitem")).to_have_count(many)
    drawn(page)
    chosen.get_by_role("button", name="Baseline").first.click()
    numbers = page.get_by_role("region", name="Numbers of the models")
    expect(numbers.get_by_text("(+").first).to_be_visible()
    chosen.get_by_role("button", name="Leave out").first.click()
    expect(chosen.get_by_role("listitem")).to_have_count(many - 1)


def test_every_number_is_what_the_database_counts(
    visit: Visit, address: str, folder: Path, models: Client
) -> None:
    database = sqlite3.connect(folder / "store.sqlite")

    def sql(statement: str) -> int:
        return int(database.execute(statement).fetchone()[0])

    everything = sql("SELECT count(*) FROM envelope")
    has = "SELECT count(DISTINCT envelope_id) FROM metric WHERE name = 'rmse'"
    series = sql("SELECT count(DISTINCT value) FROM tag WHERE key = 'region'") + 1
    teams = sql("SELECT count(DISTINCT value) FROM tag WHERE key = 'team'")
    both = f"{has} AND envelope_id IN (SELECT envelope_id FROM hyperparameter WHERE name = 'depth')"
    time = f"{sql(has)} of {everything} models"
    lacking = f"{everything - sql(has)} without rmse"
    for view, told in {
        "time&metric=rmse&split=region": [time, lacking, f"{sql(has)} points", f"{series} series"],
        "metrics&x=metric.rmse&y=hyperparameter.depth": [
            f"{sql(both)} of {everything} models",
            lacking.replace("rmse", "metric.rmse"),
        ],
        "models&split=team": [
            f"8 of {everything} models",
            f"the newest for 8 of {teams} values of team",
        ],
    }.items():
        page = visit(address).go(f"/dashboard?view={view}")
        for text in told:
            expect(page.get_by_role("status").filter(has_text=text)).to_be_visible()
    database.close()


def test_what_a_series_shows_does_not_depend_on_others(visit: Visit, address: str) -> None:
    page = visit(address).go("/dashboard?metric=rmse&split=region&mode=band")
    drawn(page)
    page.get_by_role("button", name="Table").click()
    rows = page.get_by_role("region", name="rmse").get_by_role("table").locator("tbody tr")
    of_us = rows.filter(has_text="US")
    before = of_us.all_inner_texts()
    assert before
    page.get_by_text("Series (3/3)").click()
    for name in ("UK", "(no tag)"):
        page.get_by_role("checkbox", name=name).uncheck()
    expect(rows.filter(has_text="UK")).to_have_count(0)
    assert rows.all_inner_texts() == of_us.all_inner_texts() == before
    expect(page.get_by_role("status").filter(has_text="11 of 12 models")).to_be_visible()
    page.reload()
    expect(page.get_by_text("Series (1/3)")).to_be_visible()
    page.get_by_label("Show", exact=True).select_option("lines")
    drawn(page)
    # Nor does its colour.
    wait_for_colour(page, US)
    assert not has_colour(page, UK)


def test_too_much_is_told_and_can_be_narrowed(visit: Visit, address: str, models: Client) -> None:
    visitor = visit(address)
    visitor.expected.append("413")
    page = visitor.go("/dashboard?view=metrics&x=rmse&y=validation_auc&shape=team")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("11 shapes are too many to tell apart: at most 8")
    expect(alert).to_contain_text("Take a tag with fewer values, or narrow the query.")
    page.get_by_label("Shape by").select_option("region")
    drawn(page)
    expect(alert).to_have_count(0)

    nine = "".join(f"&m={one.id}" for one in models.query("True", limit=9))
    page = visitor.go(f"/dashboard?view=models{nine}")
    expect(alert).to_contain_text("9 models are too many to compare: at most 8")
    page.get_by_role("button", name="Leave out").first.click()
    expect(page.get_by_role("region", name="Numbers of the models")).to_be_visible()
    expect(alert).to_have_count(0)


def test_the_newest_for_each_value_of_a_tag(visit: Visit, address: str) -> None:
    page = visit(address).go("/dashboard?view=models")
    expect(page.get_by_role("heading", name="Which models?")).to_be_visible()
    page.get_by_label("The newest for each").select_option("region")
    chosen = page.get_by_role("list", name="Models that are compared")
    expect(chosen.get_by_role("listitem")).to_have_count(3)
    expect(page.get_by_role("region", name="What differs")).to_contain_text("team")


def test_a_query_that_cannot_be_read_says_where(visit: Visit, address: str) -> None:
    visitor = visit(address)
    visitor.expected.append("422")
    page = visitor.go("/dashboard?q=region+%3D%3D")
    expect(page.get_by_role("alert").filter(has_text="column")).to_be_visible()
    page.get_by_role("textbox", name="Tag query").fill("region == 'UK'")
    page.keyboard.press("Enter")
    drawn(page)


def test_views_are_kept_under_names(visit: Visit, address: str) -> None:
    page = visit(address).go(f"/dashboard?metric=rmse&mode=band#token={TOKEN}")
    drawn(page)
    page.locator("summary").filter(has_text="Views").click()
    page.get_by_role("button", name="Save this view…").click()
    page.get_by_role("dialog").get_by_label("Name").fill("bands & <b>more</b>")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    page = visit(address).go(f"/dashboard#token={TOKEN}")
    page.locator("summary").filter(has_text="Views").click()
    page.get_by_role("button", name="bands & <b>more</b>", exact=True).click()
    expect(page.get_by_label("Show", exact=True)).to_have_value("band")
    page.get_by_role("button", name="Remove the view bands & <b>more</b>").click()
    expect(page.get_by_text("No view was saved yet.")).to_have_count(1)


def test_charts_follow_the_theme(visit: Visit, address: str) -> None:
    page = visit(address, color_scheme="light").go("/dashboard?metric=rmse&split=region")
    drawn(page)
    wait_for_colour(page, US)
    page.emulate_media(color_scheme="dark")
    wait_for_colour(page, US_IN_THE_DARK)
    assert not has_colour(page, US)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_everyone_can_use_it(visit: Visit, address: str, view: str, scheme: str) -> None:
    visitor = visit(address, color_scheme=scheme)
    page = visitor.go(f"/dashboard?view={view}")
    drawn(page)
    visitor.accessible()
    assert page.title() != "hacked"


@pytest.mark.parametrize("view", VIEWS)
def test_it_fits_narrow_screens_and_large_letters(visit: Visit, address: str, view: str) -> None:
    for width, zoom in ((320, 1), (640, 2)):
        visitor = visit(address, viewport={"width": width, "height": 640}, device_scale_factor=zoom)
        page = visitor.go(f"/dashboard?view={view}")
        canvas = drawn(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        box = canvas.bounding_box()
        assert box
        assert 0.6 * width < box["width"] <= width
        for control in page.locator("main :is(select, summary):visible").all():
            place = control.bounding_box()
            assert place
            assert 0 <= place["x"] < place["x"] + place["width"] <= width, control.inner_text()
        visitor.accessible()
