"""Charts in a real browser: many points, hostile names, foreign types, and a server that fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, Response, Route, expect

from model_envelope import metrics
from model_envelope.client.client import Client
from model_envelope.envelope import EnvelopeRecord, Manifest
from model_envelope.names import new_id
from tests import acme_wheel
from tests.e2e.browser import Visit, new_store, serving
from tests.e2e.canvas import axis, drawn, point_at

pytestmark = pytest.mark.slow

MODELS, STEPS = 200, 500
NOW = datetime.now(UTC)
SCRIPT = "<img src=x onerror=\"document.title='hacked'\"><script>alert(1)</script>"
SERIES = "**/api/v1/viz/time_series?*"


def answer() -> int:
    return 42


answer.__module__ = "__main__"  # as in a notebook: saved by value


def commit(client: Client, manifest: Manifest, **tags: str) -> EnvelopeRecord:
    """An envelope of a manifest, whose files nobody reads."""
    client.store.begin_upload(manifest.id, timedelta(hours=1))
    return client.store.commit_envelope(
        manifest=manifest,
        manifest_sha256="0" * 64,
        description="",
        tags={"canonical_name": "client_ltv", **tags},
        save_key=manifest.id,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("charts")


@pytest.fixture(scope="module")
def models(folder: Path) -> list[EnvelopeRecord]:
    """Two hundred models with five hundred points each, a model every twelve hours until now."""
    client = new_store(folder)
    manifest = client.save_model(answer, tags={"scratch": "yes"}, api_input=None).record.manifest
    saved = []
    for i in range(MODELS):
        at = NOW - timedelta(hours=12 * (MODELS - 1 - i))
        own = replace(manifest, id=new_id(), created_at=at)
        saved.append(commit(client, own, region=("US", "UK")[i % 2], run=f"r{i}"))
    for i, one in enumerate(saved):
        points = [
            metrics.MetricPoint(
                name="loss", at=NOW, type="scalar", step=step, value=1 / (step + 1) + i % 2 / 10
            )
            for step in range(STEPS)
        ]
        client.store.log_many({one.id: points})
    return saved


@pytest.fixture(scope="module")
def address(folder: Path, models: list[EnvelopeRecord]) -> Iterator[str]:
    with serving(folder) as url:
        yield url


def test_a_hundred_thousand_points_are_drawn_as_quartiles(visit: Visit, address: str) -> None:
    page = visit(address).go("/dashboard?metric=loss&x=step&split=region")
    drawn(page)
    told = page.get_by_role("status").filter(has_text="200 of 201 models")
    expect(told).to_contain_text("stand for 100,000")
    expect(told).to_contain_text("median and p25-p75")


def test_more_points_than_can_be_drawn_leave_the_controls(visit: Visit, address: str) -> None:
    visitor = visit(address)
    visitor.expected.append("413")
    page = visitor.go("/dashboard?metric=loss&x=step&mode=lines")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Too much at once")
    expect(alert).to_contain_text("100,000 points are too many to draw one by one: at most 20,000")
    expect(alert).to_contain_text("narrow the query")
    page.get_by_role("textbox", name="Tag query").fill("run in ('r1', 'r2')")
    page.keyboard.press("Enter")
    drawn(page)
    expect(page.get_by_role("status").filter(has_text="2 of 2 models")).to_be_visible()
    expect(alert).to_have_count(0)


def test_a_refresh_keeps_the_zoom(
    visit: Visit, address: str, folder: Path, models: list[EnvelopeRecord]
) -> None:
    visitor = visit(address)
    answers: list[int] = []

    def note(response: Response) -> None:
        if "/viz/time_series" in response.url:
            answers.append(response.status)

    page = visitor.page
    page.on("response", note)
    page.clock.install()
    visitor.go("/dashboard?q=run+%3D%3D+%27r1%27&metric=loss&x=step&refresh=15")
    drawn(page)
    page.wait_for_function("document.fonts.status === 'loaded'")
    whole = axis(page)
    point_at(page, 0.5, 0.5)
    page.mouse.wheel(0, -300)
    assert axis(page) == whole, "The wheel alone scrolls the page."
    point_at(page, 0.5, 0.5)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    zoomed = axis(page, but=whole)

    def refresh(status: int) -> None:
        answers.clear()
        with page.expect_response(lambda response: "/viz/time_series" in response.url):
            page.clock.fast_forward(16_000)
        assert status in answers

    refresh(304)
    assert axis(page) == zoomed
    client = new_store(folder)
    client.get(models[1].id).log_metrics(loss=0.5, step=STEPS // 2)
    before = page.locator(".me-canvas canvas").screenshot()
    refresh(200)
    while page.locator(".me-canvas canvas").screenshot() == before:
        page.wait_for_timeout(50)
    assert axis(page) == zoomed
    # In other colours the same is looked at.
    page.emulate_media(color_scheme="dark")
    dark = axis(page, but=zoomed)
    point_at(page, 0.5, 0.5)
    page.mouse.dblclick(*middle(page))
    axis(page, but=dark)


def middle(page: Page) -> tuple[float, float]:
    box = point_at(page, 0.5, 0.02)
    return box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.02


def test_what_fails_is_told_and_asked_again(visit: Visit, address: str) -> None:
    visitor = visit(address)
    visitor.expected += ["500", "ERR_INTERNET_DISCONNECTED", "ERR_TIMED_OUT"]
    page = visitor.go("/dashboard?metric=loss&split=region")
    drawn(page)
    alert = page.get_by_role("alert")
    scale = page.get_by_label("Scale")

    def works_again() -> None:
        page.get_by_role("button", name="Retry").first.click()
        expect(alert).to_have_count(0)
        drawn(page)

    proxy = "<html><body>Internal Server Error</body></html>"
    page.route(SERIES, lambda route: route.fulfill(status=500, body=proxy))
    scale.select_option("log")
    expect(alert).to_contain_text("The server answered 500.")
    expect(alert).to_contain_text("What is shown was there")
    drawn(page)  # what was there
    page.unroute(SERIES)
    works_again()

    held: list[Route] = []
    there = threading.Event()

    def hold(route: Route) -> None:
        held.append(route)
        there.set()

    page.route(SERIES, hold)
    scale.select_option("linear")
    expect(page.locator("main [aria-busy='true']")).to_be_visible()
    expect(scale).to_be_enabled()
    assert there.is_set()
    held.pop().abort("timedout")
    expect(alert).to_contain_text("The server did not answer")
    page.unroute(SERIES)
    works_again()

    visitor.offline(True)
    page.get_by_label("Show", exact=True).select_option("band")
    expect(alert.first).to_contain_text("The server did not answer")
    drawn(page)
    visitor.offline(False)
    works_again()


def test_a_model_is_compared_with_last_months(
    visit: Visit, address: str, models: list[EnvelopeRecord]
) -> None:
    newest = models[-1]
    page = visit(address).go(f"/m/{newest.id}")
    page.get_by_text("Compare with…").click()
    page.get_by_role("button", name="About a month older").click()
    chosen = page.get_by_role("list", name="Models that are compared").get_by_role("listitem")
    expect(chosen).to_have_count(2)
    # Of the same region, from thirty days before.
    expect(chosen.first).to_contain_text(models[-1 - 60].id[:8])
    expect(chosen.first).to_contain_text("baseline")
    page.get_by_text("Add", exact=True).click()
    page.get_by_role("button", name="The one before it").click()
    expect(chosen).to_have_count(3)
    expect(chosen.last).to_contain_text(models[-1 - 2].id[:8])
    page.get_by_role("link", name="Choose in the table of models").click()
    expect(page.get_by_role("textbox", name="Tag query")).to_have_value(
        "canonical_name == 'client_ltv'"
    )


@pytest.fixture(scope="module")
def odd_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Models whose names, tags and labels are scripts; and a metric type of another wheel."""
    folder = tmp_path_factory.mktemp("odd")
    client = new_store(folder)
    matrix = metrics.ConfusionMatrix.from_labels([SCRIPT, "b", SCRIPT], [SCRIPT, SCRIPT, "b"])
    for i in range(3):
        tags = {"canonical_name": SCRIPT, SCRIPT: f"{SCRIPT} {i % 2}", "plain": f"{i % 2}"}
        model = client.save_model(answer, tags=tags, api_input=None)
        model.log_metrics({"auc": 0.5 + i / 10, "loss": i, "matrix": matrix})
        model.log_hyperparameters({"kind": f"{SCRIPT} {i}"})
        body = f'{{"gains": [{3 - i}, 1.0]}}'
        foreign = [
            metrics.MetricPoint(name=kind, at=NOW, type=f"acme.{kind}", body=body)
            for kind in ("lift", "beacon")
        ]
        client.store.log_metrics(model.id, foreign)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(acme_wheel.installed(folder)))
        with serving(folder) as url:
            yield url


def harmless(page: Page) -> None:
    assert page.title() != "hacked"
    assert page.locator("main :is(img, script), #vg-tooltip-element :is(img, script)").count() == 0


def test_hostile_names_stay_text(visit: Visit, odd_address: str) -> None:
    page = visit(odd_address).page
    page.on("dialog", lambda dialog: pytest.fail(f"A script ran: {dialog.message}"))
    quoted = SCRIPT.replace(" ", "%20").replace('"', "%22").replace("'", "%27")
    for view, canvases in (
        (f"time&metric=auc&split={quoted}", 1),
        (f"metrics&x=hyperparameter.kind&y=auc&color={quoted}&shape={quoted}", 1),
        (f"models&split={quoted}", 2),
    ):
        page.goto(f"{odd_address}/dashboard?view={view}")
        drawn(page, canvases)
        harmless(page)
        # Along the whole chart, so that some mark is under the mouse.
        tooltip = page.locator("#vg-tooltip-element.visible")
        for place in range(1, 40):
            point_at(page, *((place / 40, 0.5) if canvases > 1 else (0.5, place / 40)))
            if tooltip.count():
                break
        harmless(page)


def test_a_hostile_metric_name_is_refused_as_text(visit: Visit, odd_address: str) -> None:
    visitor = visit(odd_address)
    visitor.expected.append("422")
    page = visitor.go("/dashboard?metric=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E")
    expect(page.get_by_role("alert")).to_contain_text("'<img src=x onerror=alert(1)>' is no metric")
    harmless(page)


def test_a_type_of_another_wheel_draws_itself(visit: Visit, odd_address: str) -> None:
    page = visit(odd_address).go("/dashboard?view=models&split=plain")
    lift = page.get_by_role("figure").filter(has=page.get_by_role("heading", name="lift"))
    drawn(page, 2)
    expect(lift.locator("canvas")).to_be_visible()
    lift.get_by_role("button", name="Table").click()
    expect(lift.get_by_role("columnheader", name="decile")).to_be_visible()
    expect(lift.get_by_role("row")).to_have_count(5)
    expect(page.get_by_text("beacon cannot be drawn")).to_contain_text("must not load anything")
    harmless(page)
