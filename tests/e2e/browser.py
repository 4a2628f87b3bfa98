"""A real browser, and the pages as `model-envelope ui` serves them.

Whatever a page writes to the console as an error, whatever it throws, and every request to
another host fails the test that saw it.
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

if TYPE_CHECKING:
    from model_envelope.client.client import Client

TOKEN = "for-tests-only"  # noqa: S105
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
UNDISTURBED = Path(__file__).parent / "chromium_undisturbed.py"
AXE = files("axe_playwright_python").joinpath("axe.min.js")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]

expect.set_options(timeout=30_000)

Visit: TypeAlias = "Callable[..., Visitor]"


class Visitor:
    """A page in a browser context of its own, and everything that went wrong on it.

    Attributes:
        page: Playwright's.
        expected: patterns of console errors that the test brings about itself.
    """

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url.rstrip("/")
        self._context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 800}, "accept_downloads": True, **options}
        )
        self._context.grant_permissions(["clipboard-read", "clipboard-write"])
        self._context.set_default_timeout(60_000)
        self.page: Page = self._context.new_page()
        self.expected: list[str] = []
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._asked)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} {message.location.get('url', '')}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:", "blob:", "about:")):
            self.elsewhere.append(request.url)

    def go(self, path: str = "/") -> Page:
        """Open one of our pages, and wait until it shows something."""
        self.page.goto(self.url + path)
        self.page.locator("main h1").first.wait_for(state="attached")
        return self.page

    def signed_in(self, token: str) -> Visitor:
        """As who has logged in to Airflow: its form gives this cookie."""
        self._context.add_cookies([{"name": "_token", "value": token, "url": self.url}])
        return self

    def offline(self, off: bool) -> None:
        """Cut this browser off, or let it back."""
        self._context.set_offline(off)

    def accessible(self, within: str = "html") -> None:
        """Fails if axe finds anything serious in what a CSS selector finds."""
        self.page.evaluate(AXE.read_text())
        options = {"runOnly": {"type": "tag", "values": RULES}}
        asked = [within, options]
        found = self.page.evaluate("([within, options]) => axe.run(within, options)", asked)
        serious = [
            f"{one['id']} ({one['impact']}): {one['help']}\n    "
            + "\n    ".join(node["html"][:200] for node in one["nodes"][:5])
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]
        assert not serious, "\n".join(serious)

    def too_wide(self, within: str = "html") -> list[str]:
        """What stands out of what a CSS selector finds, so that it would have to be scrolled."""
        found: list[str] = self.page.evaluate(
            """(within) => {
                const box = document.querySelector(within);
                const {right} = box.getBoundingClientRect();
                const out = (one) => one.getBoundingClientRect().right > right + 1;
                if (box.scrollWidth <= box.clientWidth) return [];
                return [...box.querySelectorAll("*")].filter(out)
                    .map((one) => one.outerHTML.slice(0, 120));
            }""",
            within,
        )
        return found

    def tab_to(self, name: str, most: int = 80) -> None:
        """Press Tab until something of that name has the focus, and the reader can see that."""
        named = """() => {
            const it = document.activeElement;
            const label = it.labels?.[0]?.innerText ?? it.ariaLabel ?? it.innerText ?? "";
            return [label.trim(), it.matches(":focus-visible")];
        }"""
        passed = []
        for _ in range(most):
            self.page.keyboard.press("Tab")
            label, seen = self.page.evaluate(named)
            if label == name:
                assert seen, f"Nobody sees that {name!r} has the focus"
                return
            passed.append(label)
        raise AssertionError(f"Tab does not lead to {name!r}, only to {passed}")

    def close(self) -> None:
        """Fails if anything went wrong that was not expected."""
        self._context.close()
        surprises = [
            error for error in self.errors if not any(re.search(p, error) for p in self.expected)
        ]
        assert not surprises, surprises
        assert not self.elsewhere, self.elsewhere


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A running browser. While it is there, nothing else has an event loop in this thread."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if not path:
        message = "There is no browser: apt-get install chromium"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=UNDISTURBED, args=list(FLAGS), env={**os.environ, "CHROMIUM": str(path)}
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Visit]:
    """Opens addresses; what went wrong on their pages fails the test at its end."""
    visitors: list[Visitor] = []

    def opened(url: str, **options: Any) -> Visitor:
        visitors.append(Visitor(chromium, url, **options))
        return visitors[-1]

    yield opened
    for visitor in visitors:
        visitor.close()


@contextmanager
def serving(folder: Path, *, token: str | None = TOKEN) -> Iterator[str]:
    """The address of `model-envelope ui` over the store of a folder (see `new_store`)."""
    command = [sys.executable, "-m", "model_envelope.cli", "ui", "--port", "0"]
    environment = {
        **os.environ,
        "MODEL_ENVELOPE_STORE": _store(folder),
        "MODEL_ENVELOPE_ARTIFACTS": str(folder / "artifacts"),
        "MODEL_ENVELOPE_STATE": str(folder / "state"),
    }
    process = subprocess.Popen(
        [*command, "--token", token] if token else command,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield _address(process)
    finally:
        process.kill()
        process.communicate()


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        assert ready.select(timeout=120), "model-envelope ui has not said where it is"
    line = process.stdout.readline()
    found = re.search(r"http://[\d.:]+", line)
    assert found, f"model-envelope ui said {line!r} and not its address"
    return found[0]


def new_store(folder: Path) -> Client:
    """A client of an empty SQLite store below a folder."""
    from model_envelope.client.client import Client

    return Client(
        store=_store(folder),
        artifacts=str(folder / "artifacts"),
        cache=folder / "cache",
        state=folder / "state",
    )


def _store(folder: Path) -> str:
    return f"sqlite:///{folder}/store.sqlite"
