"""One batch prediction in a Spark session: read, predict, publish, say what happened."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from model_envelope.batch.request import ENVELOPE_ID
from model_envelope.errors import InvalidInput, SchemaError
from model_envelope.runtime import schemas
from model_envelope.runtime.spec import FunctionSpec, Signature
from model_envelope.spark_jobs import direct, general
from model_envelope.spark_jobs.batches import has_fixed_width, rows_at_once
from model_envelope.spark_jobs.direct import Declined
from model_envelope.spark_jobs.footers import null_problems
from model_envelope.spark_jobs.job import Job
from model_envelope.spark_jobs.models import Shipment
from model_envelope.spark_jobs.output_types import storable
from model_envelope.spark_jobs.progress import told
from model_envelope.spark_jobs.sinks import Sink, open_sink
from model_envelope.spark_jobs.sources import Source, open_source
from model_envelope.spark_jobs.statistics import ColumnStatistics, summary
from model_envelope.spark_jobs.tasks import Reports, TaskReport, Work

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_log = logging.getLogger(__name__)

_SAMPLE_ROWS = 4_000
_NO_LIMIT = 2**31 - 1


def predict(spark: SparkSession, job: Job, say: Callable[[str], None]) -> dict[str, Any]:
    """Run a job; gives its result, plain enough for JSON.

    Raises:
        EnvelopeError: something does not fit; the output is as it was.
        Exception: Spark's, where a task failed; see `failures.as_error`.
    """
    started = time.monotonic()
    input_, output = _signatures(job.plan.function)
    source = open_source(spark, job.request, input_)
    kept = [source.schema.field(name) for name in job.request.keep_columns]
    schema = storable(pa.schema([*kept, *schemas.to_schema(output)]), "The output")
    with_envelope = schema.append(pa.field(ENVELOPE_ID, pa.string()))
    with open_sink(spark, job.request, with_envelope).opened() as sink:
        plan, reason = _plan(spark, job, source, sink)
        if plan is not None:
            _refuse_nulls(plan, input_)
        work = _work(spark, job, schema, len(plan.tasks) if plan else 0)
        path = "direct" if plan else "general"
        say(f"Predicting by the {path} path" + (f": {reason}" if reason else ""))
        ready = time.monotonic()
        with told(spark.sparkContext, lambda: _rows(work), say):
            if plan is not None and sink.destination is not None:
                direct.run(spark, plan, work, sink.destination, job.request.batch_rows)
            else:
                _set_batches(spark, source.schema, job.request.batch_rows)
                _run_general(job, source, sink, work)
        predicted = time.monotonic()
        reports = [report for _, report in sorted(work.reports.value.items())]
        counted = _counted(reports)
        sink.publish([file for report in reports for file in report.files], reports)
    ended = time.monotonic()
    say(f"Published {_rows(work):,} rows to {job.request.output.address}")
    return {
        "envelope_id": job.plan.envelope_id,
        "path": path,
        "path_reason": reason,
        "tasks": len(reports),
        "workers": len({report.worker for report in reports if report.rows}),
        "seconds": {
            "prepare": round(ready - started, 3),
            "predict": round(predicted - ready, 3),
            "publish": round(ended - predicted, 3),
            "model": round(sum(report.predicting for report in reports), 3),
        },
        "python": platform.python_version(),
        "spark": spark.version,
        **counted,
    }


def _signatures(spec: FunctionSpec) -> tuple[Signature, Signature]:
    if spec.input is None or spec.output is None:
        raise InvalidInput(f"Query function {spec.name!r} has no signature.")
    return spec.input, spec.output


def _plan(
    spark: SparkSession, job: Job, source: Source, sink: Sink
) -> tuple[direct.Plan | None, str]:
    """How files are divided where rows can go directly, else why they cannot."""
    if job.request.path == "general":
        return None, "as asked for"
    reason = source.why_not_files or sink.why_no_files
    if not reason and source.files_under is not None:
        cores = spark.sparkContext.defaultParallelism
        try:
            return direct.plan(source.files(), source.files_under, source.schema, cores), ""
        except Declined as declined:
            reason = str(declined)
    if job.request.path == "direct":
        raise InvalidInput(f"path='direct' is not possible: {reason}.")
    return None, reason


def _refuse_nulls(plan: direct.Plan, signature: Signature) -> None:
    problems = null_problems(plan.footers, signature)
    if problems:
        raise SchemaError("The input table does not fit what the model takes:", problems=problems)


def _work(spark: SparkSession, job: Job, schema: pa.Schema, tasks: int) -> Work:
    context = spark.sparkContext
    return Work(
        shipment=Shipment(plan=job.plan.to_json(), directory=job.directory),
        keep=job.request.keep_columns,
        schema=schema.serialize().to_pybytes(),
        envelope_id=job.plan.envelope_id,
        sample_rows=max(20, _SAMPLE_ROWS // (tasks or context.defaultParallelism)),
        reports=context.accumulator({}, Reports()),
    )


def _set_batches(spark: SparkSession, schema: pa.Schema, limit: int) -> None:
    rows = rows_at_once(schema, limit)
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", rows)
    # With a limit by bytes Spark adds up sizes at every row, which costs a third of what
    # handing rows to Python costs. Only texts and the like can need one.
    if has_fixed_width(schema):
        spark.conf.set("spark.sql.execution.arrow.maxBytesPerBatch", _NO_LIMIT)
    else:
        spark.conf.unset("spark.sql.execution.arrow.maxBytesPerBatch")


def _run_general(job: Job, source: Source, sink: Sink, work: Work) -> None:
    if sink.destination is not None:
        general.to_files(source.frame(), work, sink.destination)
    else:
        sink.write(general.to_frame(source.frame(), work, job.request.partition_columns))


def _rows(work: Work) -> int:
    return sum(report.rows for report in work.reports.value.values())


def _counted(reports: list[TaskReport]) -> dict[str, Any]:
    input_: dict[str, ColumnStatistics] = {}
    output: dict[str, ColumnStatistics] = {}
    for report in reports:
        for total, columns in ((input_, report.input), (output, report.output)):
            for name, found in columns.items():
                total.setdefault(name, ColumnStatistics(type=found.type)).add(found)
    return {
        "rows": sum(report.rows for report in reports),
        "loads": sum(report.loaded for report in reports),
        "input_statistics": summary(input_, [r.input_sample for r in reports if r.input_sample]),
        "output_statistics": summary(output, [r.output_sample for r in reports if r.output_sample]),
    }
