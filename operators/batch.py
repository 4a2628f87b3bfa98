"""Run a model over a table."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.sdk import Asset, AssetAlias, BaseHook, BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from model_envelope.errors import EnvelopeNotFound
from model_envelope.operators.hook import DEFAULT_CONNECTION, ModelEnvelopeHook
from model_envelope.operators.links import EnvelopeLink
from model_envelope.operators.spark import spark_options
from model_envelope.operators.tables import (
    Tables,
    all_with_credentials,
    table_asset,
    with_credentials,
)

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg
    from airflow.sdk.types import RuntimeTaskInstanceProtocol

    from model_envelope.batch.request import (
        DataPath,
        ExtraColumns,
        JoinType,
        TableFormat,
        WriteMode,
    )
    from model_envelope.batch.run import BatchPrediction, PythonEnvironment

LONGEST_KEY = 512


class ModelBatchPredictOperator(BaseOperator):
    """Runs the latest match of a tag query over a table, by Spark, in the model's environment.

    Every option but those below is as in `Client.batch_predict`. The run is named by DAG,
    task and run, so a retry or a cleared task replaces its own rows and keeps the envelope
    of the first try.

    Returns the envelope's id. The output table's asset, `table_asset(output_table)`, gets an
    event with `envelope_id`, `run_key` and `rows`.

    Args:
        tag_query: text or dict, or the id of an envelope, e.g. from a `TagQuerySensor`.
        input_table: a table, several to be joined, or a dict of them by name for `sql`.
        output_table: a table that is no input.
        query_function: which function of the envelope.
        sql: a SELECT over the inputs by name, or the name of a `.sql` file.
        join_on: columns that several inputs are joined on.
        join_type: `left` keeps rows of the first input without a match.
        keep_columns: input columns that the output has too.
        write_mode: `replace` the logical date's rows, `append` to them, `overwrite` the table.
        partition_columns: output columns to partition by, below the logical date.
        logical_date: what the run is for. By default the DAG run's logical date; the time
            it was due where it has none, as when assets triggered it.
        extra_columns: `refuse` an input with columns that are neither needed nor kept.
        table_format: of an output table that is made in a catalog.
        path: the way rows go: `direct`, `general` or `auto`.
        batch_rows: rows given to the model at once, at most.
        max_age: fail if the envelope was saved longer ago.
        allow_row_dependent: predict although answers depend on the rows around.
        on_no_match: `fail`, or `skip` the task when no envelope matches.
        environment: `isolated` for the model's own; `current` for what `spark_conf` names.
        conn_id: connection of type `model_envelope`.
        jdbc_conn_id: connection with login and password for tables behind JDBC.
        spark_conn_id: connection of type `spark`; None for Spark on this worker.
        spark_conf: Spark's configuration.
        **kwargs: of `BaseOperator`. Assets in `outlets` get the event instead of the table's.
    """

    template_fields: Sequence[str] = (
        "tag_query",
        "input_table",
        "output_table",
        "query_function",
        "sql",
        "join_on",
        "keep_columns",
        "partition_columns",
        "logical_date",
        "conn_id",
        "jdbc_conn_id",
        "spark_conn_id",
        "spark_conf",
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "spark_conf": "json"}
    operator_extra_links = (EnvelopeLink(),)
    ui_color = "#dcefe6"

    def __init__(
        self,
        *,
        tag_query: str | Mapping[str, Any],
        input_table: Tables,
        output_table: str,
        query_function: str = "predict",
        sql: str | None = None,
        join_on: str | Sequence[str] = (),
        join_type: JoinType = "inner",
        keep_columns: Sequence[str] = (),
        write_mode: WriteMode = "replace",
        partition_columns: Sequence[str] = (),
        logical_date: date | str | None = None,
        extra_columns: ExtraColumns = "ignore",
        table_format: TableFormat | None = None,
        path: DataPath = "auto",
        batch_rows: int = 250_000,
        max_age: timedelta | None = None,
        allow_row_dependent: bool = False,
        on_no_match: Literal["fail", "skip"] = "fail",
        environment: PythonEnvironment = "isolated",
        conn_id: str = DEFAULT_CONNECTION,
        jdbc_conn_id: str | None = None,
        spark_conn_id: str | None = None,
        spark_conf: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs["outlets"] = kwargs.get("outlets") or [_outlet(output_table)]
        super().__init__(**kwargs)
        self.tag_query = tag_query
        self.input_table = input_table
        self.output_table = output_table
        self.query_function = query_function
        self.sql = sql
        self.join_on = join_on
        self.join_type = join_type
        self.keep_columns = keep_columns
        self.write_mode = write_mode
        self.partition_columns = partition_columns
        self.logical_date = logical_date
        self.extra_columns = extra_columns
        self.table_format = table_format
        self.path = path
        self.batch_rows = batch_rows
        self.max_age = max_age
        self.allow_row_dependent = allow_row_dependent
        self.on_no_match = on_no_match
        self.environment = environment
        self.conn_id = conn_id
        self.jdbc_conn_id = jdbc_conn_id
        self.spark_conn_id = spark_conn_id
        self.spark_conf = spark_conf

    def execute(self, context: Context) -> str:
        """Predict; gives the envelope's id."""
        run = context["dag_run"]
        jdbc = BaseHook.get_connection(self.jdbc_conn_id) if self.jdbc_conn_id else None
        client = ModelEnvelopeHook(self.conn_id).client()
        try:
            done = client.batch_predict(
                self.tag_query,
                input_table=all_with_credentials(self.input_table, jdbc),
                output_table=with_credentials(self.output_table, jdbc),
                query_function=self.query_function,
                sql=self.sql,
                join_on=self.join_on,
                join_type=self.join_type,
                keep_columns=self.keep_columns,
                write_mode=self.write_mode,
                partition_columns=self.partition_columns,
                logical_date=self.logical_date or run.logical_date or run.run_after,
                run_key=run_key(context["ti"]),
                extra_columns=self.extra_columns,
                table_format=self.table_format,
                path=self.path,
                batch_rows=self.batch_rows,
                max_age=self.max_age,
                allow_row_dependent=self.allow_row_dependent,
                spark=spark_options(self.spark_conn_id, self.spark_conf, self.environment),
            )
        except EnvelopeNotFound as error:
            if self.on_no_match == "skip":
                raise AirflowSkipException(str(error)) from error
            raise
        self._announce(done, context)
        return done.envelope_id

    def _announce(self, done: BatchPrediction, context: Context) -> None:
        self.envelope_id = done.envelope_id
        self.log.info(
            "Envelope %s predicted %d rows into %s in %.1f s, by the %s path.",
            done.envelope_id,
            done.rows,
            done.output_table,
            done.seconds["total"],
            done.path,
        )
        context["ti"].xcom_push("run_key", done.run_key)
        extra: dict[str, Any] = {
            "envelope_id": done.envelope_id,
            "run_key": done.run_key,
            "rows": done.rows,
        }
        for outlet in self.outlets:
            event = context["outlet_events"][outlet]
            if isinstance(outlet, AssetAlias):
                event.add(table_asset(done.output_table), extra=extra)
            else:
                event.extra.update(extra)

    def on_kill(self) -> None:
        """Stop Spark, whatever this task has started: its JVM and its Python processes."""
        import psutil

        processes = psutil.Process().children(recursive=True)
        for process in processes:
            process.terminate()
        for process in psutil.wait_procs(processes, timeout=3)[1]:
            process.kill()


def run_key(ti: RuntimeTaskInstanceProtocol) -> str:
    """Names the logical run, the same for every try of it."""
    index = "" if ti.map_index in (None, -1) else f"[{ti.map_index}]"
    key = f"{ti.dag_id}/{ti.task_id}/{ti.run_id}{index}"
    if len(key) <= LONGEST_KEY:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()[:32]
    return f"{key[: LONGEST_KEY - 33]}#{digest}"


def _outlet(output_table: str | XComArg) -> Asset | AssetAlias:
    """The asset of the table; an alias of it where the address is known only in the run."""
    text = str(output_table)
    return AssetAlias(text) if "{{" in text or "{%" in text else table_asset(text)
