"""The store: one object, one transaction for each call."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import URL, Engine

from model_envelope import names
from model_envelope.artifacts.protocol import ArtifactStore
from model_envelope.envelope import EnvelopeRecord, FileRef, Manifest, Reproducible
from model_envelope.runtime.spec import FunctionSpec
from model_envelope.store import (
    changes,
    collecting,
    disk,
    lineage,
    locks,
    paging,
    reading,
    saving,
    surveying,
    tag_sql,
    tagging,
)
from model_envelope.store.batches import BatchLedger
from model_envelope.store.database import Database
from model_envelope.store.engine import redacted
from model_envelope.store.measuring import Measurements
from model_envelope.store.metric_log import MetricLog
from model_envelope.store.near_misses import NearMiss, near_misses
from model_envelope.store.rows import (
    Change,
    GarbageReport,
    MetricPoint,
    Page,
    TagFacet,
)
from model_envelope.store.rulebook import RuleBook
from model_envelope.store.services import NOTHING, ServiceLedger
from model_envelope.store.surveying import Answer, Ask
from model_envelope.store.views import ViewBook
from model_envelope.tag_query import TagQuery


class Store(BatchLedger, MetricLog, Measurements, RuleBook, ServiceLedger, ViewBook):
    """Envelopes, their tags, metrics and history, in one database. Made by `open_store`.

    So are metrics (`MetricLog`), batch predictions (`BatchLedger`), rules (`RuleBook`), services
    and deployments (`ServiceLedger`), what charts read (`Measurements`) and saved views
    (`ViewBook`).

    Every method is one transaction, so all of it happens or nothing, and may be called
    from any thread. Each may raise `StoreUnavailable` when the database cannot be
    reached; a call that did can be repeated without harm.
    """

    def __init__(self, engine: Engine, url: URL) -> None:
        self._database = Database(engine, url)
        self._url = url
        self._claimed: set[str] = set()

    @property
    def address(self) -> str:
        """Where it is, fit for a log: no credentials."""
        return redacted(self._url)

    def close(self) -> None:
        """Close every connection; the store can still be used and opens new ones."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({self.address!r})"

    # Saving

    def begin_upload(self, envelope_id: str, lease: timedelta) -> None:
        """Reserve an id for a save, or prolong the reservation; see `saving`."""
        names.check_id(envelope_id)
        self._database.write(lambda c: saving.begin_upload(c, envelope_id, lease))

    def commit_envelope(
        self,
        *,
        manifest: Manifest,
        manifest_sha256: str,
        description: str,
        tags: Mapping[str, str],
        save_key: str,
        metrics: Sequence[MetricPoint] = (),
        hyperparameters: Mapping[str, Any] = NOTHING,
    ) -> EnvelopeRecord:
        """End an upload and make its envelope visible.

        The same save key and manifest again give the envelope that is there.

        Raises:
            LeaseLost: the upload expired and was swept, or never began.
            SaveConflict: the save key was used for another manifest.
        """
        names.check_description(description)
        tags = names.check_tags(tags)
        return self._database.write(
            lambda c: saving.commit_envelope(
                c,
                manifest=manifest,
                manifest_sha256=manifest_sha256,
                description=description,
                tags=tags,
                save_key=save_key,
                metrics=metrics,
                hyperparameters=hyperparameters,
            )
        )

    def abandon_upload(self, envelope_id: str) -> None:
        """Give up a save: garbage collection removes what it wrote."""
        self._database.write(lambda c: saving.abandon_upload(c, envelope_id))

    def find_save(self, save_key: str) -> EnvelopeRecord | None:
        """The envelope that was saved under a key, even if it was deleted since."""
        return self._database.read(lambda c: reading.by_save_key(c, save_key))

    def add_function(
        self, envelope_id: str, spec: FunctionSpec, files: Mapping[str, FileRef], actor: str = ""
    ) -> None:
        """Add a query function whose files are stored already.

        Raises:
            EnvelopeNotFound: there is no such envelope.
            InvalidInput: it has another function of that name.
        """
        names.check_identifier(spec.name, "query function's name")
        self._database.write(lambda c: saving.add_function(c, envelope_id, spec, files, actor))

    def claim_artifacts(self, artifacts: ArtifactStore) -> None:
        """Mark artifacts as those of this store: what garbage collection asks for.

        Raises:
            StoreError: they are another store's.
        """
        if artifacts.address not in self._claimed:
            collecting.claim(self._database, artifacts)
            self._claimed.add(artifacts.address)

    # Finding

    def get(self, envelope_id: str) -> EnvelopeRecord:
        """An envelope by its id.

        Raises:
            EnvelopeNotFound: there is none, or it was deleted.
        """
        return self._database.read(lambda c: reading.get(c, envelope_id))

    def resolve(self, prefix: str) -> EnvelopeRecord:
        """An envelope by the first digits of its id, at least four.

        Raises:
            InvalidName: it is no id.
            EnvelopeNotFound: no id starts so.
            InvalidInput: several do.
        """
        return self._database.read(lambda c: reading.resolve(c, prefix))

    def records(self, envelope_ids: Collection[str]) -> dict[str, EnvelopeRecord]:
        """Envelopes by their ids, as many as there are; deleted ones are left out."""
        return self._database.read(lambda c: reading.there(c, envelope_ids))

    def query(
        self,
        query: TagQuery,
        *,
        order_by: str = "created",
        descending: bool = True,
        limit: int = 50,
        after: str | None = None,
        include_archived: bool = False,
    ) -> Page:
        """A page of matches; see `paging.query` for the order and its limits."""
        return self._database.read(
            lambda c: paging.query(
                c,
                query,
                order_by=order_by,
                descending=descending,
                limit=limit,
                after=after,
                include_archived=include_archived,
            )
        )

    def count(self, query: TagQuery, *, include_archived: bool = False) -> int:
        """How many envelopes match."""
        return self._database.read(
            lambda c: tag_sql.count(query, c, include_archived=include_archived)
        )

    def latest(self, query: TagQuery) -> EnvelopeRecord | None:
        """The match that was committed last."""
        return self._database.read(lambda c: reading.latest(c, query))

    def before(self, record: EnvelopeRecord, query: TagQuery, limit: int) -> Page:
        """The newest matches that were committed before an envelope."""
        return self._database.read(lambda c: paging.before(c, record.revision, query, limit))

    def tags_of(self, envelope_ids: Collection[str]) -> dict[str, dict[str, str]]:
        """The tags of envelopes by their ids; what is not there has none."""
        return self._database.read(lambda c: dict(reading.tags_of(c, tuple(envelope_ids))))

    def envelopes_of_run(
        self, dag_id: str, run_id: str, limit: int = 500
    ) -> tuple[EnvelopeRecord, ...]:
        """What a run of a DAG saved, the latest first."""
        key = lineage.key(dag_id, run_id)
        return self._database.read(lambda c: tuple(reading.by_dag_run(c, key, limit)))

    def near_misses(
        self, query: TagQuery, *, include_archived: bool = False
    ) -> tuple[NearMiss, ...]:
        """Why a query has no match: the clauses that kept envelopes out, most excluding first."""
        return self._database.read(
            lambda c: near_misses(query, c, include_archived=include_archived)
        )

    def survey(self, asks: Sequence[Ask], *, explain: bool = False) -> list[Answer]:
        """The best match of each of many queries at one moment, and what nearly was it.

        Args:
            asks: queries, and what makes a match the best.
            explain: also find what one clause held back.
        """
        return self._database.read(lambda c: surveying.survey(c, asks, explain=explain))

    def tag_facets(
        self, query: TagQuery, keys: Collection[str] | None = None, top: int = 10
    ) -> tuple[TagFacet, ...]:
        """The tags of the matches, most frequent first, each with its `top` values."""
        return self._database.read(lambda c: reading.tag_facets(c, query, keys, top))

    # Saying more of an envelope

    def set_tags(self, envelope_id: str, tags: Mapping[str, str], actor: str = "") -> None:
        """Add tags, or give them other values.

        Raises:
            EnvelopeNotFound: there is no such envelope.
            InvalidTag: a key or value is not acceptable, or there would be too many.
        """
        tags = names.check_tags(tags)
        self._database.write(lambda c: tagging.set_tags(c, envelope_id, tags, actor))

    def remove_tags(self, envelope_id: str, keys: Iterable[str], actor: str = "") -> None:
        """Take tags away; those it does not have are fine.

        Raises:
            EnvelopeNotFound: there is no such envelope.
            InvalidTag: a key is not acceptable.
        """
        gone = names.check_tag_keys(tuple(keys))
        self._database.write(lambda c: tagging.remove_tags(c, envelope_id, gone, actor))

    def set_description(self, envelope_id: str, description: str, actor: str = "") -> None:
        """Give an envelope another description.

        Raises:
            EnvelopeNotFound: there is no such envelope.
        """
        text = names.check_description(description)
        self._database.write(lambda c: tagging.set_description(c, envelope_id, text, actor))

    def archive(self, envelope_id: str, actor: str = "") -> None:
        """Keep an envelope out of queries that do not ask for archived ones.

        Raises:
            EnvelopeNotFound: there is no such envelope.
        """
        self._database.write(lambda c: tagging.set_archived(c, envelope_id, True, actor))

    def unarchive(self, envelope_id: str, actor: str = "") -> None:
        """Take an envelope out of the archive.

        Raises:
            EnvelopeNotFound: there is no such envelope.
        """
        self._database.write(lambda c: tagging.set_archived(c, envelope_id, False, actor))

    def delete(self, envelope_id: str, grace: timedelta, actor: str = "") -> None:
        """Make an envelope invisible at once; after the grace period it can be removed.

        Raises:
            EnvelopeNotFound: there is no such envelope.
            EnvelopeInUse: a service needs it.
        """
        self._database.write(lambda c: tagging.delete_envelope(c, envelope_id, grace, actor))

    def undelete(self, envelope_id: str, actor: str = "") -> None:
        """Make a deleted envelope visible again, as it was.

        Raises:
            EnvelopeNotFound: there never was one, or it was removed already.
        """
        self._database.write(lambda c: tagging.undelete(c, envelope_id, actor))

    def record_verification(
        self, envelope_id: str, status: Reproducible, reason: str = "", actor: str = ""
    ) -> None:
        """Record whether the golden rows gave the saved outputs in a rebuilt environment.

        Raises:
            EnvelopeNotFound: there is no such envelope.
        """
        self._database.write(
            lambda c: tagging.record_verification(c, envelope_id, status, reason, actor)
        )

    # What happened

    def history(self, envelope_id: str) -> tuple[Change, ...]:
        """Everything that happened to an envelope, oldest first; also of a deleted one.

        Raises:
            EnvelopeNotFound: there never was one.
        """
        return self._database.read(lambda c: changes.history(c, envelope_id))

    def changes(self, after: int, limit: int = 500) -> tuple[Change, ...]:
        """The first changes with a revision above `after`, without gaps."""
        return self._database.read(lambda c: changes.since(c, after, limit))

    def head(self) -> int:
        """The newest revision."""
        return self._database.read(changes.head)

    def get_cursor(self, name: str) -> int:
        """How far the consumer `name` has read; 0 before the first time."""
        return self._database.read(lambda c: changes.get_cursor(c, name))

    def advance_cursor(self, name: str, from_: int, to: int) -> bool:
        """Move a consumer's cursor; False if another consumer of that name moved it first."""
        return self._database.write(lambda c: changes.advance_cursor(c, name, from_, to))

    # Environments

    @property
    def identity(self) -> str:
        """What tells this store from all others, wherever it is reached from."""
        return self._database.read(changes.store_id)

    def get_lock(self, digest: str) -> str | None:
        """The hashed lock of an environment, if it was resolved before."""
        return self._database.read(lambda c: locks.get(c, digest))

    def put_lock(self, digest: str, text: str) -> str:
        """Keep a lock; gives the one that was there first, so that all use the same."""
        return self._database.write(lambda c: locks.put(c, digest, text))

    # Removing

    def collect_garbage(
        self, artifacts: ArtifactStore, now: datetime | None = None, *, dry_run: bool = False
    ) -> GarbageReport:
        """Remove what no envelope needs; see `collecting`.

        Raises:
            StoreError: the artifacts are, or may be, another store's; nothing was removed.
        """
        embedded = self._url.drivername == "sqlite"
        frees = embedded and not dry_run
        room = disk.room_to_remove(Path(str(self._url.database))) if frees else nullcontext()
        with room:
            return collecting.collect_garbage(self._database, artifacts, now, dry_run=dry_run)
