"""Takes the pictures of the pages: `make demo pictures`.

In the Airflow of `make look`, over the demo's store, by Debian's browser: what they show is what
whoever runs the demo sees.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

HERE = Path(__file__).parent
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SIZE = ViewportSize(width=1440, height=900)
PORT = 8877

PAGES = {
    "models": "?columns=rmse&columns=gini",
    "dashboard-time-series": "dashboard?metric=rmse&split=model_family&range=all",
    "dashboard-compare-metrics": "dashboard?view=metrics"
    "&x=metric.gini&y=metric.rmse&color=model_family&shape=segment",
    "dashboard-compare-models": "dashboard?view=models&split=model_family",
    "rules": "rules",
    "rule": "rules/client-ltv",
    "services": "services",
    "service": "services/client-ltv",
    "deployments": "deployments",
    "batch": "batch",
}
TABS = ("overview", "schema", "data", "dependencies", "metrics", "deployments")
DARK = ("models", "dashboard-time-series")


def main(home: Path) -> None:
    """Take every picture by daylight, and a few in the dark."""
    program = shutil.which("chromium") or sys.exit("There is no browser: apt-get install chromium")
    with airflow(home) as (url, password), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        page = visit(browser, url, password, "light")
        for name, path in PAGES.items():
            picture(page, f"{url}/{path}", name)
        page.goto(f"{url}/services/client-ltv")
        links = page.locator("main a[href*='/m/']")
        links.first.wait_for()
        runs, ran_before = (links.nth(at).get_attribute("href") for at in range(2))
        host = url.partition("/plugin")[0]
        for tab in TABS:
            picture(page, f"{host}{runs}?tab={tab}", f"model-{tab}")
        page.goto(f"{host}{ran_before}")
        deploying(page)
        run(page, url)
        page = visit(browser, url, password, "dark")
        for name in DARK:
            picture(page, f"{url}/{PAGES[name]}", f"{name}-dark")
        browser.close()


def visit(browser: Browser, url: str, password: str, scheme: Literal["light", "dark"]) -> Page:
    """A page of somebody who has signed in."""
    page = browser.new_context(viewport=SIZE, color_scheme=scheme, locale="en-GB").new_page()
    page.goto(url)
    page.locator("input[name=username]").fill("admin")
    page.locator("input[name=password]").fill(password)
    page.keyboard.press("Enter")
    page.locator("main h1").wait_for()
    return page


def picture(page: Page, url: str, name: str) -> None:
    """One page, once nothing more is asked and every chart is drawn."""
    page.goto(url)
    page.locator("main :is(h1, h2)").first.wait_for()
    page.wait_for_load_state("networkidle")
    take(page, name)


def take(page: Page, name: str) -> None:
    """What is seen, once it has stopped moving."""
    page.wait_for_timeout(1500)
    page.screenshot(path=HERE / f"{name}.png")


def deploying(page: Page) -> None:
    """The dialog, with what it would do."""
    page.get_by_role("button", name="Deploy…").click()
    page.get_by_role("dialog").get_by_label("Service").fill("client-ltv")
    page.get_by_role("dialog").get_by_text("rollback").first.wait_for()
    take(page, "deploy")


def run(page: Page, url: str) -> None:
    """What a DAG run of Airflow has saved."""
    page.goto(url)
    task = page.get_by_role("link", name="client_ltv_train").last
    href = task.get_attribute("href") or ""
    host = url.partition("/plugin")[0]
    picture(page, f"{host}{href.partition('/tasks/')[0]}/plugin/envelopes", "dag-run")


@contextmanager
def airflow(home: Path) -> Iterator[tuple[str, str]]:
    """The address of the pages in the demo's Airflow, and the password."""
    command = [sys.executable, "-u", "-m", "demo.look", str(home), str(PORT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stdout or ():
                if found := re.search(r"(http\S+) as admin, password (\S+)", line):
                    yield found[1], found[2]
                    break
                sys.stdout.write(line)
        finally:
            process.terminate()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-home").resolve())
