"""The part of the store that keeps what was predicted: one record for each logical run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_envelope.store import lineage, runs
from model_envelope.store.database import Database
from model_envelope.store.rows import BatchRecord
from model_envelope.store.services import NOTHING
from model_envelope.tag_query import TagQuery


class BatchLedger:
    """Batch predictions; one transaction for each call, see `Store`."""

    _database: Database

    def start_batch(
        self,
        run_key: str,
        envelope_id: str,
        request: Mapping[str, Any],
        airflow: Mapping[str, str] = NOTHING,
    ) -> BatchRecord:
        """Begin a run, or take it up again with the envelope of its first try.

        Args:
            run_key: names the logical run.
            envelope_id: what is to predict, unless an earlier try settled it.
            request: what was asked, as JSON.
            airflow: the task that does it, if any; see `environment.provenance`.

        Raises:
            InvalidInput: the run key is empty or too long.
            EnvelopeNotFound: there is no such envelope.
        """
        return self._database.write(lambda c: runs.start(c, run_key, envelope_id, request, airflow))

    def finish_batch(self, run_key: str, result: Mapping[str, Any]) -> BatchRecord:
        """Record what came of a run.

        Raises:
            InvalidInput: it was never started.
        """
        return self._database.write(lambda c: runs.finish(c, run_key, result))

    def fail_batch(self, run_key: str, error: str) -> BatchRecord:
        """Record why a run failed.

        Raises:
            InvalidInput: it was never started.
        """
        return self._database.write(lambda c: runs.fail(c, run_key, error))

    def batch_predictions(
        self,
        envelope_id: str | None = None,
        *,
        run_key: str | None = None,
        query: TagQuery | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> tuple[BatchRecord, ...]:
        """Runs, the latest first: all, or of one envelope, or the one with a key.

        Args:
            envelope_id: of this envelope.
            run_key: with this key.
            query: of matching envelopes.
            before: only those that come after the run of this key.
            limit: at most so many.
        """
        return self._database.read(
            lambda c: runs.find(c, envelope_id, run_key, limit, query=query, before=before)
        )

    def predictions_of_run(
        self, dag_id: str, run_id: str, limit: int = 500
    ) -> tuple[BatchRecord, ...]:
        """What a run of a DAG predicted, the latest first."""
        key = lineage.key(dag_id, run_id)
        return self._database.read(lambda c: runs.by_dag_run(c, key, limit))
