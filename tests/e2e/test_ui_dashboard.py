"""The dashboard in a real browser: charts of all matches, and an address that says it all."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from model_envelope.client.client import Client
from model_envelope.metrics import RocCurve
from tests.e2e.browser import TOKEN, Visit, new_store, serving

pytestmark = pytest.mark.slow

MODELS = 12
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


def drawn(page: Page, many: int = 1) -> None:
    """Waits until so many charts are drawn, and not blank."""
    expect(page.locator(".me-canvas canvas")).to_have_count(many)
    blank = """() => [...document.querySelectorAll(".me-canvas canvas")].some((canvas) => {
        const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size < 3;
    })"""
    page.wait_for_function(f"!({blank})()")


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


def test_what_is_exported_are_all_matches(
    visit: Visit, address: str, models: Client, tmp_path: Path
) -> None:
    page = visit(address).go("/dashboard?metric=rmse")
    drawn(page)
    page.locator("summary").filter(has_text="Export").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV of all rows").click()
    with Path(download.value.path()).open() as file:
        rows = list(csv.DictReader(file))
    assert {row["envelope_id"] for row in rows} == {one.id for one in models.query("True")}
    page.keyboard.press("Escape")
    with page.expect_download() as download:
        page.get_by_role("button", name="PNG").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["time", "metrics", "models&split=region"])
def test_everyone_can_use_it(visit: Visit, address: str, view: str, scheme: str) -> None:
    visitor = visit(address, color_scheme=scheme)
    page = visitor.go(f"/dashboard?view={view}")
    drawn(page)
    visitor.accessible()
    assert page.title() != "hacked"
