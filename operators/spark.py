"""How Airflow starts Spark: through the connection that its Spark provider knows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from model_envelope.errors import BatchPredictionFailed, InvalidInput

if TYPE_CHECKING:
    from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook

    from model_envelope.batch.launch import SparkApplication, Submit
    from model_envelope.batch.run import PythonEnvironment, SparkOptions


def spark_options(
    conn_id: str | None, conf: Mapping[str, str] | None, environment: PythonEnvironment
) -> SparkOptions:
    """Where a batch prediction runs, and what starts it.

    Args:
        conn_id: a connection of type `spark`; None for this package's own spark-submit.
        conf: Spark's configuration.
        environment: see `PythonEnvironment`.

    Raises:
        MissingDependency: there is no Spark here, or no Java.
        InvalidInput: the connection asks for deploy mode `cluster`.
        AirflowNotFoundException: the connection is not defined.
    """
    from model_envelope.batch.launch import find_spark
    from model_envelope.batch.run import SparkOptions

    find_spark()
    if conn_id is None:
        return SparkOptions(conf=conf or {}, environment=environment)
    BaseHook.get_connection(conn_id)  # the provider's hook would take YARN for a missing one
    settings = _hook(conn_id)._connection
    if settings["deploy_mode"] == "cluster":
        raise InvalidInput(
            f"Connection {conn_id!r} has deploy mode 'cluster'. A batch prediction needs its "
            "driver on the worker: set 'client'."
        )
    return SparkOptions(
        master=settings["master"],
        conf=conf or {},
        environment=environment,
        submit=_submit_through(conn_id),
    )


def _submit_through(conn_id: str) -> Submit:
    """The provider's hook as what runs an application: it knows queue, Kerberos, namespace."""

    def submit(application: SparkApplication) -> None:
        from airflow.sdk.exceptions import AirflowException

        from model_envelope.batch import launch

        home = launch.find_spark()
        variables = launch.environment(home)
        variables["PATH"] = f"{home / 'bin'}{os.pathsep}{variables.get('PATH', os.defpath)}"
        hook = _hook(
            conn_id,
            name=application.name,
            properties_file=str(launch.write_properties(application)),
            py_files=",".join(map(str, application.py_files)),
            application_args=list(application.arguments),
        )
        try:
            hook.submit(str(application.program), env=variables)
        except AirflowException as error:
            raise BatchPredictionFailed(str(error)) from error

    return submit


def _hook(conn_id: str, **arguments: Any) -> SparkSubmitHook:
    from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook

    class Hook(SparkSubmitHook):
        """With the defaults of the Spark installation, which a properties file would hide."""

        def _build_spark_common_args(self) -> list[str]:
            return [*super()._build_spark_common_args(), "--load-spark-defaults"]

    return Hook(conn_id=conn_id, **arguments)
