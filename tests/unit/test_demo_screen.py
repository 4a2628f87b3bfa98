"""What the person who starts the demo sees, and what goes to the log instead."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from demo.run import Screen

DAGS = Path(__file__).parents[2] / "dags"


def test_output_of_this_process_and_its_children_goes_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = f"""
import subprocess, sys
from pathlib import Path
from demo.airflow_runs import output_to

print("before")
with output_to(Path({str(log)!r})):
    print("inside")
    print("trouble", file=sys.stderr)
    subprocess.run(["echo", "child"], check=True)
print("after")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=DAGS, check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["before", "after"]
    assert done.stderr == ""
    assert sorted(log.read_text().split()) == ["child", "inside", "trouble"]


def _fail(screen: Screen, error: Exception) -> None:
    with screen.step("Predicting"):
        raise error


def test_a_failed_step_shows_the_error_and_the_end_of_the_log(tmp_path: Path) -> None:
    shown = io.StringIO()
    log = tmp_path / "demo.log"
    log.write_text("".join(f"line {i}\n" for i in range(100)) + "the last [words]\n")
    screen = Screen(Console(file=shown, width=200), log)
    error = ValueError("Java [17] is missing")
    with pytest.raises(ValueError, match="Java"):
        _fail(screen, error)
    screen.failed(error)
    text = shown.getvalue()
    assert "Predicting ... failed" in text
    assert "ValueError: Java [17] is missing" in text
    assert "the last [words]" in text
    assert "line 50\n" not in text
    assert str(log) in text
    assert screen.timings == {}
