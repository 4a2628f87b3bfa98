"""A Spark program that repeats one batch job in a warm session: `spark_repeat.py JOB`.

It runs in the model's environment, which has nothing of ours but the runtime archive; the
CPU seconds of this process, its JVM and all Python workers are read from /proc.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession

from model_envelope.spark_jobs.batch_predict import run, write_outcome
from model_envelope.spark_jobs.job import Job

_TICKS = os.sysconf("SC_CLK_TCK")


def main(path: Path, warm: int, times: int, report: Path) -> None:
    """Run the job a few times to warm up, then `times` more; write what each of these cost."""
    job = Job.read(path)
    spark = SparkSession.builder.getOrCreate()
    for _ in range(warm):
        run(spark, job)
    found = []
    for _ in range(times):
        cpu, wall = tree_cpu(), time.perf_counter()
        outcome = run(spark, job)
        found.append([tree_cpu() - cpu, time.perf_counter() - wall])
    report.write_text(json.dumps(found))
    write_outcome(job, outcome)
    spark.stop()


def tree_cpu() -> float:
    """CPU seconds of the session this process belongs to: its children, waited for or not."""
    total, session = 0, os.getsid(0)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            total += sum(map(int, fields[11:15]))
    return total / _TICKS


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        int(os.environ["BENCHMARK_WARM"]),
        int(os.environ["BENCHMARK_TIMES"]),
        Path(os.environ["BENCHMARK_REPORT"]),
    )
