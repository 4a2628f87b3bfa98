"""Finding models in a real browser: the query, facets, columns, pages, choosing and exporting."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from model_envelope.client.client import Client
from model_envelope.tag_query import parse
from tests.e2e.browser import TOKEN, Visit, new_store, serving

pytestmark = pytest.mark.slow

MODELS = 60
SCRIPT = "<img src=x onerror=\"document.title='hacked'\"><script>alert(1)</script>"


def answer() -> int:
    return 42


answer.__module__ = "__main__"  # as in a notebook: saved by value


def save(client: Client, number: int, **tags: str) -> str:
    """A small model; every third is of the US, every second of mens."""
    usual = {
        "canonical_name": "client_ltv",
        "region": ("US", "UK", "DE")[number % 3],
        "business_line": ("mens", "womens")[number % 2],
        "odd key": f"it's {number}",
    }
    model = client.save_model(answer, tags=usual | tags, api_input=None)
    model.log_metrics({"validation_auc": 0.9 + number / 1000})
    return model.id


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def models(folder: Path) -> Client:
    """Sixty models, so two pages; none is changed by a test."""
    client = new_store(folder)
    for number in range(MODELS - 1):
        save(client, number)
    many = {f"key_{i:02}": f"value {i}" for i in range(40)}
    save(client, MODELS - 1, note=SCRIPT, long="a very long value " * 20 + "end", **many)
    return client


@pytest.fixture(scope="module")
def address(folder: Path, models: Client) -> Iterator[str]:
    with serving(folder) as url:
        yield url


def search(page: Page, query: str) -> None:
    page.get_by_role("textbox", name="Tag query").fill(query)
    page.keyboard.press("Enter")


def matches(page: Page, many: int, total: int = MODELS) -> None:
    """Waits until the page says so."""
    expect(page.get_by_role("status").filter(has_text="of")).to_have_text(
        f"{many} of {total} models"
    )


def ids(page: Page) -> list[str]:
    links = page.get_by_role("table", name="Models").locator("tbody th a")
    found = [link.get_attribute("href") or "" for link in links.all()]
    return [href.rpartition("/")[2] for href in found]


def parameters(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def test_an_empty_store_teaches_how_to_fill_it(visit: Visit, tmp_path: Path) -> None:
    _ = new_store(tmp_path).store
    with serving(tmp_path) as url:
        page = visit(url).go()
        expect(page.get_by_role("heading", name="No models yet")).to_be_visible()
        page.get_by_role("button", name="Copy the code").click()
        expect(page.get_by_role("status").filter(has_text="Copied")).to_have_count(1)
        copied = page.evaluate("navigator.clipboard.readText()")
    assert len(copied.strip().splitlines()) == 6
    compile(copied, "snippet", "exec")


def test_a_query_lives_in_the_address(visit: Visit, address: str, models: Client) -> None:
    page = visit(address).go()
    matches(page, MODELS)
    search(page, "region == 'US' and metric.validation_auc > 0.93")
    expected = models.count("region == 'US' and metric.validation_auc > 0.93")
    matches(page, expected)
    shown = ids(page)
    assert shown == [one.id for one in models.query(parameters(page)["q"][0])]

    page.reload()
    matches(page, expected)
    assert ids(page) == shown
    page.go_back()
    matches(page, MODELS)
    page.go_forward()
    matches(page, expected)
    expect(page.get_by_role("textbox", name="Tag query")).to_have_value(re.compile("0.93"))


def test_facets_count_filter_and_exclude(visit: Visit, address: str, models: Client) -> None:
    page = visit(address).go("/?q=business_line+%3D%3D+%27mens%27")
    facets = page.get_by_role("complementary", name="Filter by tags")
    us = models.count("business_line == 'mens' and region == 'US'")
    # A facet's own clause does not count: what else there is stays to be seen.
    expect(facets.get_by_role("button", name=re.compile("^womens"))).to_contain_text("30")
    facets.get_by_role("button", name=re.compile("^US")).click()
    matches(page, us)
    assert parameters(page)["q"] == ["business_line == 'mens' and region == 'US'"]
    pressed = facets.get_by_role("button", name=re.compile("^US"))
    expect(pressed).to_have_attribute("aria-pressed", "true")
    pressed.click()
    matches(page, models.count("business_line == 'mens'"))
    facets.get_by_role("button", name=re.compile("^US")).click()
    facets.get_by_role("button", name=re.compile("^UK")).click()
    matches(page, models.count("business_line == 'mens' and region in ('US', 'UK')"))
    facets.get_by_role("button", name=re.compile("^UK")).click()
    facets.get_by_role("button", name=re.compile("^US")).click(modifiers=["Alt"])
    matches(page, models.count("business_line == 'mens' and region != 'US'"))


def test_a_tag_of_any_text_can_be_asked_for(visit: Visit, address: str, models: Client) -> None:
    page = visit(address).go()
    page.get_by_role("button", name="odd key it's 57").click()
    matches(page, 1)
    assert parameters(page)["q"] == [r"tag['odd key'] == 'it\'s 57'"]


def test_a_query_that_cannot_be_read_says_where(visit: Visit, address: str) -> None:
    visitor = visit(address)
    visitor.expected.append("422")
    page = visitor.go()
    search(page, "region == and x")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("column 11")
    caret = alert.locator("pre").inner_text().splitlines()[1]
    assert caret.index("^") == 10
    search(page, "region == 'US'")
    matches(page, 20)
    expect(alert).to_have_count(0)


def test_no_match_names_the_clause_to_leave_out(visit: Visit, address: str) -> None:
    page = visit(address).go()
    search(page, "region == 'US' and business_line == 'kids'")
    expect(page.get_by_role("heading", name="No model matches")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text(
        "Without business_line == 'kids', 20 models would."
    )
    page.get_by_role("button", name="Search without it").click()
    matches(page, 20)


def test_pages_stay_as_they_are_while_models_are_saved(visit: Visit, tmp_path: Path) -> None:
    client = new_store(tmp_path)
    saved = [save(client, number) for number in range(55)][::-1]
    with serving(tmp_path) as url:
        page = visit(url).go()
        matches(page, 55, 55)
        assert ids(page) == saved[:50]
        for number in range(3):
            save(client, number)
        page.get_by_role("button", name="Next").click()
        rows = page.get_by_role("table", name="Models").locator("tbody tr")
        expect(rows).to_have_count(5)
        assert ids(page) == saved[50:]
        page.reload()
        expect(rows).to_have_count(5)
        assert ids(page) == saved[50:]
        page.get_by_role("button", name="Previous").click()
        expect(rows).to_have_count(50)
        matches(page, 58, 58)
        assert ids(page)[3:] == saved[:47]


def test_metrics_as_columns_and_sorting_by_one(visit: Visit, address: str, models: Client) -> None:
    page = visit(address).go("/?q=region+%3D%3D+%27US%27")
    page.get_by_text("Columns", exact=True).click()
    page.get_by_role("checkbox", name="validation_auc").check()
    page.keyboard.press("Escape")
    header = page.get_by_role("columnheader", name="validation_auc")
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "descending")
    first = page.get_by_role("table", name="Models").locator("tbody tr").first
    expect(first).to_contain_text("0.9570")
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "ascending")
    expect(first).to_contain_text("0.9000")
    page.reload()
    expect(header).to_have_attribute("aria-sort", "ascending")


def test_chosen_models_are_compared_by_their_ids(visit: Visit, address: str) -> None:
    page = visit(address).go()
    matches(page, MODELS)
    chosen = ids(page)[:8]
    boxes = page.get_by_role("checkbox", name="Choose")
    for at in range(8):
        boxes.nth(at).check()
    expect(page.get_by_role("button", name="Compare selected (8)")).to_be_enabled()
    expect(boxes.nth(8)).to_be_disabled()
    page.reload()
    expect(boxes.nth(7)).to_be_checked()
    page.get_by_role("button", name="Compare selected (8)").click()
    page.wait_for_url("**/dashboard?**")
    assert parameters(page)["m"] == chosen


def test_the_file_has_all_that_match(visit: Visit, address: str, models: Client) -> None:
    page = visit(address).go("/?columns=validation_auc")
    matches(page, MODELS)
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    with download.value.path().open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [one.id for one in models.query("True")]
    assert rows[0]["tag.note"] == SCRIPT
    assert float(rows[0]["metric.validation_auc"]) == pytest.approx(0.959)


def test_what_users_wrote_stays_text(visit: Visit, address: str) -> None:
    page = visit(address).go("/?q=note")
    matches(page, 1)
    page.get_by_role("button", name="Show 42 more tags").click()
    expect(page.get_by_role("button", name=re.compile("note <img src=x"))).to_be_visible()
    assert "hacked" not in page.title()
    assert page.locator("main img, main script").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 320])
def test_everybody_can_use_it(visit: Visit, address: str, scheme: str, width: int) -> None:
    visitor = visit(address, color_scheme=scheme, viewport={"width": width, "height": 800})
    page = visitor.go("/?q=region+%3D%3D+%27US%27&columns=validation_auc")
    matches(page, 20)
    visitor.accessible()
    # Tables scroll inside their frames; the page itself never does.
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_text("Columns", exact=True).click()
    expect(page.get_by_role("checkbox", name="validation_auc")).to_be_checked()
    visitor.accessible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    visitor.accessible()


def test_with_the_keyboard_alone(visit: Visit, address: str) -> None:
    page = visit(address).go()
    matches(page, MODELS)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_have_count(0)
    page.keyboard.press("/")
    page.keyboard.type("validation")
    page.keyboard.press("Control+A")
    page.keyboard.type("tag['odd key'] == 'it\\'s 4'")
    page.keyboard.press("Enter")
    matches(page, 1)
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('tbody th') !== null"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", name="Overview")).to_be_visible()


def test_colours_follow_the_theme(visit: Visit, address: str) -> None:
    page = visit(address, color_scheme="light").go()
    matches(page, MODELS)
    colour = "getComputedStyle(document.querySelector('.me-table thead th')).backgroundColor"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"{colour} !== {light!r}")


def test_without_an_answer_what_was_there_stays(visit: Visit, address: str) -> None:
    visitor = visit(address)
    visitor.expected.append("ERR_INTERNET_DISCONNECTED")
    page = visitor.go()
    matches(page, MODELS)
    visitor.offline(True)
    search(page, "region == 'US'")
    alert = page.get_by_role("alert").first
    expect(alert).to_contain_text("The server did not answer")
    assert len(ids(page)) == 50
    visitor.offline(False)
    page.get_by_role("button", name="Retry").first.click()
    matches(page, 20)


def test_waiting_does_not_look_like_nothing(visit: Visit, address: str) -> None:
    visitor = visit(address)
    page = visitor.page
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/api/v1/models?*", hold)
    page.goto(address)
    expect(page.get_by_role("status", name="Loading")).to_be_visible()
    expect(page.locator("main [aria-busy='true']")).to_be_visible()
    expect(page.get_by_role("heading", name="No models yet")).to_have_count(0)
    for route in held:
        route.continue_()
    page.unroute("**/api/v1/models?*")
    matches(page, MODELS)
    expect(page.locator("[aria-busy='true']")).to_have_count(0)


def test_a_wrong_token_is_told(visit: Visit, address: str) -> None:
    visitor = visit(address)
    visitor.expected.append("401")
    visitor.page.goto(f"{address}/#token=wrong")
    alert = visitor.page.get_by_role("alert")
    expect(alert).to_contain_text("Session ended")
    expect(alert).to_contain_text("Request")
    visitor.page.goto(f"{address}/?q=region#token={TOKEN}")
    visitor.page.reload()
    matches(visitor.page, MODELS)
    assert visitor.page.url == f"{address}/?q=region"


def test_clicks_write_queries_that_are_read_as_meant(visit: Visit, address: str) -> None:
    values = ["US", "it's", '"', "\\", "a\\'b", "x and y", "(", "é", "日本", "😀"]
    keys = ["region", "class", "archived", "metric", "odd key", "a.b", "é", "9", "it's"]
    page = visit(address).go()
    written = page.evaluate(
        """async ([keys, values]) => {
            const {clauseOf} = await import("/static/app/query-text.js");
            return keys.flatMap((key) => values.map((value) => [key, value, clauseOf(key, value)]));
        }""",
        [keys, values],
    )
    assert len(written) == len(keys) * len(values)
    for key, value, clause in written:
        assert parse(clause) == parse({key: value}), clause


def test_clauses_join_and_leave_queries(visit: Visit, address: str) -> None:
    page = visit(address).go()
    found = page.evaluate(
        """async () => {
            const text = await import("/static/app/query-text.js");
            const {withClause, withPick, clausesOf} = text;
            const us = "region == 'US'";
            return [
                withClause("", us),
                withClause("a or b", us),
                withClause("(a or b)", us),
                withClause("note == 'this or that'", us),
                withClause(`a and ${us}`, us),
                withPick(`a and ${us} and b`, "region", "US", false),
                withPick(`a and ${us} and b`, "region", "it's", false),
                withPick("region in ('US', 'it\\\\'s') and b", "region", "it's", false),
                withPick(us, "region", "US", true),
                withPick("region != 'US'", "region", "US", false),
                withPick("a or b", "region", "US", false),
                clausesOf("band == 'x and y' and (a and b) and tag['and'] in ('p', 'q')"),
            ];
        }"""
    )
    assert found == [
        "region == 'US'",
        "(a or b) and region == 'US'",
        "(a or b) and region == 'US'",
        "note == 'this or that' and region == 'US'",
        "a and region == 'US'",
        "a and b",
        r"a and region in ('US', 'it\'s') and b",
        "region == 'US' and b",
        "region != 'US'",
        "region == 'US'",
        "(a or b) and region == 'US'",
        ["band == 'x and y'", "(a and b)", "tag['and'] in ('p', 'q')"],
    ]
