"""Starting Spark: what it is told, what it is not told, and what is said when it cannot start."""

from __future__ import annotations

import json
import logging
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from model_envelope.batch import launch, settings
from model_envelope.batch.launch import SparkApplication
from model_envelope.batch.request import BatchRequest, batch_request
from model_envelope.errors import BatchPredictionFailed, InvalidInput, MissingDependency


def request(**options: Any) -> BatchRequest:
    defaults = {"input_table": "/data/in", "output_table": "/data/out", "run_key": "k"}
    return batch_request(**(defaults | options))


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Java 17 by its own word."""
    home = tmp_path / "java"
    program(home / "bin" / "java", "#!/bin/sh\n")
    (home / "release").write_text('JAVA_VERSION="17.0.15"\n')
    monkeypatch.setenv("JAVA_HOME", str(home))
    return home


@pytest.fixture
def spark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, java: Path) -> Path:
    """A spark-submit that writes down how it was called, says a line, and ends as told."""
    home = tmp_path / "spark"
    (home / "jars").mkdir(parents=True)
    program(
        home / "bin" / "spark-submit",
        f"#!{sys.executable}\n"
        "import json, os, pathlib, sys\n"
        "told = {'arguments': sys.argv[1:], 'environment': dict(os.environ)}\n"
        f"pathlib.Path({str(tmp_path / 'told.json')!r}).write_text(json.dumps(told))\n"
        "print('working on it')\n"
        "sys.exit(int(os.environ.get('FAKE_EXIT', '0')))\n",
    )
    monkeypatch.setenv("SPARK_HOME", str(home))
    return home


@pytest.fixture
def application(tmp_path: Path) -> SparkApplication:
    (tmp_path / "job").mkdir()
    return SparkApplication(
        name="model-envelope test",
        program=tmp_path / "job" / "batch_predict.py",
        arguments=(str(tmp_path / "job" / "job.json"),),
        py_files=(tmp_path / "runtime.zip",),
        conf={"spark.master": "local[1]", "spark.hadoop.fs.s3a.secret.key": "s3c\\ret"},
    )


def told(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "told.json").read_text())
    return found


def test_secrets_go_through_a_private_file(
    spark: Path, application: SparkApplication, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        launch.spark_submit(application)
    assert "working on it" in caplog.messages
    properties = tmp_path / "job" / "spark.properties"
    assert stat.S_IMODE(properties.stat().st_mode) == 0o600
    assert properties.read_text().splitlines() == [
        "spark.hadoop.fs.s3a.secret.key=s3c\\\\ret",
        "spark.master=local[1]",
    ]
    arguments = told(tmp_path)["arguments"]
    assert arguments == [
        *("--properties-file", str(properties), "--load-spark-defaults"),
        *("--name", "model-envelope test"),
        *("--py-files", str(tmp_path / "runtime.zip")),
        str(application.program),
        *application.arguments,
    ]
    assert "s3c" not in caplog.text + repr(application)


def test_the_model_does_not_see_our_addresses(
    spark: Path, application: SparkApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_ENVELOPE_STORE", "postgresql://ann:secret@host/store")
    monkeypatch.setenv("AIRFLOW_CONN_STORE", "secret")
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "secret")
    monkeypatch.setenv("PYTHONPATH", "/some/where")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    launch.spark_submit(application)
    environment = told(tmp_path)["environment"]
    assert "secret" not in json.dumps(environment)
    assert "PYTHONPATH" not in environment
    assert environment["AWS_REGION"] == "eu-central-1"


def test_a_spark_that_fails_is_quoted(
    spark: Path, application: SparkApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_EXIT", "3")
    with pytest.raises(BatchPredictionFailed, match=r"ended with 3. It said last:\nworking on it"):
        launch.spark_submit(application)


@pytest.mark.parametrize("key", ["spark.x\nspark.y", "spark x", "spark.x=1"])
def test_settings_cannot_smuggle_others_in(
    spark: Path, application: SparkApplication, tmp_path: Path, key: str
) -> None:
    bad = SparkApplication(
        name="n",
        program=application.program,
        arguments=application.arguments,
        py_files=(),
        conf={key: "1"},
    )
    with pytest.raises(InvalidInput, match="line break or no key"):
        launch.spark_submit(bad)
    assert not (tmp_path / "told.json").exists()


def test_no_java_says_what_to_install(
    spark: Path, application: SparkApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependency, match=r"no java on PATH.*openjdk-17-jre-headless"):
        launch.spark_submit(application)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(MissingDependency, match="nowhere has no bin/java"):
        launch.spark_submit(application)
    assert not (tmp_path / "told.json").exists()


@pytest.mark.parametrize("version", ["11.0.2", "1.8.0_292"])
def test_old_java_is_refused(java: Path, version: str) -> None:
    (java / "release").write_text(f'JAVA_VERSION="{version}"\n')
    with pytest.raises(MissingDependency, match=r"is Java (11|8)\. Spark needs Java 17"):
        launch.check_java()


def test_no_spark_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, java: Path
) -> None:
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    with pytest.raises(MissingDependency, match=r"SPARK_HOME=.* has no bin/spark-submit"):
        launch.find_spark()
    monkeypatch.delenv("SPARK_HOME")
    monkeypatch.setattr(launch, "find_spec", lambda _: None)
    with pytest.raises(MissingDependency, match=r"pip install 'model-envelope\[spark\]'"):
        launch.find_spark()


def configuration(given: dict[str, str] | None = None, **options: Any) -> dict[str, str]:
    asked = {"master": "local[2]", "jars": ()}
    return settings.configuration(request(**options), given or {}, **asked)  # type: ignore[arg-type]


def test_what_guarantees_rest_on_cannot_be_set_otherwise() -> None:
    for key in ("spark.sql.runSQLOnFiles", "spark.sql.session.timeZone"):
        with pytest.raises(InvalidInput, match=key):
            configuration({key: "true"})
    assert configuration({"spark.sql.runSQLOnFiles": "FALSE"})["spark.sql.runSQLOnFiles"] == "false"


def test_the_users_settings_win_over_our_defaults() -> None:
    conf = configuration({"spark.log.level": "INFO", "spark.executorEnv.OMP_NUM_THREADS": "4"})
    assert conf["spark.log.level"] == "INFO"
    assert conf["spark.executorEnv.OMP_NUM_THREADS"] == "4"
    assert conf["spark.executorEnv.MKL_NUM_THREADS"] == "1"
    assert configuration({"spark.task.cpus": "3"})["spark.executorEnv.OMP_NUM_THREADS"] == "3"


def test_a_collector_is_chosen_for_local_spark_unless_someone_may_have(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("SPARK_HOME", "SPARK_CONF_DIR", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"):
        monkeypatch.delenv(name, raising=False)
    key = "spark.driver.defaultJavaOptions"
    assert configuration()[key] == "-XX:+UseParallelGC"
    assert key not in configuration({"spark.driver.extraJavaOptions": "-XX:+UseZGC"})
    far = settings.configuration(request(), {}, master="spark://far:7077", jars=())
    assert key not in far
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    assert key in configuration()
    (tmp_path / "spark-defaults.conf").touch()
    assert key not in configuration()


def test_a_catalog_is_opened_only_where_one_is_needed(home: Path) -> None:
    assert configuration()["spark.sql.catalogImplementation"] == "in-memory"
    embedded = configuration(output_table="sales.predictions")
    assert embedded["spark.sql.catalogImplementation"] == "hive"
    assert embedded["spark.sql.warehouse.dir"] == str(home / "spark" / "warehouse")
    remote = {"spark.hadoop.hive.metastore.uris": "thrift://metastore:9083"}
    assert "spark.sql.warehouse.dir" not in configuration(remote, output_table="sales.predictions")
    sql = configuration(sql="SELECT * FROM data", input_table={"data": "/data/in"})
    assert sql["spark.sql.catalogImplementation"] == "hive"


def test_the_jdbc_driver_is_found_or_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = "jdbc:postgresql://host/db#t"
    monkeypatch.setattr(settings, "_POSTGRES_JAR", tmp_path / "postgresql.jar")
    with pytest.raises(MissingDependency, match="libpostgresql-jdbc-java"):
        configuration(output_table=out)
    given = configuration({"spark.jars": "/opt/postgresql-42.jar"}, output_table=out)
    assert given["spark.jars"] == "/opt/postgresql-42.jar"
    (tmp_path / "postgresql.jar").touch()
    found = configuration({"spark.jars": "/opt/delta.jar"}, output_table=out)
    assert found["spark.jars"] == f"/opt/delta.jar,{tmp_path}/postgresql.jar"
    assert "spark.jars" not in configuration()


def test_executors_get_the_environment_as_an_archive() -> None:
    conf = settings.with_python(
        {"spark.archives": "a.zip#a"}, "/env/bin/python", Path("/env.tar.gz")
    )
    assert conf["spark.archives"] == "a.zip#a,/env.tar.gz#environment"
    assert conf["spark.pyspark.python"] == "./environment/bin/python"
    assert conf["spark.pyspark.driver.python"] == "/env/bin/python"
