"""Asking a live service from its model's page, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import expect

from model_envelope.client.client import Client
from model_envelope.client.envelope import Envelope
from model_envelope.deployment.targets.opening import open_target
from tests.e2e.browser import TOKEN, Visit, serving

pytestmark = pytest.mark.slow


def answering() -> Any:
    """A model whose class is saved by value."""

    class Ltv:
        def predict(self, frame: Any) -> Any:
            """Twice the orders, for those who have a segment."""
            return frame["orders"] * 2

    return Ltv()


@pytest.fixture
def live(shared_cache: Path, tmp_path: Path) -> Iterator[Envelope]:
    """A model that the service `ltv` runs."""
    client = Client(
        store=f"sqlite:///{tmp_path}/store.sqlite",
        artifacts=str(tmp_path / "artifacts"),
        cache=shared_cache,
    )
    sample = pd.DataFrame({"orders": [3, 4], "segment": ["new", None]})
    tags = {"canonical_name": "client_ltv"}
    model = client.save_model(answering().predict, tags=tags, api_input=sample)
    client.deploy(model, "ltv", target="process")
    yield model
    target = open_target("process", client.platform)
    target.route([])
    for running in target.running():
        target.stop(running.release, drain=timedelta(0))


def test_a_row_is_asked_and_answered(visit: Visit, live: Envelope, tmp_path: Path) -> None:
    with serving(tmp_path) as url:
        visitor = visit(url)
        visitor.page.goto(f"{url}/#token={TOKEN}")
        visitor.page.wait_for_url(f"{url}/")
        page = visitor.go(f"/m/{live.id}?tab=functions")
        expect(page.get_by_role("heading", level=1)).to_contain_text("ltv")
        form = page.get_by_role("form", name="Ask the live service")
        # Filled in with what the model was saved with.
        expect(form.get_by_role("textbox", name="segment")).to_have_value("new")
        orders = form.get_by_role("textbox", name="orders")
        orders.fill("a few")
        expect(form).to_contain_text("A whole number is needed.")
        expect(form.get_by_role("button", name="Run")).to_be_disabled()
        # More than JavaScript's numbers hold exactly.
        orders.fill("4503599627370497001")
        form.get_by_role("button", name="Run").click()
        answer = form.get_by_role("status").locator("code")
        expect(answer).to_contain_text("9007199254740994002")
        assert list(json.loads(answer.inner_text()).values()) == [9007199254740994002]
        visitor.accessible()
        page.get_by_role("tab", name="Deployments").click()
        expect(page.get_by_role("tabpanel")).to_contain_text("until now")
