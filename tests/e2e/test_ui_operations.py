"""Deploying and ruling in a real browser: what would happen is said before, and then happens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pandas as pd
import pytest
from playwright.sync_api import Locator, Page, expect

from model_envelope.client.client import Client
from tests.e2e.browser import TOKEN, Visit, new_store, serving

pytestmark = pytest.mark.slow

CUSTOMERS = pd.DataFrame({"orders": [1, 4, 9], "spend": [20.0, 96.5, 310.0]})
PAGES = ("rules", "services", "deployments", "batch")
MINUTES = 180_000


def save(client: Client, factor: float, **tags: str) -> str:
    """A model that multiplies what was spent."""

    def ltv(customers: pd.DataFrame) -> pd.Series:
        return (customers["spend"] * factor).rename("ltv")

    ltv.__module__ = "__main__"  # as in a notebook: saved by value
    known = {"canonical_name": "client_ltv", "region": "US", **tags}
    return client.save_model(ltv, tags=known, api_input=CUSTOMERS).id


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    made = new_store(tmp_path)
    yield made
    for service in made.services():
        made.undeploy(service.name)


@pytest.fixture
def address(tmp_path: Path, client: Client) -> Iterator[str]:
    assert client.store
    with serving(tmp_path) as url:
        yield url


@pytest.fixture
def visit(address: str, visit: Visit) -> Visit:
    """Closes its pages before their server ends: they might be asking something."""
    return visit


def ltv(url: str) -> float:
    """What a service says of a customer who spent 100."""
    answer = httpx.post(f"{url}/predict", json=[{"orders": 1, "spend": 100.0}], timeout=30)
    ((value,),) = (row.values() for row in answer.raise_for_status().json())
    return float(value)


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


def test_pages_without_anything_teach(visit: Visit, address: str) -> None:
    page = visit(address).go()
    for name, heading in zip(
        PAGES,
        ("No rules yet", "No services yet", "No deployments yet", "No batch predictions yet"),
        strict=True,
    ):
        page.get_by_role("link", name=name.capitalize(), exact=True).click()
        expect(page.get_by_role("heading", name=heading)).to_be_visible()


def test_deploying_replacing_rolling_back_and_ending(
    visit: Visit, address: str, client: Client
) -> None:
    first, second = save(client, 2.0), save(client, 3.0)
    page = visit(address).go(f"/m/{first}#token={TOKEN}")
    page.get_by_role("button", name="Deploy…").click()
    deploy = dialog(page).get_by_role("button", name="Deploy", exact=True)
    expect(deploy).to_be_disabled()
    dialog(page).get_by_label("Service").fill("client-ltv")
    expect(dialog(page).get_by_text("Begins a new service.")).to_be_visible()
    deploy.dblclick()
    expect(dialog(page).get_by_text("live", exact=True)).to_be_visible(timeout=MINUTES)
    expect(dialog(page).get_by_text("golden rows")).to_be_visible()
    assert [one.envelope_id for one in client.deployments("client-ltv")] == [first]

    dialog(page).get_by_role("link", name="See the service client-ltv").click()
    expect(page.get_by_role("heading", name="client-ltv")).to_be_visible()
    expect(page.get_by_text("1 of 1 ready.")).to_be_visible()
    url = client.service("client-ltv").url
    assert url
    assert ltv(url) == 200.0
    expect(page.get_by_role("button", name="Roll back")).to_be_disabled()

    page = visit(address).go(f"/m/{second}#token={TOKEN}")
    page.get_by_role("button", name="Deploy…").click()
    dialog(page).get_by_label("Service").fill("client-ltv")
    replaces = dialog(page).get_by_text(f"Replaces {first[:8]}, which stays available for rollback")
    expect(replaces).to_be_visible()
    deploy = dialog(page).get_by_role("button", name="Deploy", exact=True)
    deploy.click()
    expect(dialog(page).get_by_text("live", exact=True)).to_be_visible(timeout=MINUTES)
    assert ltv(url) == 300.0

    page.goto(f"{address}/services/client-ltv")
    page.get_by_role("button", name="Roll back").click()
    expect(dialog(page).get_by_text(f"Puts back {first[:8]}")).to_be_visible()
    dialog(page).get_by_label("Why").fill("It is too generous")
    dialog(page).get_by_role("button", name="Roll back").click()
    expect(dialog(page).get_by_text("live", exact=True)).to_be_visible(timeout=MINUTES)
    assert ltv(url) == 200.0
    assert client.service("client-ltv").reason == "It is too generous"

    page.goto(f"{address}/services/client-ltv")
    page.get_by_role("button", name="Undeploy").click()
    dialog(page).get_by_role("button", name="Undeploy").click()
    expect(dialog(page).get_by_text("It has ended.")).to_be_visible(timeout=MINUTES)
    assert client.service("client-ltv").live_envelope is None

    page.goto(f"{address}/deployments")
    expect(page.get_by_role("row")).to_have_count(4)
    page.get_by_role("button", name="Steps").last.click()
    expect(dialog(page).get_by_text("golden rows")).to_be_visible()
    assert "open=" in page.url


def test_writing_a_rule(visit: Visit, address: str, client: Client) -> None:
    tested, untested = save(client, 2.0, passes_tests="true"), save(client, 3.0)
    visitor = visit(address)
    visitor.expected.append("422")
    page = visitor.go(f"/rules#token={TOKEN}")
    page.get_by_role("link", name="The newest model that passed its tests").click()
    outlook = page.get_by_role("complementary")
    expect(outlook.get_by_text("1 model matches.")).to_be_visible()
    expect(outlook.get_by_text("would deploy")).to_be_visible()
    expect(outlook.get_by_role("link", name=tested[:8])).to_be_visible()
    expect(outlook.get_by_role("link", name=untested[:8])).to_be_visible()
    expect(outlook.get_by_text("no tag passes_tests")).to_be_visible()

    when = page.get_by_label("When")
    create = page.get_by_role("button", name="Create the rule")
    when.fill("canonical_name = = 'x'")
    expect(page.get_by_role("alert").filter(has_text="column")).to_be_visible()
    expect(create).to_be_disabled()
    when.fill("canonical_name == 'client_ltv'")
    expect(outlook.get_by_text("2 models match.")).to_be_visible()
    expect(outlook.get_by_text("1 of them is passed over.")).to_be_visible()
    create.click()
    expect(page.get_by_role("heading", name="client-ltv")).to_be_visible()
    (rule,) = client.rules()
    assert (rule.revision, rule.spec["when"]) == (1, "canonical_name == 'client_ltv'")
    (decision,) = client.plan().decisions
    assert decision.envelope_id == untested

    page.get_by_label("When").fill("region == 'US'")
    page.get_by_role("button", name="Save as the next revision").click()
    again = page.get_by_role("button", name="Edit it again")
    expect(again).to_be_visible()
    again.click()
    expect(page.get_by_label("When")).to_have_value("canonical_name == 'client_ltv'")
    page.get_by_role("button", name="Save as the next revision").click()
    expect(again).to_have_count(2)
    assert client.rules()[0].revision == 3

    page.get_by_role("button", name="Pause").click()
    dialog(page).get_by_label("Why").fill("the holidays")
    dialog(page).get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused: the holidays.")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    dialog(page).get_by_role("button", name="Resume").click()
    expect(page.get_by_text("Paused: the holidays.")).to_have_count(0)
    page.get_by_role("button", name="Remove").click()
    dialog(page).get_by_role("button", name="Remove").click()
    expect(page.get_by_role("heading", name="No rules yet")).to_be_visible()
    assert client.rules() == ()


def test_two_rules_of_one_service(visit: Visit, address: str, client: Client) -> None:
    save(client, 2.0)
    client.rule("first", when="region == 'US'", service="client-ltv")
    page = visit(address).go(f"/rules/+?template=best#token={TOKEN}")
    outlook = page.get_by_role("complementary")
    expect(outlook).to_contain_text(
        re.compile(r"The rule first\s+decides\s+over client-ltv already")
    )
    expect(page.get_by_role("button", name="Create the rule")).to_be_disabled()


def test_somebody_else_was_faster(visit: Visit, address: str, client: Client) -> None:
    client.rule("ltv", when="region == 'US'", service="client-ltv")
    visitor = visit(address)
    visitor.expected.append("409")
    page = visitor.go(f"/rules/ltv#token={TOKEN}")
    page.get_by_label("When").fill("region == 'UK'")
    client.rule("ltv", when="region == 'DE'", service="client-ltv")
    page.get_by_role("button", name="Save as the next revision").click()
    expect(page.get_by_role("alert").filter(has_text="Changed in the meantime")).to_be_visible()
    assert client.rules()[0].spec["when"] == "region == 'DE'"


def test_who_only_looks_is_told_why_buttons_do_nothing(
    visit: Visit, address: str, client: Client
) -> None:
    client.rule("ltv", when="region == 'US'", service="client-ltv")
    page = visit(address).go("/rules")
    button = page.get_by_role("button", name="New rule")
    expect(button).to_be_disabled()
    expect(button).to_have_attribute("title", re.compile("--token"))
    page.get_by_role("link", name="ltv", exact=True).click()
    expect(page.get_by_role("button", name="Pause")).to_be_disabled()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_can_be_used_by_everyone(
    visit: Visit, address: str, client: Client, scheme: str
) -> None:
    save(client, 2.0)
    client.rule("ltv", when="region == 'US'", service="client-ltv")
    visitor = visit(address, color_scheme=scheme)
    for path in (*PAGES, "rules/ltv", "rules/+"):
        visitor.go(f"/{path}#token={TOKEN}")
        visitor.page.wait_for_load_state("networkidle")
        visitor.accessible()
