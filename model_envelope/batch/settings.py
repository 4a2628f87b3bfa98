"""Spark's configuration for a batch prediction."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from model_envelope import config
from model_envelope.batch.request import BatchRequest
from model_envelope.batch.tables import CatalogTable, JdbcTable
from model_envelope.errors import InvalidInput, MissingDependency

_POSTGRES_JAR = Path("/usr/share/java/postgresql.jar")
_ARCHIVE_FOLDER = "environment"
_JAVA_OPTIONS = "spark.driver.extraJavaOptions"
_JAVA_DEFAULTS = "spark.driver.defaultJavaOptions"
_JAVA_VARIABLES = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "SPARK_SUBMIT_OPTS")

# What the guarantees rest on; setting it otherwise is refused.
_FIXED = {
    "spark.submit.deployMode": "client",
    "spark.sql.runSQLOnFiles": "false",
    "spark.sql.sources.partitionOverwriteMode": "dynamic",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}
_DEFAULTS = {
    "spark.log.level": "WARN",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.hadoop.hive.exec.dynamic.partition.mode": "nonstrict",
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
}
_ONE_THREAD_A_CORE = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
)


def configuration(
    request: BatchRequest, given: Mapping[str, str], *, master: str, jars: Sequence[str | Path]
) -> dict[str, str]:
    """The whole configuration but for the Python environment.

    Args:
        request: its tables decide about catalog and JDBC driver.
        given: the user's, which wins over our defaults.
        master: Spark's master URL.
        jars: further jars.

    Raises:
        InvalidInput: `given` contradicts what the guarantees rest on.
        MissingDependency: PostgreSQL is asked for, and there is no driver's jar.
    """
    for key, value in _FIXED.items():
        if str(given.get(key, value)).lower() != value.lower():
            raise InvalidInput(
                f"spark_conf[{key!r}] must be {value!r}: that a table is wholly old or new, and "
                "the same whichever way rows go, rests on it."
            )
    conf = dict(_DEFAULTS)
    if master.startswith("local"):
        # Nothing outside of this machine takes part.
        conf |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
        if not _has_java_options(given):
            # Rows pass through fast: marking them while they do costs G1 a tenth of the job.
            conf[_JAVA_DEFAULTS] = "-XX:+UseParallelGC"
    catalog = _catalog(request, given)
    conf |= catalog | {key: str(value) for key, value in given.items()}
    if _JAVA_OPTIONS in catalog:  # the user's own are in it
        conf[_JAVA_OPTIONS] = catalog[_JAVA_OPTIONS]
    cores = conf.get("spark.task.cpus", "1")
    for name in _ONE_THREAD_A_CORE:
        conf.setdefault(f"spark.executorEnv.{name}", cores)
    all_jars = [*filter(None, conf.get("spark.jars", "").split(",")), *map(str, jars)]
    all_jars += _driver_jar(request, all_jars)
    if all_jars:
        conf["spark.jars"] = ",".join(all_jars)
    return conf | _FIXED | {"spark.master": master}


def with_python(
    conf: Mapping[str, str], python: Path | str, archive: Path | None
) -> dict[str, str]:
    """The configuration with an interpreter for driver and executors.

    Args:
        conf: the rest.
        python: on this machine, for the driver and, in local mode, its workers.
        archive: the same environment, packed, for executors on other machines.
    """
    chosen = {"spark.pyspark.driver.python": str(python), "spark.pyspark.python": str(python)}
    if archive is not None:
        archives = [*filter(None, conf.get("spark.archives", "").split(","))]
        chosen["spark.archives"] = ",".join([*archives, f"{archive}#{_ARCHIVE_FOLDER}"])
        chosen["spark.pyspark.python"] = f"./{_ARCHIVE_FOLDER}/bin/python"
    return {**conf, **chosen}


def _catalog(request: BatchRequest, given: Mapping[str, str]) -> dict[str, str]:
    """A catalog that lasts: Hive's, embedded in the store's folder unless one is configured."""
    tables = [*request.inputs.values(), request.output]
    if not request.sql and not any(isinstance(table, CatalogTable) for table in tables):
        return {"spark.sql.catalogImplementation": "in-memory"}
    conf = {"spark.sql.catalogImplementation": "hive"}
    if not uses_embedded_catalog(given):
        return conf
    folder = config.home() / "spark"
    metastore = folder / "metastore"
    return conf | {
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.hadoop.javax.jdo.option.ConnectionURL": (
            f"jdbc:derby:;databaseName={metastore};create=true"
        ),
        # Derby would write its log into whatever folder this process runs in.
        _JAVA_OPTIONS: (
            f'{given.get(_JAVA_OPTIONS, "")} "-Dderby.stream.error.file={folder / "derby.log"}"'
        ).strip(),
    }


def uses_embedded_catalog(given: Mapping[str, str]) -> bool:
    """Whether nothing names another catalog than the embedded one."""
    configured = (
        "spark.sql.catalogImplementation",
        "spark.sql.warehouse.dir",
        "spark.hadoop.hive.metastore.uris",
        "spark.hadoop.javax.jdo.option.ConnectionURL",
    )
    return (
        not any(key in given for key in configured)
        and not (_spark_conf_folder() / "hive-site.xml").exists()
    )


def _has_java_options(given: Mapping[str, str]) -> bool:
    """Whether anything may choose a garbage collector: Java does not start with two."""
    return (
        any(key in given for key in (_JAVA_OPTIONS, _JAVA_DEFAULTS))
        or any(name in os.environ for name in _JAVA_VARIABLES)
        or (_spark_conf_folder() / "spark-defaults.conf").exists()
    )


def _spark_conf_folder() -> Path:
    return Path(os.environ.get("SPARK_CONF_DIR") or Path(os.environ.get("SPARK_HOME", ""), "conf"))


def _driver_jar(request: BatchRequest, jars: Sequence[str]) -> list[str]:
    tables = [*request.inputs.values(), request.output]
    if not any(isinstance(table, JdbcTable) for table in tables):
        return []
    if any("postgresql" in Path(jar).name for jar in jars):
        return []
    if _POSTGRES_JAR.exists():
        return [str(_POSTGRES_JAR)]
    raise MissingDependency(
        "PostgreSQL's JDBC driver is missing: name its jar in jars=, or install Debian's "
        "libpostgresql-jdbc-java."
    )
