"""A Spark that stays up, and models to run on it."""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from model_envelope.batch import settings
from model_envelope.batch.launch import SparkApplication, spark_submit
from model_envelope.batch.request import batch_request
from model_envelope.batch.run import BatchPrediction, SparkOptions
from model_envelope.client.client import Client
from model_envelope.client.envelope import Envelope
from model_envelope.shipping import runtime_archive

SERVER = Path(__file__).with_name("spark_server.py")


class WarmSpark:
    """A session that runs jobs as spark-submit would, but for starting and ending."""

    def __init__(self, folder: Path, conf: dict[str, str]) -> None:
        self._inbox = folder / "inbox"
        self._inbox.mkdir(parents=True)
        self._numbers = itertools.count()
        self._failure: BaseException | None = None
        application = SparkApplication(
            name="tests",
            program=SERVER,
            arguments=(str(self._inbox / "properties"),),
            py_files=(runtime_archive(folder),),
            conf=conf,
        )
        self._thread = threading.Thread(target=self._run, args=(application,))
        self._thread.start()
        self._wait_for(self._inbox / "ready")

    def _run(self, application: SparkApplication) -> None:
        try:
            spark_submit(application)
        except BaseException as error:
            self._failure = error

    def _wait_for(self, path: Path) -> None:
        while not path.exists():
            if not self._thread.is_alive():
                raise RuntimeError("the Spark of the tests ended") from self._failure
            time.sleep(0.02)

    def submit(self, application: SparkApplication) -> None:
        """Run an application's job; its configuration is that of the session."""
        job = Path(application.arguments[0])
        writing = self._inbox / f"{next(self._numbers)}.new"
        writing.write_text(json.dumps(str(job)))
        writing.rename(writing.with_suffix(".job"))
        self._wait_for(Path(json.loads(job.read_text())["result"]))

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement; gives its rows."""
        file = self._inbox / f"{next(self._numbers)}.new"
        file.write_text(statement)
        file.rename(file.with_suffix(".sql"))
        rows = file.with_suffix(".rows")
        self._wait_for(rows)
        found = json.loads(rows.read_text())
        assert isinstance(found, list), found
        return [tuple(row) for row in found]

    def stop(self) -> None:
        (self._inbox / "stop").touch()
        self._thread.join()


@pytest.fixture(scope="session")
def warm_spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmSpark]:
    """Spark on two cores, with a catalog and PostgreSQL's driver."""
    folder = tmp_path_factory.mktemp("spark")
    os.environ["MODEL_ENVELOPE_HOME"] = str(folder / "home")
    request = batch_request(
        input_table="some.table",
        output_table="jdbc:postgresql://localhost/x#y",
        run_key="warm",
    )
    conf = settings.configuration(request, {}, master="local[2]", jars=())
    conf = settings.with_python(conf, sys.executable, None)
    mounted = {"spark.hadoop.fs.viewfs.mounttable.tests.link./data": f"file://{folder}/mounted"}
    (folder / "mounted").mkdir()
    spark = WarmSpark(folder, {**conf, **mounted})
    yield spark
    spark.stop()


Predict = Callable[..., BatchPrediction]


@pytest.fixture
def client(home: Path) -> Client:
    """A client of an empty store."""
    return Client()


@pytest.fixture
def run(client: Client, warm_spark: WarmSpark) -> Predict:
    """Run an envelope over a table; gives what was done."""

    def predict(envelope: Envelope, **options: Any) -> BatchPrediction:
        options = {"logical_date": "2024-01-02", **options}
        spark = SparkOptions(master="local[2]", environment="current", submit=warm_spark.submit)
        return client.batch_predict(envelope, spark=spark, **options)

    return predict
