"""The verb of batch prediction: a table, by Spark."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from model_envelope.client.drafting import PREDICT

if TYPE_CHECKING:
    from model_envelope.artifacts.protocol import ArtifactStore
    from model_envelope.batch.request import (
        DataPath,
        ExtraColumns,
        InputTables,
        JoinType,
        TableFormat,
        WriteMode,
    )
    from model_envelope.batch.run import BatchPrediction, SparkOptions
    from model_envelope.batch.tables import Table
    from model_envelope.client.client import Query
    from model_envelope.client.envelope import Envelope
    from model_envelope.store.store import Store


class BatchVerbs:
    """The part of the client that predicts tables."""

    cache: Path
    _envelope: Callable[[Query | Envelope], Envelope]

    if TYPE_CHECKING:

        @property
        def store(self) -> Store:
            """The database."""

        @property
        def artifacts(self) -> ArtifactStore:
            """The models' files."""

    def batch_predict(
        self,
        q: Query | Envelope,
        *,
        input_table: InputTables,
        output_table: str | Path | Table,
        query_function: str = PREDICT,
        sql: str | None = None,
        join_on: str | Sequence[str] = (),
        join_type: JoinType = "inner",
        keep_columns: Sequence[str] = (),
        write_mode: WriteMode = "replace",
        partition_columns: Sequence[str] = (),
        logical_date: date | str | None = None,
        run_key: str | None = None,
        extra_columns: ExtraColumns = "ignore",
        table_format: TableFormat | None = None,
        path: DataPath = "auto",
        batch_rows: int = 250_000,
        max_age: timedelta | None = None,
        allow_row_dependent: bool = False,
        spark: SparkOptions | None = None,
    ) -> BatchPrediction:
        """Predict a table by Spark, and record the run in the store.

        The output has the kept columns, the predictions, `envelope_id` and `logical_date`;
        the table is wholly as it was, or wholly new.

        Args:
            q: a tag query, whose latest match is taken; an envelope's id; or an envelope.
            input_table: a table: of Spark's catalog (`sales.customers`), a path
                (`/data/customers`, `csv:/data/customers`), or of PostgreSQL
                (`jdbc:postgresql://host/db#schema.table`). Several to be joined, or a dict
                of them by name for `sql`.
            output_table: a table that is no input. It is made when it is missing.
            query_function: which function of the envelope.
            sql: a SELECT over the inputs by name.
            join_on: the columns that several inputs are joined on.
            join_type: `left` keeps rows of the first input without a match.
            keep_columns: input columns that the output has too.
            write_mode: `replace` this logical date's rows, `append` to them, or `overwrite`
                the table.
            partition_columns: output columns to partition by, below the logical date.
            logical_date: what the run is for: today in UTC unless given.
            run_key: names the run, not the try: a retry with the same key replaces its own
                rows and takes the same envelope. A new run unless given.
            extra_columns: `refuse` an input with columns that are neither needed nor kept.
            table_format: of an output table that is made in a catalog.
            path: `direct` reads and writes Parquet files past Spark's engine, `general` goes
                through it; `auto` is direct where that gives the same.
            batch_rows: rows given to the model at once, at most; fewer where rows are wide.
            max_age: refuse an envelope that was saved longer ago.
            allow_row_dependent: predict although answers depend on the rows around.
            spark: where Spark runs and how it is started.

        Returns:
            What was done: envelope, rows, durations, statistics of input and output.

        Raises:
            EnvelopeError: see `batch.run.batch_predict`. The output is as it was.
        """
        from model_envelope.batch.request import batch_request
        from model_envelope.batch.run import SparkOptions, batch_predict

        request = batch_request(
            input_table=input_table,
            output_table=output_table,
            run_key=run_key or uuid.uuid4().hex,
            logical_date=logical_date,
            query_function=query_function,
            sql=sql,
            join_on=join_on,
            join_type=join_type,
            keep_columns=keep_columns,
            write_mode=write_mode,
            partition_columns=partition_columns,
            extra_columns=extra_columns,
            table_format=table_format,
            path=path,
            batch_rows=batch_rows,
        )
        return batch_predict(
            self,
            lambda: self._envelope(q).record,
            request,
            spark=spark or SparkOptions(),
            max_age=max_age,
            allow_row_dependent=allow_row_dependent,
        )
