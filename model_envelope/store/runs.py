"""The ledger of batch predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Select, and_, or_, select, update

from model_envelope.errors import InvalidInput
from model_envelope.store import changes, lineage, reading, tag_sql
from model_envelope.store.database import insert, printable
from model_envelope.store.rows import BatchRecord, BatchState
from model_envelope.store.tables import batch_prediction, envelope
from model_envelope.tag_query import TagQuery

MAX_RUN_KEY = 512

COLUMNS = [column for column in batch_prediction.c if column.name != "dag_run"]


def start(
    connection: Connection,
    run_key: str,
    envelope_id: str,
    request: Mapping[str, Any],
    airflow: Mapping[str, str],
) -> BatchRecord:
    """Begin a run, or take it up again with the envelope of its first try.

    Raises:
        InvalidInput: the run key is empty or too long.
        EnvelopeNotFound: there is no such envelope.
    """
    if not run_key or len(run_key) > MAX_RUN_KEY:
        raise InvalidInput(f"A run key has 1 to {MAX_RUN_KEY} characters, not {len(run_key)}.")
    found = connection.execute(
        select(batch_prediction.c.envelope_id)
        .where(batch_prediction.c.run_key == run_key)
        .with_for_update()
    ).scalar()
    pinned = found or envelope_id
    chosen = select(envelope.c.id).where(envelope.c.id == pinned, reading.live)
    if connection.execute(chosen).scalar() is None:
        raise reading.not_found(pinned)
    moment = changes.tick(connection)
    this_try = {
        "state": "running",
        "started_at": moment.at,
        "finished_at": None,
        "request": dict(request),
        "error": None,
        "airflow": dict(airflow),
        "dag_run": lineage.run_of(airflow),
    }
    statement = insert(connection, batch_prediction).values(
        run_key=run_key, envelope_id=pinned, **this_try
    )
    row = connection.execute(
        statement.on_conflict_do_update(
            index_elements=[batch_prediction.c.run_key], set_=this_try
        ).returning(*COLUMNS)
    ).one()
    _append(connection, moment, row.envelope_id, run_key, "running")
    return BatchRecord(**row._mapping)


def finish(connection: Connection, run_key: str, result: Mapping[str, Any]) -> BatchRecord:
    """Record what came of a run.

    Raises:
        InvalidInput: it was never started.
    """
    return _end(connection, run_key, "done", result=dict(result), error=None)


def fail(connection: Connection, run_key: str, error: str) -> BatchRecord:
    """Record why a run failed.

    Raises:
        InvalidInput: it was never started.
    """
    return _end(connection, run_key, "failed", error=printable(error))


def _end(connection: Connection, run_key: str, state: BatchState, **values: Any) -> BatchRecord:
    chosen = select(batch_prediction).where(batch_prediction.c.run_key == run_key)
    if connection.execute(chosen.with_for_update()).one_or_none() is None:
        raise InvalidInput(f"No batch prediction {run_key!r} was started in this store.")
    moment = changes.tick(connection)
    row = connection.execute(
        update(batch_prediction)
        .where(batch_prediction.c.run_key == run_key)
        .values(state=state, finished_at=moment.at, **values)
        .returning(*COLUMNS)
    ).one()
    _append(connection, moment, row.envelope_id, run_key, state)
    return BatchRecord(**row._mapping)


def _append(
    connection: Connection,
    moment: changes.Tick,
    envelope_id: str,
    run_key: str,
    state: BatchState,
) -> None:
    changes.append(connection, moment, "batch", envelope_id, actor="", run_key=run_key, state=state)


def find(
    connection: Connection,
    envelope_id: str | None,
    run_key: str | None,
    limit: int,
    *,
    query: TagQuery | None = None,
    before: str | None = None,
) -> tuple[BatchRecord, ...]:
    """Runs, the latest first; see `Store.batch_predictions`."""
    chosen = _newest(limit)
    if envelope_id is not None:
        chosen = chosen.where(batch_prediction.c.envelope_id == envelope_id)
    if run_key is not None:
        chosen = chosen.where(batch_prediction.c.run_key == run_key)
    if query is not None:
        matching = select(envelope.c.id).where(tag_sql.narrowed(query, connection))
        chosen = chosen.where(batch_prediction.c.envelope_id.in_(matching))
    if before is not None:
        other = batch_prediction.alias("other")
        last = select(other.c.started_at).where(other.c.run_key == before).scalar_subquery()
        earlier = batch_prediction.c.started_at < last
        equal = and_(batch_prediction.c.started_at == last, batch_prediction.c.run_key < before)
        chosen = chosen.where(or_(earlier, equal))
    return _records(connection, chosen)


def by_dag_run(connection: Connection, dag_run: str, limit: int) -> tuple[BatchRecord, ...]:
    """What a run of a DAG predicted, the latest first; see `lineage`."""
    return _records(connection, _newest(limit).where(batch_prediction.c.dag_run == dag_run))


def _newest(limit: int) -> Select[Any]:
    latest = batch_prediction.c.started_at.desc(), batch_prediction.c.run_key.desc()
    return select(*COLUMNS).order_by(*latest).limit(limit)


def _records(connection: Connection, chosen: Select[Any]) -> tuple[BatchRecord, ...]:
    return tuple(BatchRecord(**row) for row in connection.execute(chosen).mappings())
