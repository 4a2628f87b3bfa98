"""What a Spark connection of Airflow says about a batch prediction."""

from __future__ import annotations

import json

import pytest
from airflow.sdk.exceptions import AirflowNotFoundException

from model_envelope.batch.launch import spark_submit
from model_envelope.errors import InvalidInput, MissingDependency
from model_envelope.operators.spark import spark_options


def connect(monkeypatch: pytest.MonkeyPatch, host: str, **extra: str) -> str:
    description = {"conn_type": "spark", "host": host, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_CLUSTER", json.dumps(description))
    return "cluster"


def test_without_a_connection_spark_runs_here() -> None:
    options = spark_options(None, {"spark.ui.port": "4050"}, "current")
    assert options.submit is spark_submit
    assert (options.master, options.environment) == (None, "current")
    assert options.conf == {"spark.ui.port": "4050"}


def test_the_connection_names_the_master(monkeypatch: pytest.MonkeyPatch) -> None:
    options = spark_options(connect(monkeypatch, "spark://master:7077"), None, "isolated")
    assert options.master == "spark://master:7077"
    assert options.submit is not spark_submit


def test_a_driver_on_the_cluster_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    conn_id = connect(monkeypatch, "yarn", **{"deploy-mode": "cluster"})
    with pytest.raises(InvalidInput, match="'cluster' has deploy mode 'cluster'"):
        spark_options(conn_id, None, "isolated")


def test_a_missing_connection_is_no_yarn() -> None:
    with pytest.raises(AirflowNotFoundException):
        spark_options("nowhere", None, "isolated")


def test_without_java_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    with pytest.raises(MissingDependency, match="openjdk"):
        spark_options(None, None, "isolated")
