"""Every example of the documentation works, in the order in which a reader meets it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
HOW_TO = [page for page in PAGES if page.parent.name == "how-to"]
SESSION = Path(__file__).with_name("markdown_session.py")


@pytest.mark.slow
@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_the_examples_of_a_page_work(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    services = {
        "$POSTGRES_URL": ("POSTGRES_URL", "postgres_url"),
        "$S3_ADDRESS": ("S3_ADDRESS", "s3_address"),
    }
    environment = {}
    for mention, (name, fixture) in services.items():
        if mention in page.read_text():
            environment[name] = str(request.getfixturevalue(fixture))
    folder = tmp_path / "reader"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, str(SESSION), str(page)],
        cwd=folder,
        env={
            **os.environ,
            **environment,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONWARNINGS": "default",
        },
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert f"--- {page.name}:" in done.stdout, "The page has no examples."


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "README.md", ROOT / "CHANGELOG.md"], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)", page.read_text())
    local = [target for target in targets if "://" not in target]
    assert [t for t in local if not (page.parent / t).exists()] == []
