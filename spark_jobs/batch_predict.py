"""The program of a batch prediction: `spark-submit … batch_predict.py JOB`.

It runs in the model's environment, reads the job from a file and writes the outcome to
the one that the job names. Functions that travel to workers are all in modules: what is
defined in a main program would travel by value.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from model_envelope.errors import EnvelopeError
from model_envelope.spark_jobs import failures
from model_envelope.spark_jobs.job import Job
from model_envelope.spark_jobs.prediction import predict


def main(path: Path) -> int:
    """Run the job in a file; 0 where its rows were published."""
    job = Job.read(path)
    spark = SparkSession.builder.getOrCreate()
    outcome = run(spark, job)
    write_outcome(job, outcome)
    spark.stop()
    return 1 if "error" in outcome else 0


def run(spark: SparkSession, job: Job) -> dict[str, Any]:
    """The outcome of a job as JSON: `result`, or `error`."""
    try:
        return {"result": predict(spark, job, _say)}
    except (EnvelopeError, PySparkException, Py4JError) as error:
        return {"error": failures.to_json(failures.as_error(error))}


def write_outcome(job: Job, outcome: dict[str, Any]) -> None:
    """Write an outcome to where the job wants it, all at once."""
    writing = Path(job.result).with_suffix(".new")
    writing.write_text(json.dumps(outcome))
    writing.rename(job.result)


def _say(line: str) -> None:
    print(f"model-envelope: {line}", flush=True)  # noqa: T201 - the log is standard output


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="model-envelope: %(message)s", stream=sys.stdout)
    logging.getLogger("py4j").setLevel(logging.ERROR)
    sys.exit(main(Path(sys.argv[1])))
