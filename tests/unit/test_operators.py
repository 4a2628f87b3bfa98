"""Operators and sensors as the DAG processor sees them."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, AssetAlias, AssetWatcher, Connection
from airflow.serialization.serialized_objects import DagSerialization

from model_envelope.batch.tables import JdbcTable, PathTable
from model_envelope.deployment.rule import Rule
from model_envelope.errors import InvalidInput, InvalidName
from model_envelope.operators.batch import ModelBatchPredictOperator, run_key
from model_envelope.operators.deploy import (
    ModelDeployOperator,
    ModelRollbackOperator,
    ModelUndeployOperator,
)
from model_envelope.operators.sensors import TagQuerySensor
from model_envelope.operators.tables import all_with_credentials, table_asset
from model_envelope.operators.triggers import TagQueryTrigger
from model_envelope.store.opening import open_store

RULE = {"name": "ltv", "service": "ltv", "when": "True"}
REQUIRED = {"tag_query": "champion", "input_table": "sales.customers", "output_table": "sales.ltv"}


def predict(**arguments: Any) -> ModelBatchPredictOperator:
    return ModelBatchPredictOperator(task_id="predict", **{**REQUIRED, **arguments})


@pytest.mark.parametrize(
    "kind",
    [
        ModelBatchPredictOperator,
        ModelDeployOperator,
        ModelRollbackOperator,
        ModelUndeployOperator,
        TagQuerySensor,
    ],
)
def test_every_template_field_is_an_argument_of_that_name(kind: type) -> None:
    import inspect

    assert set(kind.template_fields) <= inspect.signature(kind.__init__).parameters.keys()  # type: ignore[attr-defined,misc]


def test_arguments_are_only_stored() -> None:
    operator = predict(tag_query="region ==", input_table="/none", conn_id="nowhere")
    assert (operator.tag_query, operator.input_table) == ("region ==", "/none")
    assert TagQuerySensor(task_id="wait", tag_query="region ==").tag_query == "region =="


@pytest.mark.parametrize(
    ("table", "uri"),
    [
        ("sales.ltv", "sales.ltv"),
        ("/data/ltv", "/data/ltv"),
        ("s3a://bucket/ltv", "s3a://bucket/ltv"),
        ("jdbc:postgresql://u:word@db/crm#public.ltv", "jdbc:postgresql://db/crm/public.ltv"),
    ],
)
def test_the_output_table_is_an_asset_without_credentials(table: str, uri: str) -> None:
    (outlet,) = predict(output_table=table).outlets
    assert outlet == table_asset(table)
    assert outlet.uri == uri
    assert "word" not in repr(outlet)


def test_a_table_that_only_the_run_knows_has_an_alias() -> None:
    assert predict(output_table="/data/{{ ds }}").outlets == [AssetAlias("/data/{{ ds }}")]


def test_a_table_that_another_task_names_has_an_alias() -> None:
    with DAG("ours", schedule=None):
        earlier = TagQuerySensor(task_id="wait", tag_query="champion")
        (outlet,) = predict(output_table=earlier.output).outlets
    assert isinstance(outlet, AssetAlias)


def test_given_outlets_stay() -> None:
    mine = Asset("predictions")
    assert predict(outlets=[mine]).outlets == [mine]


def test_a_hostile_table_name_fails_where_the_dag_is_parsed() -> None:
    with pytest.raises(InvalidName):
        predict(output_table="t; DROP TABLE x")


def test_a_dag_of_ours_survives_serialization() -> None:
    watcher = AssetWatcher("new", trigger=TagQueryTrigger("champion"))
    with DAG("ours", schedule=[Asset("models", watchers=[watcher])]) as dag:
        wait = TagQuerySensor(task_id="wait", tag_query={"region": "US"})
        wait >> predict(tag_query=wait.output, spark_conf={"spark.executor.memory": "2g"})

    body = DagSerialization.serialize_dag(dag)
    back = DagSerialization.deserialize_dag(body)

    assert set(back.task_ids) == {"wait", "predict"}
    task = back.get_task("predict")
    assert [link.name for link in task.operator_extra_links] == ["Envelope"]
    assert task.template_fields == list(ModelBatchPredictOperator.template_fields)
    assert task.spark_conf == {"spark.executor.memory": "2g"}  # type: ignore[union-attr]
    assert DagSerialization.serialize_dag(dag) == body


def named(dag_id: str, map_index: int = -1) -> Any:
    return SimpleNamespace(dag_id=dag_id, task_id="predict", run_id="run", map_index=map_index)


def test_the_run_key_names_the_run_and_not_the_try() -> None:
    assert run_key(named("ltv")) == "ltv/predict/run"
    assert run_key(named("ltv", map_index=3)) == "ltv/predict/run[3]"


def test_long_names_give_run_keys_that_the_store_takes_and_that_differ() -> None:
    long = [named("d" * 600, map_index=index) for index in (1, 2)]
    first, second = map(run_key, long)
    assert len(first) == len(second) == 512
    assert first != second


def test_tables_behind_jdbc_get_the_login_of_a_connection() -> None:
    word = "a-word"
    login = Connection(conn_id="crm", conn_type="postgres", login="me", password=word)
    tables = {"a": "jdbc:postgresql://db/crm#customers", "b": "/data/orders"}
    assert all_with_credentials(tables, login) == {
        "a": JdbcTable("jdbc:postgresql://db/crm", "customers", "me", word),
        "b": PathTable("/data/orders"),
    }


def test_a_path_that_depends_on_the_working_directory_is_refused() -> None:
    with pytest.raises(InvalidInput, match="absolute"):
        all_with_credentials({"a": "data/customers"}, None)


def test_no_table_at_all_is_refused() -> None:
    with pytest.raises(InvalidInput):
        all_with_credentials([""], None)


PARSED = """
import model_envelope.operators.batch, model_envelope.operators.deploy
import model_envelope.operators.sensors, model_envelope.operators.triggers
"""

PLANNED = """
from model_envelope.operators.hook import ModelEnvelopeHook
print(*ModelEnvelopeHook().pending())
"""


@pytest.mark.parametrize("program", [PARSED, PLANNED], ids=["parsing a DAG", "planning"])
def test_what_is_done_often_imports_nothing_heavy(program: str, sqlite_store_url: str) -> None:
    with open_store(sqlite_store_url) as store:
        store.put_rule("ltv", "ltv", Rule.read(RULE).spec())
        store.want("b", target={"kind": "process"}, envelope_id=None, by="ada")
    heavy = "{'pandas', 'numpy', 'pyarrow', 'pyspark', 'boto3', 'cloudpickle', 'alembic'}"
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys, airflow.sdk\n{program}\nprint(*{heavy}.intersection(sys.modules))",
        ],
        env={**os.environ, "MODEL_ENVELOPE_STORE": sqlite_store_url},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.splitlines()[-1] == ""
