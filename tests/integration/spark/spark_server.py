"""A Spark program that runs one job after another: a session costs more than most tests.

Each `N.job` in the inbox holds the path of a job; its outcome is written as the batch
program writes it. Each `N.sql` holds a statement, whose rows are written to `N.rows`. A
file `stop` ends it.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from model_envelope.spark_jobs.batch_predict import run, write_outcome
from model_envelope.spark_jobs.job import Job


def serve(inbox: Path) -> None:
    """Run what comes in, each job in a thread of its own, until told to stop."""
    spark = SparkSession.builder.getOrCreate()
    (inbox / "ready").touch()
    while not (inbox / "stop").exists():
        for file in sorted(inbox.glob("*.job")):
            path = Path(json.loads(file.read_text()))
            file.unlink()
            threading.Thread(target=answer, args=(spark, path), daemon=True).start()
        for file in sorted(inbox.glob("*.sql")):
            write(file.with_suffix(".rows"), answer_sql(spark, file.read_text()))
            file.unlink()
        time.sleep(0.02)
    spark.stop()


def answer(spark: SparkSession, path: Path) -> None:
    job = Job.read(path)
    try:
        outcome = run(spark, job)
    except BaseException as error:
        told = "".join(traceback.format_exception(error))
        outcome = {"error": {"type": "", "message": told, "traceback": ""}}
    write_outcome(job, outcome)


def answer_sql(spark: SparkSession, statement: str) -> Any:
    try:
        return [list(row) for row in spark.sql(statement).collect()]
    except Exception as error:
        return str(error)


def write(path: Path, content: Any) -> None:
    writing = path.with_suffix(".new")
    writing.write_text(json.dumps(content, default=str))
    writing.rename(path)


if __name__ == "__main__":
    serve(Path(sys.argv[1]).parent)
