"""One model in a real browser: every tab, changing what may be changed, and looking only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from model_envelope import metrics
from model_envelope.client.client import Client
from model_envelope.client.envelope import Envelope
from tests.e2e.browser import TOKEN, Visit, Visitor, new_store, serving

pytestmark = pytest.mark.slow

TABS = {
    "overview": "Overview",
    "schema": "Schema",
    "data": "Data",
    "dependencies": "Dependencies",
    "metrics": "Metrics",
    "functions": "Query functions",
    "deployments": "Deployments",
    "history": "History",
}


def lifetime_value(weight: float) -> Any:
    """A model whose class is saved by value."""

    class Ltv:
        def predict(self, frame: Any) -> Any:
            """Predict the lifetime value of clients, in US dollars."""
            return frame["recency"] * weight + frame["orders"]

    return Ltv()


def training_data(shift: float) -> pd.DataFrame:
    """Two hundred clients."""
    random = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "recency": random.gamma(2, 30, 200) + shift,
            "orders": random.poisson(4, 200),
            "segment": random.choice(["new", "loyal"], 200),
            "joined": pd.date_range("2026-01-01", periods=200),
            "score": np.where(random.random(200) < 0.1, np.nan, 1.5),
        }
    )


def save(client: Client, number: int) -> Envelope:
    model = client.save_model(
        lifetime_value(number).predict,
        description="Predicts client LTV",
        tags={"canonical_name": "client_ltv", "region": "US", "number": str(number)},
        api_input=training_data(number * 100.0),
    )
    model.log_metrics({"validation_auc": 0.9 + number / 100})
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture(scope="module")
def two_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two-models")


@pytest.fixture(scope="module")
def two(two_folder: Path) -> list[Envelope]:
    """A model and the one after it, which no test changes."""
    client = new_store(two_folder)
    return [save(client, number) for number in range(2)]


@pytest.fixture(scope="module")
def address(two_folder: Path, two: list[Envelope]) -> Iterator[str]:
    with serving(two_folder) as url:
        yield url


def signed_in(visitor: Visitor, path: str) -> Page:
    """The page as who has the token sees it."""
    visitor.page.goto(f"{visitor.url}/#token={TOKEN}")
    visitor.page.wait_for_url(f"{visitor.url}/")
    return visitor.go(path)


def test_every_tab_has_its_own_address(visit: Visit, address: str, two: list[Envelope]) -> None:
    page = visit(address).go(f"/m/{two[1].id}")
    for name, label in TABS.items():
        page.get_by_role("tab", name=label, exact=True).click()
        expect(page.get_by_role("tabpanel", name=label, exact=True)).to_be_visible()
        page.reload()
        expect(page.get_by_role("tab", name=label, exact=True)).to_have_attribute(
            "aria-selected", "true"
        )
        assert page.url.endswith("" if name == "overview" else f"?tab={name}")


def test_an_overview_says_where_it_came_from(
    visit: Visit, address: str, two: list[Envelope]
) -> None:
    page = visit(address).go(f"/m/{two[1].id[:6]}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("client_ltv")
    panel = page.get_by_role("tabpanel")
    expect(panel).to_contain_text("Predicts client LTV")
    expect(panel).to_contain_text(two[1].record.manifest.environment.python)
    panel.get_by_role("link", name=two[0].id[:8]).click()
    page.wait_for_url(f"**/m/{two[0].id}")
    expect(panel).to_contain_text("the first of its name")


def test_data_beside_the_model_before(visit: Visit, address: str, two: list[Envelope]) -> None:
    page = visit(address).go(f"/m/{two[1].id}?tab=data")
    row = page.get_by_role("row").filter(has_text="recency")
    expect(row.locator("svg rect").first).to_be_visible()
    expect(row.locator("svg path")).to_have_count(0)
    page.get_by_role("checkbox", name="Beside the previous model").check()
    expect(row.locator("svg path")).to_have_count(1)
    means = [data["recency"].mean() for data in (training_data(100), training_data(0))]
    expect(row).to_contain_text(f"{means[0]:.1f}")
    expect(row).to_contain_text(f"{means[1]:.4g}")
    expect(page.get_by_role("row").filter(has_text="segment")).to_contain_text("loyal")
    page.reload()
    expect(row.locator("svg path")).to_have_count(1)


def test_metrics_beside_the_model_before(visit: Visit, address: str, two: list[Envelope]) -> None:
    page = visit(address).go(f"/m/{two[1].id}?tab=metrics")
    row = page.get_by_role("row").filter(has_text="validation_auc")
    expect(row).to_contain_text("0.9100")
    expect(row).to_contain_text("0.9000")
    expect(row).to_contain_text("+0.0100")


def test_a_metric_draws_itself(visit: Visit, folder: Path) -> None:
    client = new_store(folder)
    model = save(client, 0)
    roc = metrics.RocCurve.from_scores([0, 1, 0, 1, 1, 0], [0.1, 0.9, 0.3, 0.6, 0.2, 0.4])
    model.log_metrics({"roc": roc})
    with serving(folder) as url:
        visitor = visit(url)
        page = visitor.go(f"/m/{model.id}?tab=metrics")
        chart = page.get_by_role("figure").filter(has_text="roc")
        expect(chart.locator("canvas")).to_be_visible()
        visitor.accessible()
        with page.expect_download() as download:
            chart.get_by_role("button", name="PNG").click()
        picture = download.value.path().read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) > 5_000
        before = page.screenshot()
        page.emulate_media(color_scheme="dark")
        expect(page.locator("html.dark")).to_be_visible()
        expect(chart.locator("canvas")).to_be_visible()
        assert page.screenshot() != before
        chart.get_by_role("button", name="Table").click()
        expect(chart.get_by_role("table").locator("tbody tr")).to_have_count(len(roc.rows()))


def test_packages_begin_with_what_changed(visit: Visit, address: str, two: list[Envelope]) -> None:
    page = visit(address).go(f"/m/{two[1].id}?tab=dependencies")
    packages = two[1].record.manifest.environment.distributions
    expect(page.get_by_role("tabpanel")).to_contain_text(f"The same {len(packages)} packages")
    table = page.get_by_role("table", name="Packages")
    expect(table.locator("tbody tr")).to_have_count(len(packages))


def test_functions_tell_how_they_are_called(
    visit: Visit, address: str, two: list[Envelope]
) -> None:
    page = visit(address).go(f"/m/{two[1].id}?tab=functions")
    panel = page.get_by_role("tabpanel")
    expect(panel).to_contain_text("Predict the lifetime value of clients, in US dollars.")
    expect(panel).to_contain_text("No service runs this model now")


def test_a_looker_is_not_offered_to_change(visit: Visit, address: str, two: list[Envelope]) -> None:
    page = visit(address).go(f"/m/{two[1].id}")
    expect(page.get_by_role("tab", name="Overview")).to_be_visible()
    expect(page.get_by_role("button", name="Edit tags")).to_have_count(0)
    expect(page.get_by_role("button", name="Archive", exact=True)).to_have_count(0)
    expect(page.get_by_role("button", name="Deploy…")).to_be_disabled()


def test_tags_and_description_are_changed_in_place(visit: Visit, folder: Path) -> None:
    client = new_store(folder)
    model = save(client, 0)
    with serving(folder) as url:
        visitor = visit(url)
        page = signed_in(visitor, f"/m/{model.id}")
        page.get_by_role("button", name="Edit tags").click()
        page.get_by_role("textbox", name="Value of region").fill("UK")
        page.get_by_role("button", name="Remove number").click()
        page.get_by_role("button", name="Add a tag").click()
        page.get_by_role("textbox", name="Key of tag 3").fill("champion")
        page.get_by_role("textbox", name="Value of champion").fill("yes")
        page.get_by_role("button", name="Save tags").click()
        expect(page.get_by_role("button", name="champion yes")).to_be_visible()
        tags = {"canonical_name": "client_ltv", "region": "UK", "champion": "yes"}
        assert client.get(model.id).tags == tags

        page.get_by_role("button", name="Edit the description").click()
        page.get_by_role("textbox", name="Description").fill("Better words")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_role("tabpanel")).to_contain_text("Better words")

        page.get_by_role("tab", name="History").click()
        history = page.get_by_role("table", name="History")
        expect(history.locator("tbody tr").first).to_contain_text("changed the description")
        expect(history).to_contain_text("champion")


def test_a_refused_tag_says_why_and_keeps_what_was_typed(visit: Visit, folder: Path) -> None:
    client = new_store(folder)
    model = save(client, 0)
    with serving(folder) as url:
        visitor = visit(url)
        visitor.expected.append("422")
        page = signed_in(visitor, f"/m/{model.id}")
        page.get_by_role("button", name="Edit tags").click()
        page.get_by_role("button", name="Add a tag").click()
        page.get_by_role("textbox", name="Key of tag 4").fill("champion")
        page.get_by_role("button", name="Save tags").click()
        expect(page.get_by_role("alert")).to_contain_text("champion")
        expect(page.get_by_role("textbox", name="Key of tag 4")).to_have_value("champion")
        page.get_by_role("textbox", name="Value of champion").fill("yes")
        page.get_by_role("button", name="Save tags").click()
        expect(page.get_by_role("button", name="champion yes")).to_be_visible()
        assert client.get(model.id).tags["champion"] == "yes"


def test_an_archived_model_says_so_and_comes_back(visit: Visit, folder: Path) -> None:
    client = new_store(folder)
    model = save(client, 0)
    with serving(folder) as url:
        page = signed_in(visit(url), f"/m/{model.id}")
        page.get_by_role("button", name="Archive", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("archived")
        expect(page.get_by_role("button", name="Deploy…")).to_be_disabled()
        assert client.get(model.id).archived
        page.get_by_role("button", name="Take back").click()
        expect(page.get_by_role("heading", level=1)).not_to_contain_text("archived")
        assert not client.get(model.id).archived


def test_a_model_that_is_not_there(visit: Visit, address: str) -> None:
    visitor = visit(address)
    visitor.expected.append("404")
    page = visitor.go("/m/00000000000000000000")
    expect(page.get_by_role("alert")).to_contain_text("Not there")
    page.get_by_role("link", name="Models").click()
    expect(page.get_by_role("table", name="Models").locator("tbody tr")).to_have_count(2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_every_tab(
    visit: Visit, address: str, two: list[Envelope], scheme: str
) -> None:
    visitor = visit(address, color_scheme=scheme)
    page = signed_in(visitor, f"/m/{two[1].id}?against=previous")
    for label in TABS.values():
        page.get_by_role("tab", name=label, exact=True).click()
        expect(page.locator("[aria-busy='true']")).to_have_count(0)
        visitor.accessible()
    page.get_by_role("button", name="Edit tags").click()
    visitor.accessible()
    page.set_viewport_size({"width": 320, "height": 800})
    for label in TABS.values():
        page.get_by_role("tab", name=label, exact=True).click()
        expect(page.locator("[aria-busy='true']")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, label


def test_arrow_keys_go_from_tab_to_tab(visit: Visit, address: str, two: list[Envelope]) -> None:
    page = visit(address).go(f"/m/{two[1].id}")
    page.get_by_role("tab", name="Overview").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Schema")).to_be_focused()
    page.keyboard.press("End")
    expect(page.get_by_role("tab", name="History")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="History")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Overview")).to_be_focused()


def test_going_to_and_fro_keeps_nothing(visit: Visit, address: str, two: list[Envelope]) -> None:
    page = visit(address).go(f"/m/{two[1].id}?tab=metrics")
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable")

    def turn() -> None:
        page.get_by_role("link", name="Models").first.click()
        page.get_by_role("table", name="Models").get_by_role(
            "link", name="client_ltv"
        ).first.click()
        page.get_by_role("tab", name="Metrics").click()
        expect(page.get_by_role("table", name="Scalar metrics")).to_be_visible()

    def kept() -> dict[str, float]:
        devtools.send("HeapProfiler.collectGarbage")
        found = devtools.send("Performance.getMetrics")["metrics"]
        return {one["name"]: one["value"] for one in found}

    for _ in range(4):
        turn()
    before = kept()
    for _ in range(10):
        turn()
    after = kept()
    assert after["Nodes"] < before["Nodes"] * 1.3 + 200
    assert after["JSEventListeners"] < before["JSEventListeners"] * 1.3 + 50
    assert after["JSHeapUsedSize"] < before["JSHeapUsedSize"] * 1.3 + 3e6
