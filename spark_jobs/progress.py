"""A line now and then while Spark works, for whoever reads the task's log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark import SparkContext

_GROUP = "model-envelope"
_SECONDS = 5.0


@contextmanager
def told(
    context: SparkContext, rows: Callable[[], int], say: Callable[[str], None]
) -> Iterator[None]:
    """Say how far the jobs of the block are: tasks done of all, rows, seconds.

    Args:
        context: where the jobs run.
        rows: how many were predicted by the tasks that are done.
        say: takes a line.
    """
    context.setJobGroup(_GROUP, "batch prediction")
    started, done = time.monotonic(), threading.Event()

    def watch() -> None:
        last = ""
        while not done.wait(_SECONDS):
            line = _tasks(context)
            if line and line != last:
                seconds = time.monotonic() - started
                say(f"{line} tasks done, {rows():,} rows predicted after {seconds:.0f} s")
            last = line

    thread = threading.Thread(target=watch, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _tasks(context: SparkContext) -> str:
    tracker = context.statusTracker()
    finished = total = 0
    for job in tracker.getJobIdsForGroup(_GROUP):
        info = tracker.getJobInfo(job)
        for stage_id in info.stageIds if info else ():
            stage = tracker.getStageInfo(stage_id)
            if stage:
                finished += stage.numCompletedTasks
                total += stage.numTasks
    return f"{finished} of {total}" if total else ""
