"""A 500 MB model in Spark: time to the first row, loads, and memory of all Python processes.

    python -m benchmarks.large_model [--megabytes 500]

Memory is proportional (PSS): a page that several processes map counts once in all. The
same job with a model of no size is the baseline. `local[2]`, Parquet in and out.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import model_envelope as me
from benchmarks import report
from model_envelope.batch.run import SparkOptions

ROWS = 200_000
FILES = 8


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--megabytes", type=int, default=500)
    size = options.parse_args().megabytes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_table(folder / "in")
        client = me.Client(f"sqlite:///{name}/store.sqlite", f"{name}/artifacts")
        predict(client, folder, "direct", 0)  # builds the environment
        rows = [
            predict(client, folder, path, mb) for path in ("direct", "general") for mb in (0, size)
        ]
    baseline = min(row["PSS MB"] for row in rows if not row["model MB"])
    ratios = {
        f"{row['path']}_memory_beyond_baseline_over_model": (row["PSS MB"] - baseline) / size
        for row in rows
        if row["model MB"]
    }
    report.show("large model", rows, **ratios)


def make_table(folder: Path) -> None:
    """Write the input as several files, so that there are several tasks."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(FILES):
        block = {"i": rng.integers(0, 1_000_000, ROWS // FILES)}
        pq.write_table(pa.table(block), folder / f"part-{i}.parquet")


def predict(client: me.Client, folder: Path, path: Any, megabytes: int) -> dict[str, Any]:
    """One batch prediction with a model of some size, all of which is touched."""
    weights = np.ones(max(megabytes * 1_000_000 // 8, 1))

    def model(frame: pd.DataFrame) -> Any:
        return frame["i"].to_numpy() * weights.mean()

    sample = pd.DataFrame({"i": np.arange(10)})
    envelope = client.save_model(model, tags={"canonical_name": "large"}, api_input=sample)
    with highest_pss(envelope.environment.digest) as seen:
        done = client.batch_predict(
            envelope,
            input_table=folder / "in",
            output_table=folder / f"out-{path}",
            path=path,
            batch_rows=5_000,  # many calls, each of which reads all of the model
            spark=SparkOptions(master="local[2]"),
        )
    return {
        "path": path,
        "model MB": megabytes,
        "tasks": done.tasks,
        "Python workers": done.workers,
        "loads": done.loads,
        "predict s": done.seconds["predict"],
        "total s": done.seconds["total"],
        "PSS MB": max(seen),
    }


@contextmanager
def highest_pss(digest: str) -> Iterator[list[float]]:
    """Megabytes of all processes of an environment together, several times a second."""
    seen, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.is_set():
            # Processes are read one after another; a mapping that comes between two of
            # them would count twice, but not in both of two sums.
            seen.append(min(total_pss(digest), total_pss(digest)))
            time.sleep(0.1)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def total_pss(digest: str) -> float:
    """Megabytes of all processes that run by the interpreter of an environment."""
    return sum(pss(folder) for folder in Path("/proc").glob("[0-9]*") if of(folder, digest))


def of(folder: Path, digest: str) -> bool:
    """Whether a process runs by the interpreter of an environment."""
    try:
        first = (folder / "cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return False
    return digest.encode() in first


def pss(folder: Path) -> float:
    """Megabytes of a process, shared pages divided among those who share them."""
    try:
        lines = (folder / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1000


if __name__ == "__main__":
    main()
