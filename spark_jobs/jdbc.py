"""PostgreSQL through the JVM's JDBC driver: the model's environment needs none of its own."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from model_envelope.batch.request import LOGICAL_DATE, BatchRequest
from model_envelope.batch.tables import JdbcTable
from model_envelope.errors import BatchPredictionFailed, InvalidInput, SchemaError
from model_envelope.spark_jobs.staged_files import StagedFile
from model_envelope.spark_jobs.tasks import Destination, TaskReport

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

_DRIVER = "org.postgresql.Driver"
_ROWS_AT_ONCE = "10000"
_STAGING = re.compile(r"me_staging_[0-9a-f]{16}_[0-9a-f]{16}")


def read_options(table: JdbcTable, name: str | None = None) -> dict[str, str]:
    """Options of Spark's JDBC source; `name` is another table of the same database."""
    options = {
        "url": table.url,
        "dbtable": name or table.quoted,
        "driver": _DRIVER,
        "fetchsize": _ROWS_AT_ONCE,
        "batchsize": _ROWS_AT_ONCE,
        "reWriteBatchedInserts": "true",
        "user": table.user,
        "password": table.password,
    }
    return {key: value for key, value in options.items() if value}


class PostgresSink:
    """Replaces this run's rows of a table in one transaction.

    Spark writes to a table beside it first. That one is this run's as long as its database
    session lives: the next run drops those that no session holds.
    """

    destination: Destination | None = None
    why_no_files = "the output is in PostgreSQL"

    def __init__(
        self, spark: SparkSession, request: BatchRequest, table: JdbcTable, schema: StructType
    ) -> None:
        self._spark = spark
        self._request = request
        self._table = table
        self._owned = request.partitions
        self._schema = _with_texts(schema, list(self._owned))
        self._prefix = f"me_staging_{_digest(table.address)}"
        self._staging = f"{self._prefix}_{secrets.token_hex(8)}"

    @contextmanager
    def opened(self) -> Iterator[PostgresSink]:
        """Prepare for rows; what is not published is gone afterwards.

        Raises:
            InvalidInput: the database cannot be reached.
            SchemaError: the table cannot take the rows.
        """
        self._session = _Session(self._spark, self._table)
        try:
            self._sweep()
            self._session.query("SELECT pg_advisory_lock(?::bigint)", _lock(self._staging))
            empty = self._spark.createDataFrame([], self._schema)
            self._save(empty, "errorifexists")
            self._check()
            yield self
        finally:
            self._session.close(f'DROP TABLE IF EXISTS "{self._staging}"')

    def write(self, frame: DataFrame) -> None:
        """Write rows beside the table."""
        from pyspark.sql.functions import lit

        for name, value in self._owned.items():
            frame = frame.withColumn(name, lit(value))
        self._save(frame.select(self._schema.names), "append")

    def publish(self, files: Sequence[StagedFile], reports: Sequence[TaskReport]) -> None:
        """Put the rows in the place of those that this run owns.

        Raises:
            BatchPredictionFailed: the database refused, or a part was written twice.
        """
        rows = sum(report.rows for report in reports)
        with self._session.transaction():
            # Spark's tasks commit on their own; one that is repeated may have done so before.
            count = self._session.query(f'SELECT count(*) FROM "{self._staging}"')  # noqa: S608
            written = int(count[0] or 0)
            if written != rows:
                raise BatchPredictionFailed(
                    f"Spark wrote {written} rows for {rows} predictions: a task was repeated "
                    f"after it had committed. {self._table.address} is as it was; run it again."
                )
            for statement, values in self._statements():
                self._session.execute(statement, *values)

    def _statements(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        target, staging = self._table.quoted, f'"{self._staging}"'
        yield "SELECT pg_advisory_xact_lock(?::bigint)", (_lock(self._prefix),)
        if not self._exists():
            yield f"CREATE TABLE {target} (LIKE {staging})", ()
            yield f"CREATE INDEX ON {target} ({_identifier(LOGICAL_DATE)})", ()
        if self._request.write_mode == "overwrite":
            yield f"DELETE FROM {target}", ()  # noqa: S608
        else:
            owned = " AND ".join(f"{_identifier(name)}::text = ?" for name in self._owned)
            yield f"DELETE FROM {target} WHERE {owned}", tuple(self._owned.values())  # noqa: S608
        yield self._insert, ()
        yield f"DROP TABLE {staging}", ()

    @property
    def _insert(self) -> str:
        columns = ", ".join(_identifier(name) for name in self._schema.names)
        into = f"INSERT INTO {self._table.quoted} ({columns})"
        return f'{into} SELECT {columns} FROM "{self._staging}"'  # noqa: S608 - names are checked

    def _check(self) -> None:
        if not self._exists():
            return
        try:
            self._session.query(f"EXPLAIN {self._insert}")
        except BatchPredictionFailed as error:
            raise SchemaError(
                f"The output {self._table.address} cannot take the predictions: {error}"
            ) from error

    def _exists(self) -> bool:
        return self._session.query("SELECT to_regclass(?)", self._table.quoted)[0] is not None

    def _sweep(self) -> None:
        found = self._session.query(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND pg_table_is_visible(oid) "
            "AND starts_with(relname, ?)",
            self._prefix,
        )
        for name in [name for name in found if name and _STAGING.fullmatch(name)]:
            if self._session.query("SELECT pg_try_advisory_lock(?::bigint)", _lock(name))[0] == "t":
                self._session.execute(f'DROP TABLE IF EXISTS "{name}"')
                self._session.query("SELECT pg_advisory_unlock(?::bigint)", _lock(name))

    def _save(self, frame: DataFrame, mode: str) -> None:
        options = read_options(self._table, f'"{self._staging}"')
        frame.write.format("jdbc").options(**options).mode(mode).save()


class _Session:
    """One database session of the driver program."""

    def __init__(self, spark: SparkSession, table: JdbcTable) -> None:
        from py4j.protocol import Py4JError, Py4JJavaError

        self._errors = (Py4JJavaError,)
        jvm: Any = spark._jvm
        properties = jvm.java.util.Properties()
        for name, value in (("user", table.user), ("password", table.password)):
            if value:
                properties.setProperty(name, value)
        try:
            self._connection = jvm.org.postgresql.Driver().connect(table.url, properties)
        except TypeError as error:
            raise InvalidInput(
                "PostgreSQL's JDBC driver is not there: name its jar in jars=, or install "
                "Debian's libpostgresql-jdbc-java."
            ) from error
        except Py4JError as error:
            raise InvalidInput(f"{table.url} cannot be reached: {_reason(error)}") from error

    def execute(self, statement: str, *values: str) -> None:
        """Run a statement; its result, if any, is dropped."""
        self._run(statement, values, lambda prepared: prepared.execute())

    def query(self, statement: str, *values: str) -> list[str | None]:
        """The first column of the result, as text."""
        found: list[str | None] = self._run(statement, values, _first_column)
        return found

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit at the end of the block, or roll back."""
        self._connection.setAutoCommit(False)
        try:
            yield
            self._connection.commit()
        except BaseException:
            self._connection.rollback()
            raise
        finally:
            self._connection.setAutoCommit(True)

    def close(self, last: str) -> None:
        """End the session after a last statement, whatever became of it."""
        try:
            self.execute(last)
        except BatchPredictionFailed:
            pass  # the session is gone already; the next run drops the table
        finally:
            self._connection.close()

    def _run(self, statement: str, values: tuple[str, ...], read: Any) -> Any:
        try:
            prepared = self._connection.prepareStatement(statement)
            try:
                for i, value in enumerate(values, 1):
                    prepared.setString(i, value)
                return read(prepared)
            finally:
                prepared.close()
        except self._errors as error:
            raise BatchPredictionFailed(f"PostgreSQL says: {_reason(error)}") from error


def _first_column(prepared: Any) -> list[str | None]:
    rows = prepared.executeQuery()
    found = []
    while rows.next():
        found.append(rows.getString(1))
    return found


def _with_texts(schema: StructType, names: Sequence[str]) -> StructType:
    from pyspark.sql.types import StringType, StructField, StructType

    return StructType([*schema.fields, *(StructField(name, StringType()) for name in names)])


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _lock(name: str) -> str:
    """The number of PostgreSQL's advisory lock for a name: 63 bits, as text."""
    return str(int(_digest(name), 16) >> 1)


def _reason(error: Exception) -> str:
    java = getattr(error, "java_exception", None)
    return str(java.getMessage() if java is not None else error).strip()
