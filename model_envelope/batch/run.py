"""A batch prediction from the request to the ledger, outside of Spark.

Nothing here unpickles a model: it runs on Spark's Python workers only.
"""

from __future__ import annotations

import fcntl
import json
import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from model_envelope import config, isolation
from model_envelope.artifacts.protocol import ArtifactStore
from model_envelope.batch import settings
from model_envelope.batch.launch import SparkApplication, Submit, check_java, spark_submit
from model_envelope.batch.preflight import check_input
from model_envelope.batch.request import BatchRequest
from model_envelope.envelope import EnvelopeRecord
from model_envelope.environment.pack import pack
from model_envelope.environment.provenance import airflow_task
from model_envelope.errors import (
    BatchPredictionFailed,
    InvalidInput,
    StoreError,
    StoreUnavailable,
)
from model_envelope.runtime.loading import LoadPlan
from model_envelope.runtime.spec import FunctionSpec, Signature
from model_envelope.shipping import runtime_archive
from model_envelope.spark_jobs.failures import from_json
from model_envelope.spark_jobs.job import Job, shipped_name
from model_envelope.spark_jobs.leases import leased_folder
from model_envelope.store.store import Store

_log = logging.getLogger(__name__)

_PATIENCE = (1.0, 4.0, 15.0, 60.0)
"""Seconds between tries to record what was done while the store is away."""

PythonEnvironment = Literal["isolated", "current"]
"""`isolated`: the model's own environment, built here and sent to the executors; `current`:
the interpreter that `spark_conf` names, or this one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchPrediction:
    """What came of a batch prediction.

    `path` is the way rows went, `path_reason` why it was not the direct one. `loads` counts
    how often the model was loaded, by `workers` Python processes. Statistics are by column,
    in the form of `Manifest.statistics`; `seconds` are durations by step.
    """

    run_key: str
    envelope_id: str
    output_table: str
    logical_date: str
    rows: int
    path: str
    path_reason: str
    tasks: int
    workers: int
    loads: int
    seconds: Mapping[str, float]
    input_statistics: Mapping[str, Any] = field(repr=False)
    output_statistics: Mapping[str, Any] = field(repr=False)
    python: str
    spark: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SparkOptions:
    """How Spark is started.

    Args:
        master: its master URL; `MODEL_ENVELOPE_SPARK_MASTER` unless given.
        conf: its configuration; wins over the defaults of this package.
        jars: further jars, such as a JDBC driver's.
        environment: see `PythonEnvironment`.
        submit: what starts it: spark-submit here unless given, Airflow's hook in Airflow.
    """

    master: str | None = None
    conf: Mapping[str, str] = field(default_factory=dict, repr=False)
    jars: Sequence[str | Path] = ()
    environment: PythonEnvironment = "isolated"
    submit: Submit = spark_submit


class Places(Protocol):
    """Where envelopes, their files and what can be made again are; a `Client` has them."""

    @property
    def store(self) -> Store:
        """The database."""
        ...

    @property
    def artifacts(self) -> ArtifactStore:
        """The models' files."""
        ...

    @property
    def cache(self) -> Path:
        """Built environments."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class _Prepared:
    request: BatchRequest
    plan: LoadPlan
    directory: Path
    conf: Mapping[str, str] = field(repr=False)


def batch_predict(
    places: Places,
    find: Callable[[], EnvelopeRecord],
    request: BatchRequest,
    *,
    spark: SparkOptions,
    max_age: timedelta | None = None,
    allow_row_dependent: bool = False,
) -> BatchPrediction:
    """Predict a table by Spark.

    The first try of a run settles which envelope it is; a retry, by its run key, takes the
    same one, whatever matches by then.

    Args:
        places: what it reads and writes besides tables.
        find: gives the envelope for a first try.
        request: what to predict and where to.
        spark: how Spark is started.
        max_age: refuse an envelope that is older, by the clock of who saved it.
        allow_row_dependent: predict although an answer depends on the rows around it.

    Raises:
        EnvelopeNotFound: nothing matches, or the run's envelope was deleted.
        InvalidInput, SchemaError: input, output and model do not fit; nothing was started.
        EnvironmentNotBuildable: the model's environment cannot be made.
        MissingDependency: there is no Spark or no Java.
        ArtifactError: a file of the model is missing or not what was saved.
        PredictionFailed: the model raised.
        BatchPredictionFailed: Spark failed. In every case the output is as it was.
    """
    started = datetime.now(UTC)
    conf = settings.configuration(
        request,
        spark.conf,
        master=spark.master or spark.conf.get("spark.master") or config.spark_master(),
        jars=spark.jars,
    )
    record = _pinned(places, request) or find()
    _check_age(record, max_age, started)
    plan = isolation.load_plan(record, request.query_function)
    check_input(request, _takes_tables(plan.function, allow_row_dependent))
    if spark.submit is spark_submit:
        check_java()
    prepared = _Prepared(
        request=request,
        plan=plan,
        directory=isolation.fetch(places.artifacts, plan),
        conf=_with_environment(places, record, conf, spark.environment),
    )
    pinned = places.store.start_batch(
        request.run_key, record.id, request.described(), airflow_task()
    )
    if pinned.envelope_id != record.id:  # another try of this run was faster
        raise BatchPredictionFailed(
            f"Run {request.run_key!r} was started at the same moment with envelope "
            f"{pinned.envelope_id}; try again."
        )
    try:
        with _catalog_to_itself(conf, spark.conf):
            outcome = _in_spark(prepared, places.cache, spark.submit)
        result = _result(request, outcome, started)
    except BaseException as error:
        # What went wrong with the run is told, not what then went wrong with its record.
        with suppress(StoreError):
            places.store.fail_batch(request.run_key, f"{type(error).__name__}: {error}")
        raise
    _record(places.store, result, record)
    return result


def _record(store: Store, result: BatchPrediction, record: EnvelopeRecord) -> None:
    """Record a run that is done: its table is there, so a store that is away is waited for."""
    finish = partial(store.finish_batch, result.run_key, _ledger(result, record))
    for pause in _PATIENCE:
        try:
            finish()
        except StoreUnavailable as error:
            _log.warning("The store is away, trying again in %g s: %s", pause, error)
            time.sleep(pause)
        else:
            return
    try:
        finish()
    except StoreUnavailable as error:
        error.add_note(
            f"{result.output_table} is complete; only the record of it is missing. The same run "
            f"again (run_key={result.run_key!r}) writes the same rows and records it."
        )
        raise


def _pinned(places: Places, request: BatchRequest) -> EnvelopeRecord | None:
    runs = places.store.batch_predictions(run_key=request.run_key)
    return places.store.get(runs[0].envelope_id) if runs else None


def _check_age(record: EnvelopeRecord, max_age: timedelta | None, now: datetime) -> None:
    age = now - record.created_at
    if max_age is not None and age > max_age:
        raise BatchPredictionFailed(
            f"Envelope {record.id} was saved {age.days} days ago, on {record.created_at:%Y-%m-%d}; "
            f"max_age is {max_age}. Save a newer model, or raise max_age. Nothing was predicted."
        )


def _takes_tables(spec: FunctionSpec, row_dependent: bool) -> Signature:
    """The input of a function that can be given a table in parts."""
    if spec.input is None or spec.output is None:
        raise InvalidInput(
            f"Query function {spec.name!r} was saved without api_input, so it cannot be given a "
            "table. Save the model again with a sample of its input."
        )
    if spec.row_independent is False and not row_dependent:
        raise InvalidInput(
            f"Query function {spec.name!r} gave other answers for a row alone than among "
            "others when it was saved; Spark cuts tables into parts. If that is meant, say "
            "allow_row_dependent=True."
        )
    return spec.input


def _with_environment(
    places: Places, record: EnvelopeRecord, conf: dict[str, str], chosen: PythonEnvironment
) -> dict[str, str]:
    if chosen == "current":
        own = {
            "spark.pyspark.python": sys.executable,
            "spark.pyspark.driver.python": sys.executable,
        }
        return own | conf
    if chosen != "isolated":
        raise InvalidInput(f"environment={chosen!r}: use 'isolated' or 'current'.")
    for key in ("spark.pyspark.python", "spark.pyspark.driver.python"):
        if key in conf:
            raise InvalidInput(f"spark_conf[{key!r}] is for environment='current'.")
    environment = record.manifest.environment
    built = isolation.ensure_environment(places.store, environment, places.cache)
    archive = None if _is_local(conf) else pack(built)
    return settings.with_python(conf, built.python, archive)


def _in_spark(prepared: _Prepared, cache: Path, submit: Submit) -> dict[str, Any]:
    """Run a job by Spark; gives what its program says of it."""
    # For what goes to Spark and comes back; the job may hold credentials.
    with leased_folder(cache / "jobs", mode=0o700) as folder:
        result = folder / "result.json"
        application = _application(prepared, runtime_archive(cache), folder, result)
        _log.info("Starting Spark at %s", application.master)
        try:
            submit(application)
        except Exception:
            # What the program says of itself is closer to the cause.
            if result.exists():
                _read(result)
            raise
        return _read(result)


def _application(
    prepared: _Prepared, archive: Path, folder: Path, result: Path
) -> SparkApplication:
    request, plan, conf = prepared.request, prepared.plan, prepared.conf
    here = _is_local(conf)
    directory = str(prepared.directory) if here else None
    job = Job(request=request, plan=plan, directory=directory, result=str(result))
    job.write(folder / "job.json")
    return SparkApplication(
        name=f"model-envelope {plan.envelope_id} {request.logical_date}",
        program=_program(folder),
        arguments=(str(folder / "job.json"),),
        py_files=(archive,),
        conf=conf if here else {**conf, "spark.files": _files(prepared, folder)},
    )


def _read(result: Path) -> dict[str, Any]:
    try:
        outcome = json.loads(result.read_text())
    except FileNotFoundError as error:
        raise BatchPredictionFailed(
            "Spark ended without an outcome: see its log. The output is as it was."
        ) from error
    if "error" in outcome:
        raise from_json(outcome["error"])
    found: dict[str, Any] = outcome["result"]
    return found


def _program(folder: Path) -> Path:
    """The main program by itself: beside its modules it would hide the standard library's."""
    from model_envelope import spark_jobs

    source = Path(spark_jobs.__path__[0], "batch_predict.py")
    return Path(shutil.copy(source, folder / source.name))


def _files(prepared: _Prepared, folder: Path) -> str:
    """The model's files for `spark.files`: each executor gets them once."""
    files = [*filter(None, prepared.conf.get("spark.files", "").split(","))]
    for name, digest in prepared.plan.files.items():
        named = folder / shipped_name(name, digest)
        _link(prepared.directory / name, named)
        files.append(str(named))
    return ",".join(files)


def _link(file: Path, name: Path) -> None:
    """Give a file a further name. Spark would see through a symbolic link."""
    try:
        name.hardlink_to(file)
    except OSError:  # another file system
        shutil.copyfile(file, name)


@contextmanager
def _catalog_to_itself(conf: Mapping[str, str], given: Mapping[str, str]) -> Iterator[None]:
    """Wait for other runs here that use the embedded catalog: it serves one at a time."""
    if conf["spark.sql.catalogImplementation"] != "hive" or not settings.uses_embedded_catalog(
        given
    ):
        yield
        return
    folder = config.home() / "spark"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.info("Waiting for another run that uses the embedded catalog in %s", folder)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_local(conf: Mapping[str, str]) -> bool:
    return conf["spark.master"].startswith("local")


def _result(request: BatchRequest, outcome: dict[str, Any], started: datetime) -> BatchPrediction:
    total = (datetime.now(UTC) - started).total_seconds()
    seconds = {**outcome.pop("seconds"), "total": round(total, 3)}
    return BatchPrediction(
        run_key=request.run_key,
        output_table=request.output.address,
        logical_date=request.logical_date,
        seconds=seconds,
        **outcome,
    )


def _ledger(result: BatchPrediction, record: EnvelopeRecord) -> dict[str, Any]:
    return asdict(result) | {"tags": dict(record.tags)}
