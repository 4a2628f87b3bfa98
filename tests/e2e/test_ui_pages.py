"""What holds on every page with something on it: who can use it, where it fits, what fails."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from model_envelope.client.client import Client
from model_envelope.names import new_id
from tests.e2e.browser import TOKEN, Visit, Visitor, new_store, serving

pytestmark = pytest.mark.slow

CUSTOMERS = pd.DataFrame({"orders": [1, 4, 9], "spend": [20.0, 96.5, 310.0]})
PAGES = {
    "": "Models",
    "rules": "Rules",
    "rules/client-ltv": "client-ltv",
    "rules/+?template=canary": "New rule",
    "services": "Services",
    "services/client-ltv": "client-ltv",
    "services/far-away": "far-away",
    "deployments": "Deployments",
    "batch": "Batch predictions",
}
FAULTS = {
    "500": {
        "status": 500,
        "body": json.dumps({"error": {"message": "OSError.", "hint": "See the log."}}),
    },
    "a proxy's error": {"status": 502, "body": "<html>Bad gateway</html>"},
    "half an answer": {"status": 200, "body": '{"items": ['},
    "no answer": None,
}


def ltv(customers: pd.DataFrame) -> pd.Series:
    return (customers["spend"] * 2.0).rename("ltv")


ltv.__module__ = "__main__"  # as in a notebook: saved by value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Client]:
    """Two models, of which one is live, and everything else that pages show."""
    made = new_store(folder)
    tags = {"canonical_name": "client_ltv", "region": "US", "note": "long-" * 30}
    for number in range(2):
        model = made.save_model(ltv, tags={**tags, "number": str(number)}, api_input=CUSTOMERS)
    made.deploy(model, "client-ltv", target="process")
    made.rule("client-ltv", when="region == 'US'", service="client-ltv")
    far_away(made, model.id)
    request = {"inputs": {"t": "db.clients"}, "output": "db.ltv", "query_function": "predict"}
    for key in ("done", "failed"):
        made.store.start_batch(key, model.id, request)
    made.store.finish_batch("done", {"rows": 42, "seconds": {"total": 1.5}})
    made.store.fail_batch("failed", "The executor died:\n" + "at org.apache.spark " * 40)
    yield made
    made.undeploy("client-ltv")


def far_away(client: Client, envelope_id: str) -> None:
    """A service of another machine, which cannot be reached from here."""
    store, name = client.store, "far-away"
    target = {"kind": "process", "options": {}}
    wish = store.want(name, target=target, envelope_id=envelope_id, by="ada")
    fence = store.claim(name, new_id(), timedelta(hours=1))
    assert fence is not None
    begun = store.begin_deployment(
        name, fence, new_id(), envelope_id=envelope_id, by="ada", generation=wish.generation
    )
    store.add_step(begun.id, fence, "golden rows", "passed", {"rows": 2})
    store.go_live(name, fence, begun.id, "http://127.0.0.1:9")
    store.observe(name, fence, wish.generation)
    store.release_claim(name, fence)


@pytest.fixture(scope="module")
def address(folder: Path, client: Client) -> Iterator[str]:
    with serving(folder) as url:
        yield url


def signed_in(visitor: Visitor) -> Page:
    visitor.page.goto(f"{visitor.url}/#token={TOKEN}")
    visitor.page.wait_for_url(f"{visitor.url}/")
    return visitor.page


def shown(page: Page, url: str, path: str) -> None:
    """Open a page and wait until nothing is awaited."""
    page.goto(f"{url}/{path}")
    expect(page.get_by_role("heading", level=1)).to_contain_text(PAGES[path])
    expect(page.locator("[aria-busy=true]")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_every_page(visit: Visit, address: str, scheme: str) -> None:
    visitor = visit(address, color_scheme=scheme)
    # A log that is gone is an error of one part of one page.
    visitor.expected.append("502.*far-away/logs")
    page = signed_in(visitor)
    for path in PAGES:
        shown(page, address, path)
        visitor.accessible()
        # 640 is 1280 at a zoom of 200 %.
        for width in (640, 320):
            page.set_viewport_size({"width": width, "height": 400})
            assert not visitor.too_wide(), (path, width)
        page.set_viewport_size({"width": 1280, "height": 800})


def test_every_dialog_takes_the_focus_fits_and_gives_it_back(
    visit: Visit, address: str, client: Client
) -> None:
    (model, _) = client.query("canonical_name == 'client_ltv'")
    visitor = visit(address)
    page = signed_in(visitor)
    PAGES[f"m/{model.id}"] = "client_ltv"
    openers = [
        (f"m/{model.id}", "Deploy…", "Service"),
        ("services/client-ltv", "Undeploy", "Why"),
        ("rules/client-ltv", "Pause", "Why"),
        ("rules/client-ltv", "Remove", "Close"),
        ("deployments", "Steps", "Close"),
        ("batch", "Keys", "Close"),
    ]
    for path, opener, first in openers:
        shown(page, address, path)
        button = page.get_by_role("button", name=opener, exact=True).first
        button.focus()
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        expect(dialog.get_by_label(first, exact=True)).to_be_focused()
        if first == "Service":
            page.keyboard.type("client-ltv")
            expect(dialog.get_by_role("status")).to_be_visible()
        expect(dialog.locator("[aria-busy=true]")).to_have_count(0)
        visitor.accessible()
        page.set_viewport_size({"width": 320, "height": 400})
        assert not visitor.too_wide(), opener
        page.set_viewport_size({"width": 1280, "height": 800})
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        expect(button).to_be_focused()


@pytest.mark.parametrize("fault", FAULTS)
def test_what_fails_is_said_and_can_be_asked_again(visit: Visit, address: str, fault: str) -> None:
    visitor = visit(address)
    visitor.expected += ["500", "502", "ERR_TIMED_OUT"]
    page = signed_in(visitor)
    answer: Any = FAULTS[fault]

    def fail(route: Route) -> None:
        if "/session" in route.request.url:
            route.continue_()
        elif answer is None:
            route.abort("timedout")
        else:
            route.fulfill(**answer, headers={"X-Request-Id": "f00d"})

    for path in ("services/client-ltv", "rules/client-ltv", "deployments"):
        page.route("**/api/v1/**", fail)
        page.goto(f"{address}/{path}")
        alert = page.get_by_role("alert").first
        expect(alert).to_contain_text(
            "The server did not answer"
            if answer is None
            else "See the log."
            if fault == "500"
            else f"The server answered {answer['status']}"
        )
        if answer is not None:
            expect(alert).to_contain_text("Request f00d")
        page.unroute("**/api/v1/**")
        # At once: what asks again by itself after a while may be faster than a second click.
        page.get_by_role("button", name="Retry").evaluate_all("all => all.forEach(e => e.click())")
        expect(page.get_by_role("alert")).to_have_count(0)
        expect(page.get_by_role("table").first).to_be_visible()


def test_a_change_that_fails_keeps_what_was_typed(visit: Visit, address: str) -> None:
    visitor = visit(address)
    visitor.expected.append("ERR_INTERNET_DISCONNECTED")
    page = signed_in(visitor)
    shown(page, address, "rules/client-ltv")
    page.get_by_role("button", name="Pause").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Why").fill("the holidays")
    visitor.offline(True)
    dialog.get_by_role("button", name="Pause").click()
    expect(dialog.get_by_role("alert")).to_contain_text("The server did not answer")
    expect(dialog.get_by_label("Why")).to_have_value("the holidays")
    visitor.offline(False)
    dialog.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused: the holidays.")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    dialog.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("Paused: the holidays.")).to_have_count(0)


def test_a_service_that_cannot_be_asked_is_not_called_ill(visit: Visit, address: str) -> None:
    visitor = visit(address)
    visitor.expected.append("502.*far-away/logs")
    page = signed_in(visitor)
    shown(page, address, "services")
    row = page.get_by_role("row").filter(has_text="far-away")
    expect(row.get_by_text("unknown", exact=True)).to_be_visible()
    well = page.get_by_role("row").filter(has_text="client-ltv")
    expect(well.get_by_text("healthy", exact=True).first).to_be_visible()
    row.get_by_role("link", name="far-away", exact=True).click()
    health = section(page, "Health")
    expect(health).to_contain_text("Neither its target nor its URL can be asked from here.")
    expect(health).not_to_contain_text("unhealthy")
    log = section(page, "Log")
    expect(log.get_by_role("alert")).to_contain_text("no release")
    expect(log.get_by_role("button", name="Refresh")).to_be_enabled()
    expect(section(page, "Deployments")).to_contain_text("live")
    expect(page.get_by_role("button", name="Undeploy")).to_be_enabled()


def section(page: Page, title: str) -> Locator:
    heading = page.get_by_role("heading", name=title, exact=True)
    return page.locator("section").filter(has=heading)


def test_going_everywhere_again_and_again_keeps_nothing(visit: Visit, address: str) -> None:
    visitor = visit(address)
    page = signed_in(visitor)
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable")
    navigation = page.get_by_role("navigation", name="Model Envelope")

    def turn() -> None:
        for name in ("Rules", "Services", "Deployments", "Batch", "Models"):
            navigation.get_by_role("link", name=name, exact=True).click()
            expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(f"^{name}"))
            expect(page.get_by_role("table").first).to_be_visible()
            if name == "Deployments":
                page.get_by_role("button", name="Steps").first.click()
                expect(page.get_by_role("dialog")).to_contain_text("golden rows")
                page.keyboard.press("Escape")

    def kept() -> dict[str, float]:
        devtools.send("HeapProfiler.collectGarbage")
        found = devtools.send("Performance.getMetrics")["metrics"]
        return {one["name"]: one["value"] for one in found}

    for _ in range(3):
        turn()
    before = kept()
    for _ in range(8):
        turn()
    after = kept()
    # Flat: not one page's worth more, after forty.
    assert after["Nodes"] < before["Nodes"] * 1.2 + 200
    assert after["JSEventListeners"] < before["JSEventListeners"] * 1.2 + 50
    assert after["JSHeapUsedSize"] < before["JSHeapUsedSize"] * 1.2 + 1e6
