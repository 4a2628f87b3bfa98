"""DAGs that run a model over a table; the run's conf tells which and where."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from model_envelope.operators.batch import ModelBatchPredictOperator

CONF = {"spark.sql.shuffle.partitions": "2"}

with DAG("predict", schedule=None):
    ModelBatchPredictOperator(
        task_id="predict",
        tag_query="canonical_name == '{{ dag_run.conf['name'] }}'",
        input_table="{{ dag_run.conf['folder'] }}/customers",
        output_table="{{ dag_run.conf['folder'] }}/predictions",
        keep_columns=["id"],
        environment="current",
        on_no_match="skip",
        spark_conf=CONF,
    )

with DAG("predict_isolated", schedule=None):
    ModelBatchPredictOperator(
        task_id="predict",
        tag_query="canonical_name == '{{ dag_run.conf['name'] }}'",
        input_table="{{ dag_run.conf['folder'] }}/customers",
        output_table="{{ dag_run.conf['folder'] }}/predictions",
        keep_columns=["id"],
        spark_conn_id="spark_of_tests",
        spark_conf=CONF,
    )

with DAG("predict_mapped", schedule=None):
    ModelBatchPredictOperator.partial(
        task_id="predict",
        tag_query="canonical_name == '{{ dag_run.conf['name'] }}'",
        input_table="{{ dag_run.conf['folder'] }}/customers",
        environment="current",
        spark_conf=CONF,
    ).expand(output_table=["{{ dag_run.conf['folder'] }}/predictions"])

with DAG("predict_with_a_fresh_model", schedule=None):
    ModelBatchPredictOperator(
        task_id="predict",
        tag_query="canonical_name == '{{ dag_run.conf['name'] }}'",
        input_table="{{ dag_run.conf['folder'] }}/customers",
        output_table="{{ dag_run.conf['folder'] }}/predictions",
        environment="current",
        max_age=timedelta(0),
    )

with DAG("predict_slowly", schedule=None, is_paused_upon_creation=False):
    ModelBatchPredictOperator(
        task_id="predict",
        tag_query="canonical_name == 'slow'",
        input_table="{{ dag_run.conf['input'] }}",
        output_table="{{ dag_run.conf['output'] }}",
        environment="current",
    )
