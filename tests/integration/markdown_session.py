"""Run a page's examples from top to bottom, as a reader would: `markdown_session.py page.md`.

Blocks of `python` share one session; blocks of `bash` run in the same folder, where the
first failing command ends the page. A block with `file=NAME` after its language is written
to that file instead, also one of `yaml`. Blocks of any other language are for reading only.
"""

from __future__ import annotations

import linecache
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BLOCK = re.compile(
    r"^```(python|bash|yaml)(?: +file=(\S+))? *\n(.*?)^```", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Example:
    """One block; `line` is where its first line stands in the page."""

    language: str
    file: str | None
    text: str
    line: int


def examples(page: Path) -> Iterator[Example]:
    """The blocks of a page that run, in order."""
    text = page.read_text()
    for found in BLOCK.finditer(text):
        language, file, body = found.groups()
        if language == "yaml" and not file:
            continue
        yield Example(language, file, body, text.count("\n", 0, found.start(3)) + 1)


def run(page: Path) -> None:
    """Run every example of a page.

    Raises:
        Exception: whatever an example raised.
    """
    session: dict[str, Any] = {"__name__": "__main__"}
    for example in examples(page):
        print(f"--- {page.name}:{example.line} {example.language}", flush=True)
        if example.file:
            Path(example.file).parent.mkdir(parents=True, exist_ok=True)
            Path(example.file).write_text(example.text)
        elif example.language == "bash":
            subprocess.run(["bash", "-euo", "pipefail", "-c", example.text], check=True)
        else:
            _run_python(example, f"{page.name}:{example.line}", session)


def _run_python(example: Example, name: str, session: dict[str, Any]) -> None:
    # With its lines known, a traceback shows the failing line of the page.
    lines = example.text.splitlines(keepends=True)
    linecache.cache[name] = (len(example.text), None, lines, name)
    # Running them is the point.
    exec(compile(example.text, name, "exec"), session)  # noqa: S102


if __name__ == "__main__":
    sys.path.insert(0, "")
    run(Path(sys.argv[1]))
