"""The store against a model of it in memory, in random sequences of operations."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import create_engine, select, text

from model_envelope.artifacts.local import LocalArtifacts
from model_envelope.envelope import Environment, Manifest, Provenance
from model_envelope.errors import EnvelopeNotFound
from model_envelope.names import new_id
from model_envelope.store.opening import open_store
from model_envelope.store.rows import MetricPoint
from model_envelope.store.tables import tag_bitmap
from model_envelope.tag_query import parse

KEYS = st.sampled_from(["name", "region", "odd key", "a'b"])
TAGS = st.dictionaries(KEYS, st.sampled_from(["x", "y", "' OR 1=1--", "ü"]), max_size=3)
QUERIES = [
    "name == 'x'",
    "name == 'x' and region in ('x', 'y')",
    "name == 'x' and region == 'y' and not tag['odd key']",
    "region != 'x'",
    "not name",
    "archived",
    "metric.m > 0.5",
    "name == 'x' or metric.m <= 0.5",
]
EVERYTHING = parse({})
HOUR = timedelta(hours=1)


@dataclass
class Saved:
    """What the store must say of an envelope."""

    manifest: Manifest
    save_key: str
    tags: dict[str, str]
    description: str = "first"
    archived: bool = False
    deleted: bool = False
    metrics: dict[int, float] = field(default_factory=dict)

    @property
    def last_metric(self) -> dict[str, float]:
        return {"m": self.metrics[max(self.metrics)]} if self.metrics else {}


class StoreMachine(RuleBasedStateMachine):
    """Saves, changes and removes envelopes; compares everything after each step."""

    saved: Bundle[Saved] = Bundle("saved")

    def __init__(self, url: str) -> None:
        super().__init__()
        self.engine = create_engine(url)
        self.store = open_store(url)
        self.folder = tempfile.TemporaryDirectory()
        self.artifacts = LocalArtifacts(Path(self.folder.name))
        self.model: list[Saved] = []
        self.changes: list[tuple[str, str]] = []

    def teardown(self) -> None:
        self.store.close()
        self.engine.dispose()
        self.folder.cleanup()

    def did(self, kind: str, saved: Saved, *, changed: bool = True) -> None:
        if changed:
            self.changes.append((kind, saved.manifest.id))

    @rule(target=saved, tags=TAGS)
    def save(self, tags: dict[str, str]) -> Saved:
        manifest = Manifest(
            id=new_id(),
            created_at=datetime.now(UTC),
            functions={},
            files={},
            environment=Environment(python="3", platform="x", distributions=(), digest="d"),
            provenance=Provenance(),
        )
        saved = Saved(manifest, new_id(), dict(tags))
        self.store.begin_upload(manifest.id, HOUR)
        self.artifacts.put(f"{manifest.id}/f", b"", sha256=hashlib.sha256(b"").hexdigest())
        self.commit(saved)
        self.model.append(saved)
        self.did("saved", saved)
        return saved

    def commit(self, saved: Saved) -> Any:
        return self.store.commit_envelope(
            manifest=saved.manifest,
            manifest_sha256=hashlib.sha256(saved.manifest.to_bytes()).hexdigest(),
            description="first",
            tags=saved.tags,
            save_key=saved.save_key,
        )

    @rule(saved=saved)
    def commit_again(self, saved: Saved) -> None:
        assert self.commit(saved).id == saved.manifest.id

    def change(self, saved: Saved, act: Callable[[], object]) -> bool:
        """Whether a change to a live envelope went through; others are refused."""
        if not saved.deleted:
            act()
            return True
        with pytest.raises(EnvelopeNotFound):
            act()
        return False

    @rule(saved=saved, tags=TAGS)
    def set_tags(self, saved: Saved, tags: dict[str, str]) -> None:
        if self.change(saved, lambda: self.store.set_tags(saved.manifest.id, tags)):
            self.did("tags", saved, changed=saved.tags != saved.tags | tags)
            saved.tags |= tags

    @rule(saved=saved, keys=st.sets(KEYS, max_size=2))
    def remove_tags(self, saved: Saved, keys: set[str]) -> None:
        if self.change(saved, lambda: self.store.remove_tags(saved.manifest.id, keys)):
            self.did("tags", saved, changed=bool(keys & set(saved.tags)))
            saved.tags = {k: v for k, v in saved.tags.items() if k not in keys}

    @rule(saved=saved, text=st.sampled_from(["first", "second"]))
    def describe(self, saved: Saved, text: str) -> None:
        if self.change(saved, lambda: self.store.set_description(saved.manifest.id, text)):
            self.did("description", saved, changed=saved.description != text)
            saved.description = text

    @rule(saved=saved, archived=st.booleans())
    def set_archived(self, saved: Saved, archived: bool) -> None:
        act = self.store.archive if archived else self.store.unarchive
        if self.change(saved, lambda: act(saved.manifest.id)):
            kind = "archived" if archived else "unarchived"
            self.did(kind, saved, changed=saved.archived != archived)
            saved.archived = archived

    @rule(saved=saved, step=st.integers(0, 3), value=st.sampled_from([0.25, 0.5, 0.75]))
    def log(self, saved: Saved, step: int, value: float) -> None:
        point = MetricPoint(name="m", step=step, at=datetime.now(UTC), value=value)
        if self.change(saved, lambda: self.store.log_metrics(saved.manifest.id, [point])):
            self.did("metrics", saved)
            saved.metrics[step] = value

    @rule(saved=saved)
    def delete(self, saved: Saved) -> None:
        self.store.delete(saved.manifest.id, HOUR)
        self.did("deleted", saved, changed=not saved.deleted)
        saved.deleted = True

    @rule(saved=saved)
    def undelete(self, saved: Saved) -> None:
        self.store.undelete(saved.manifest.id)
        self.did("undeleted", saved, changed=saved.deleted)
        saved.deleted = False

    @rule(saved=consumes(saved))
    def purge(self, saved: Saved) -> None:
        if saved.deleted:
            self.store.undelete(saved.manifest.id)
            self.did("undeleted", saved)
        self.store.delete(saved.manifest.id, -HOUR)
        self.did("deleted", saved)
        report = self.store.collect_garbage(self.artifacts)
        assert report.purged_envelopes == (saved.manifest.id,)
        self.did("purged", saved)
        self.model.remove(saved)

    def visible(self) -> list[Saved]:
        return [saved for saved in self.model if not saved.deleted]

    @invariant()
    def queries_find_what_matches_in_order(self) -> None:
        for query in map(parse, QUERIES):
            expected = [
                saved.manifest.id
                for saved in reversed(self.visible())
                if query.evaluate(saved.tags, saved.last_metric, saved.archived)
            ]
            page = self.store.query(query)
            assert [record.id for record in page.records] == expected
            assert self.store.count(query) == len(expected)
            latest = self.store.latest(query)
            assert (latest.id if latest else None) == (expected[0] if expected else None)

    @invariant()
    def envelopes_are_as_was_said(self) -> None:
        page = self.store.query(EVERYTHING, descending=False, include_archived=True)
        found = [(r.id, dict(r.tags), r.description, r.archived) for r in page.records]
        assert found == [
            (saved.manifest.id, saved.tags, saved.description, saved.archived)
            for saved in self.visible()
        ]

    @invariant()
    def the_feed_tells_everything_in_order(self) -> None:
        feed = self.store.changes(0, limit=10_000)
        assert [change.revision for change in feed] == list(range(1, len(self.changes) + 1))
        assert [(change.kind, change.envelope_id) for change in feed] == self.changes
        assert self.store.head() == len(self.changes)

    @invariant()
    def the_feed_replayed_gives_the_tags(self) -> None:
        tags: dict[str, dict[str, str]] = {}
        for change in self.store.changes(0, limit=10_000):
            if change.kind in ("saved", "tags"):
                mine = tags.setdefault(change.envelope_id, {})
                for key, value in change.data["before"].items():
                    assert mine.pop(key) == value
                assert not set(mine) & set(change.data["after"])
                mine.update(change.data["after"])
        for saved in self.model:
            assert tags[saved.manifest.id] == saved.tags

    @invariant()
    def tags_are_counted(self) -> None:
        with self.engine.connect() as connection:
            rows = connection.execute(text("SELECT key, value, envelopes FROM tag_count"))
            found = {(key, value): n for key, value, n in rows}
        assert found == Counter(tag for saved in self.visible() for tag in saved.tags.items())

    @invariant()
    def tags_have_their_bits(self) -> None:
        found: dict[tuple[str, str], int] = {}
        with self.engine.connect() as connection:
            for row in connection.execute(select(tag_bitmap)):
                # All revisions of so short a history are of the first block.
                assert row.block == 0
                found[row.key, row.value] = int.from_bytes(row.bits, "little")
        page = self.store.query(EVERYTHING, include_archived=True)
        expected: dict[tuple[str, str], int] = defaultdict(int)
        for record in page.records:
            for item in record.tags.items():
                expected[item] |= 1 << record.revision
        assert found == expected

    @invariant()
    def artifacts_are_those_of_envelopes(self) -> None:
        found = set(self.artifacts.list_ids()) - {"0" * 20}
        assert found == {saved.manifest.id for saved in self.model}


def test_the_store_is_what_its_model_says(emptied: Callable[[], str]) -> None:
    class OfThisDatabase(StoreMachine):
        def __init__(self) -> None:
            super().__init__(emptied())

    run_state_machine_as_test(
        OfThisDatabase,
        settings=settings(
            max_examples=12,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
