"""The client: every verb of the library, over one store and one place for artifacts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa

from model_envelope import config, isolation, names
from model_envelope.artifacts.opening import open_artifacts
from model_envelope.artifacts.protocol import ArtifactStore, Progress
from model_envelope.client import drafting, saving
from model_envelope.client.batch import BatchVerbs
from model_envelope.client.charts import ChartVerbs
from model_envelope.client.drafting import PREDICT, UNDESCRIBED, Undescribed
from model_envelope.client.envelope import Envelope
from model_envelope.client.misses import not_found
from model_envelope.client.predicting import Model, as_returned, as_table
from model_envelope.client.rules import RuleVerbs
from model_envelope.client.services import ServiceVerbs
from model_envelope.environment.provenance import provenance
from model_envelope.metrics.points import number_of, points_of
from model_envelope.runtime.loading import open_model
from model_envelope.runtime.spec import Rows
from model_envelope.scratch import scratch_folder
from model_envelope.store.opening import open_store
from model_envelope.store.rows import TagFacet
from model_envelope.store.store import Store
from model_envelope.tag_query import Clause, TagQuery, parse

Query = str | Mapping[str, Any] | TagQuery
"""A tag query: its text, or a dict of what tags must equal."""


class Client(BatchVerbs, ChartVerbs, RuleVerbs, ServiceVerbs):
    """All of the library, for one store.

    `me.*` are calls on a client that is made from the environment variables.

    Args:
        store: a SQLAlchemy URL; `MODEL_ENVELOPE_STORE` unless given.
        artifacts: a directory or `s3://bucket/prefix`; `MODEL_ENVELOPE_ARTIFACTS` unless
            given.
        cache: a folder for what can be made again; `MODEL_ENVELOPE_CACHE` unless given.
        state: a folder for what runs on this machine; `MODEL_ENVELOPE_STATE` unless given.

    Nothing is opened before it is needed.
    """

    def __init__(
        self,
        store: str | None = None,
        artifacts: str | None = None,
        *,
        cache: Path | None = None,
        state: Path | None = None,
    ) -> None:
        self._store_url = store or config.store_url()
        self._artifacts_address = artifacts or config.artifacts_address()
        self.cache = cache or config.cache()
        self.state = state or config.state()

    @cached_property
    def store(self) -> Store:
        """The database.

        Raises:
            StoreError: it is away, or its schema is not ours.
        """
        return open_store(self._store_url)

    @cached_property
    def artifacts(self) -> ArtifactStore:
        """Where files are."""
        return open_artifacts(self._artifacts_address)

    @cached_property
    def actor(self) -> str:
        """Who changes things through this client, as the history shows it."""
        return provenance().user

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which another process has a client of the same places."""
        return {
            config.STORE: self._store_url,
            config.ARTIFACTS: self._artifacts_address,
            config.CACHE: str(self.cache),
            config.STATE: str(self.state),
        }

    # Saving

    def save_model(
        self,
        model: Any,
        *,
        tags: Mapping[str, str],
        description: str = "",
        api_input: Any | Undescribed = UNDESCRIBED,
        api_output: Any = None,
        query_functions: Mapping[str, Callable[..., Any] | str] | None = None,
        modules: Sequence[ModuleType] = (),
        requirements: Sequence[str] | None = None,
        golden_rows: int = 20,
        rows: Rows | None = None,
        metrics: Mapping[str, Any] | None = None,
        hyperparameters: Mapping[str, Any] | None = None,
        save_key: str | None = None,
        progress: Progress | None = None,
    ) -> Envelope:
        """Put a model in an envelope.

        Args:
            model: a function, bound method or other callable, or an object with `.predict`.
            tags: strings by string keys: how the model will be found.
            description: what it does, for people.
            api_input: a sample of what it takes: a pandas DataFrame or Series, a numpy array,
                a dict, or a list of dicts. Schema, statistics and golden rows are derived
                from it. None on purpose for a model that cannot be described.
            api_output: what it should give for some rows, where the sample's output does not
                show the type.
            query_functions: further callables by name, or names of the model's methods.
            modules: your own modules that are installed nowhere else: their source travels.
            requirements: packages beyond what the model is seen to use, as in
                `requirements.txt`.
            golden_rows: how many real rows are kept, with the outputs for them.
            rows: `single` if one call takes one row. Found out by trying unless given.
            metrics: logged with it, see `Envelope.log_metrics`.
            hyperparameters: likewise.
            save_key: names this save, so that a retry of it gives the same envelope.
            progress: called with bytes done and bytes in all.

        Returns:
            The envelope, stored and findable.

        Raises:
            EnvelopeError: it cannot be saved; the message says why and what to do. Nothing
                became visible.
        """
        functions = drafting.callables(model, query_functions)
        points = points_of(metrics or {})
        with scratch_folder() as folder:
            draft = drafting.draft(
                folder,
                functions,
                description=description,
                tags=tags,
                api_input=api_input,
                api_output=api_output,
                modules=modules,
                requirements=requirements,
                golden_rows=golden_rows,
                rows=rows,
            )
            record = saving.save(
                self.store,
                self.artifacts,
                draft,
                points=points,
                hyperparameters=hyperparameters or {},
                save_key=save_key,
                progress=progress,
            )
        return Envelope(self, record)

    # Finding

    def get(self, envelope_id: str) -> Envelope:
        """An envelope by its id, or by the first digits of it, at least four.

        Raises:
            EnvelopeNotFound: there is none.
        """
        return Envelope(self, self.store.resolve(envelope_id))

    def query(
        self,
        q: Query,
        *,
        order_by: str = "created",
        descending: bool = True,
        limit: int | None = None,
        include_archived: bool = False,
    ) -> list[Envelope]:
        """Every match, newest first.

        Args:
            q: a tag query.
            order_by: `created`, or `metric:<name>` for the last value of a scalar metric;
                envelopes without it come last.
            descending: the greatest first.
            limit: at most so many.
            include_archived: also those that were archived.
        """
        found = self.iterate(
            q, order_by=order_by, descending=descending, include_archived=include_archived
        )
        return list(islice(found, limit))

    def iterate(
        self,
        q: Query,
        *,
        order_by: str = "created",
        descending: bool = True,
        include_archived: bool = False,
        page: int = 200,
    ) -> Iterator[Envelope]:
        """Every match, fetched a page at a time; see `query`."""
        parsed, after = parse(q), None
        while True:
            found = self.store.query(
                parsed,
                order_by=order_by,
                descending=descending,
                limit=page,
                after=after,
                include_archived=include_archived,
            )
            yield from (Envelope(self, record) for record in found.records)
            after = found.next
            if after is None:
                return

    def count(self, q: Query, *, include_archived: bool = False) -> int:
        """How many envelopes match."""
        return self.store.count(parse(q), include_archived=include_archived)

    def latest(self, q: Query) -> Envelope:
        """The match that was saved last.

        Raises:
            EnvelopeNotFound: nothing matches; names the terms that kept the nearest out.
        """
        query = parse(q)
        record = self.store.latest(query)
        if record is None:
            raise not_found(self.store, query)
        return Envelope(self, record)

    def facets(self, q: Query, keys: Sequence[str] | None = None) -> tuple[TagFacet, ...]:
        """The tags of the matches, with their most frequent values and how often each."""
        return self.store.tag_facets(parse(q), keys)

    def why(self, q: Query, envelope: Envelope | str) -> tuple[Clause, ...]:
        """Every term of a query, and whether it holds for an envelope."""
        record = self._envelope(envelope).record
        query = parse(q)
        rows = self.store.metric_rows(names=query.metrics, envelope_ids=[record.id])
        scalars = {
            name: number_of(value, body)
            for name, value, body in zip(rows["name"], rows["value"], rows["body"], strict=True)
        }
        return query.explain(record.tags, scalars, record.archived)

    # Using

    def load(self, q: Query | Envelope, function: str = PREDICT) -> Model:
        """Load a query function into this process.

        A pickle is code: load only what you trust. Digests are checked first.

        Args:
            q: a tag query, whose latest match is taken; an envelope's id; or an envelope.
            function: which query function.

        Raises:
            EnvelopeNotFound: nothing matches.
            ArtifactError: a file is missing or is not what was saved; nothing ran.
            PredictionFailed: it cannot be loaded here; `predict(…, isolated=True)` may.
        """
        record = self._envelope(q).record
        plan = isolation.load_plan(record, function)
        folder = isolation.fetch(self.artifacts, plan)
        predictor = open_model(folder, plan, scratch=self.cache / "modules", keep=False)
        return Model(record.id, predictor)

    def predict(
        self,
        q: Query | Envelope,
        data: Any,
        *,
        function: str = PREDICT,
        isolated: bool = False,
    ) -> Any:
        """Predict every row of `data`.

        Args:
            q: a tag query, whose latest match is taken; an envelope's id; or an envelope.
            data: what the model takes, or an Arrow table.
            function: which query function.
            isolated: run in the envelope's own environment, which is built on first use,
                in a process of its own.

        Returns:
            See `Model.predict`.
        """
        envelope = self._envelope(q)
        if not isolated:
            return self.load(envelope, function).predict(data)
        spec = isolation.load_plan(envelope.record, function).function
        found = self.predict_isolated(envelope, as_table(data, spec), function)
        return found if isinstance(data, pa.Table) else as_returned(found, data, spec)

    def predict_isolated(self, envelope: Envelope, table: pa.Table, function: str) -> pa.Table:
        """Predict an Arrow table in the envelope's own environment."""
        record = envelope.record
        plan = isolation.load_plan(record, function)
        folder = isolation.fetch(self.artifacts, plan)
        built = isolation.ensure_environment(self.store, record.manifest.environment, self.cache)
        return isolation.run_isolated(built.python, plan, folder, table, self.cache)

    # Moving

    def export_envelope(
        self,
        q: Query | Envelope,
        path: str | Path,
        *,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Path:
        """Write an envelope to one file, with all that was said of it, for another store.

        Args:
            q: a tag query, whose latest match is taken; an envelope's id; or an envelope.
            path: the file.
            overwrite: replace a file that is there.
            progress: called with bytes done and bytes in all.

        Returns:
            The path.

        Raises:
            InvalidInput: the file exists.
            ArtifactError: a file of the envelope is missing or corrupted, or the disk is full.
        """
        from model_envelope.client import transfer

        path = Path(path)
        record = self._envelope(q).record
        transfer.write(self, record, path, overwrite=overwrite, progress=progress)
        return path

    def import_envelope(self, path: str | Path, *, progress: Progress | None = None) -> Envelope:
        """Put an exported envelope into this store, as its newest.

        It keeps its id where that is free, its tags, description, metrics, hyperparameters
        and added query functions, and the lock of its environment. It is to be verified here
        again. The same file once more gives the envelope that is there. Nothing of the model
        runs; whoever loads it later trusts whoever wrote the file.

        Args:
            path: the file.
            progress: called with bytes done and bytes in all.

        Raises:
            InvalidInput: there is no such file, or its envelope was deleted in this store.
            ArtifactCorrupted: the file was changed. Nothing was stored.
        """
        from model_envelope.client import transfer

        return Envelope(self, transfer.read(self, Path(path), progress=progress))

    def _envelope(self, given: Query | Envelope) -> Envelope:
        if isinstance(given, Envelope):
            return given
        if isinstance(given, str) and names.ID.fullmatch(given):
            return self.get(given)
        return self.latest(given)
