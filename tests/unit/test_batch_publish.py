"""Publishing: a table is wholly old or wholly new, whatever is killed, whenever."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from model_envelope.errors import BatchPredictionFailed, InvalidInput
from model_envelope.spark_jobs import publish

PARTITION = Path("logical_date=2024-01-02")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table with two partitions of two files each."""
    folder = tmp_path / "predictions"
    for name in ("logical_date=2024-01-01", str(PARTITION)):
        (folder / name).mkdir(parents=True)
        for part in "ab":
            (folder / name / f"{part}.parquet").write_text("old")
    return folder


def write(table: Path, content: str, partition: Path | None = PARTITION) -> None:
    with publish.staging(table) as folder:
        staged = folder / "new"
        inner = staged if partition else staged / PARTITION
        inner.mkdir(parents=True)
        for part in "ab":
            (inner / f"{part}.parquet").write_text(content)
        publish.publish(staged, table, partition)


def rows(table: Path) -> dict[str, list[str]]:
    """The visible content by partition, as a reader that skips hidden names finds it."""
    return {
        folder.name: [file.read_text() for file in sorted(folder.iterdir())]
        for folder in (sorted(table.iterdir()) if table.exists() else ())
        if not folder.name.startswith(".")
    }


def left_over(table: Path) -> list[str]:
    workshop = table.parent / f".{table.name}.model-envelope"
    return [entry.name for entry in workshop.iterdir() if entry.name != "lock"]


def killed_at_line(number: int, action: Any) -> bool:
    """Run `action` in a child that is killed at the n-th line of publish.py; False if it ended."""
    pid = os.fork()
    if pid == 0:
        lines = 0

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal lines
            if frame.f_code.co_filename != publish.__file__:
                return None
            if event == "line":
                lines += 1
                if lines == number:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        try:
            action()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


def every_kill(action: Any) -> Iterator[int]:
    number = 1
    while killed_at_line(number, action):
        yield number
        number += 1
    assert number > 30, "the trace saw nothing"


OLD = {"logical_date=2024-01-01": ["old", "old"], str(PARTITION): ["old", "old"]}
NEW = {**OLD, str(PARTITION): ["new", "new"]}


def test_publishes_one_partition_and_leaves_the_others(table: Path) -> None:
    write(table, "new")
    assert rows(table) == NEW
    assert left_over(table) == []


def test_publishes_the_whole_table(table: Path) -> None:
    write(table, "new", partition=None)
    assert rows(table) == {str(PARTITION): ["new", "new"]}


def test_first_run_makes_the_table(tmp_path: Path) -> None:
    write(tmp_path / "deep" / "table", "new")
    write(tmp_path / "other", "new", partition=None)
    assert rows(tmp_path / "deep" / "table") == rows(tmp_path / "other")


@pytest.mark.parametrize("exchange", [True, False])
def test_killed_anywhere_a_partition_is_old_or_new(
    table: Path, exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchange:
        monkeypatch.setattr(publish, "_exchange", lambda *_: False)
    seen = []
    for _ in every_kill(lambda: write(table, "new")):
        found = rows(table)
        if exchange or PARTITION.name in found:
            assert found in (OLD, NEW)
        with publish.staging(table):
            pass
        found = rows(table)
        assert found in (OLD, NEW)
        seen.append(found == NEW)
        assert left_over(table) == []
        write(table, "old")
    assert set(seen) == {True, False}


def test_killed_anywhere_a_whole_table_is_old_or_new(table: Path) -> None:
    new = {str(PARTITION): ["new", "new"]}
    write(table, "old", partition=None)
    old = rows(table)
    seen = []
    for _ in every_kill(lambda: write(table, "new", partition=None)):
        found = rows(table)
        assert found in (old, new)
        seen.append(found == new)
        write(table, "old", partition=None)
        assert left_over(table) == []
    assert set(seen) == {True, False}


def test_rename_that_fails_half_way_is_undone(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "_exchange", lambda *_: False)
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name == "new" and target == table / PARTITION:
            monkeypatch.setattr(Path, "rename", rename)
            raise OSError("disk on fire")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="disk on fire"):
        write(table, "new")
    assert rows(table) in (OLD, NEW)
    assert left_over(table) == []


def test_a_living_run_is_not_swept(table: Path) -> None:
    with publish.staging(table) as mine:
        (mine / "file").write_text("precious")
        write(table, "new")
        assert (mine / "file").read_text() == "precious"
    assert left_over(table) == []


def test_a_failing_run_leaves_the_table_and_nothing_else(table: Path) -> None:
    def fail() -> None:
        with publish.staging(table) as folder:
            (folder / "half").write_text("new")
            raise RuntimeError("the model")

    with pytest.raises(RuntimeError, match="the model"):
        fail()
    assert rows(table) == OLD
    assert left_over(table) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(BatchPredictionFailed, match="Nothing can be written beside"),
        publish.staging(tmp_path / "file" / "table"),
    ):
        pass


@pytest.mark.parametrize(
    ("value", "folder"),
    [
        ("2024-01-02", "2024-01-02"),
        ("2024-01-02T10:30:00Z", "2024-01-02T10%3A30%3A00Z"),
        ("a/../b=c", "a%2F..%2Fb%3Dc"),
        ("50% {x}^", "50%25 %7Bx}%5E"),
        ("ü", "ü"),
        ("", publish.NULL_PARTITION),
        (None, publish.NULL_PARTITION),
    ],
)
def test_partition_folders_are_named_as_spark_names_them(value: str | None, folder: str) -> None:
    assert publish.partition_folder({"k": value}) == Path(f"k={folder}")


def test_only_tables_and_empty_folders_are_written_to(table: Path) -> None:
    publish.check_table_folder(table, suffix=".parquet")
    publish.check_table_folder(table.parent / "new", suffix=".parquet")
    (table / "_SUCCESS").write_text("")
    (table / ".hidden").write_text("")
    publish.check_table_folder(table, suffix=".parquet")
    (table / "letter.txt").write_text("precious")
    with pytest.raises(InvalidInput, match=r"no table: it holds 'letter.txt'"):
        publish.check_table_folder(table, suffix=".parquet")
    with pytest.raises(InvalidInput, match="without partitions"):
        publish.check_table_folder(table / PARTITION, suffix=".parquet")
    with pytest.raises(InvalidInput, match="is a file"):
        publish.check_table_folder(table / "letter.txt", suffix=".parquet")
