"""What the store does; the same tests over SQLite and PostgreSQL."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from model_envelope.envelope import EnvelopeRecord, FileRef, Manifest
from model_envelope.errors import (
    EnvelopeNotFound,
    InvalidInput,
    InvalidName,
    InvalidTag,
    LeaseLost,
    SaveConflict,
)
from model_envelope.names import MAX_KEY, MAX_TAGS, MAX_VALUE, new_id
from model_envelope.runtime.spec import Column, FunctionSpec, Signature
from model_envelope.store.rows import MetricPoint
from model_envelope.store.store import Store
from model_envelope.tag_query import parse

Save = Callable[..., EnvelopeRecord]
NewManifest = Callable[..., Manifest]

HOUR = timedelta(hours=1)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EVERYTHING = parse({})


def point(name: str, value: float | None = 0.5, step: int = 0, **more: Any) -> MetricPoint:
    return MetricPoint(**{"name": name, "value": value, "step": step, "at": NOON, **more})


def ids(store: Store, query: str) -> list[str]:
    return [record.id for record in store.query(parse(query)).records]


# Saving


def test_a_saved_envelope_is_there_with_all_that_was_said_of_it(
    store: Store, save: Save, new_manifest: NewManifest
) -> None:
    manifest = new_manifest()
    saved = save(
        manifest,
        description="Predicts client LTV",
        tags={"canonical_name": "client_ltv", "region": "US"},
        metrics=[point("auc", 0.9)],
        hyperparameters={"depth": 3},
    )
    assert store.get(manifest.id) == saved
    assert saved.manifest == manifest
    assert saved.tags == {"canonical_name": "client_ltv", "region": "US"}
    assert saved.description == "Predicts client LTV"
    assert (saved.archived, saved.reproducible) == (False, "unproved")
    assert store.metric_rows(EVERYTHING)["value"] == [0.9]
    assert store.hyperparameters([manifest.id]) == {manifest.id: {"depth": 3}}
    (change,) = store.changes(0)
    assert (change.kind, change.envelope_id, change.actor) == ("saved", manifest.id, "ada")
    assert change.revision == saved.revision == store.head()
    assert change.data == {"before": {}, "after": dict(saved.tags)}
    assert abs(change.at - datetime.now(UTC)) < HOUR


def test_nothing_is_visible_before_the_commit(store: Store, new_manifest: NewManifest) -> None:
    manifest = new_manifest()
    store.begin_upload(manifest.id, HOUR)
    with pytest.raises(EnvelopeNotFound):
        store.get(manifest.id)
    assert store.count(EVERYTHING) == 0
    assert store.changes(0) == ()
    assert store.head() == 0


def test_a_repeated_commit_gives_the_same_envelope(
    store: Store, save: Save, new_manifest: NewManifest
) -> None:
    manifest = new_manifest()
    first = save(manifest, save_key="k", region="US")
    again = store.commit_envelope(
        manifest=manifest,
        manifest_sha256=first.manifest_sha256,
        description="A model",
        tags={"region": "US"},
        save_key="k",
    )
    assert again == first
    assert len(store.changes(0)) == 1
    assert store.find_save("k") == first
    assert store.find_save("other") is None


def test_a_save_key_is_for_one_model(store: Store, save: Save, new_manifest: NewManifest) -> None:
    first = save(save_key="k")
    other = new_manifest()
    with pytest.raises(SaveConflict, match=first.id):
        save(other, save_key="k")
    assert [record.id for record in store.query(EVERYTHING).records] == [first.id]
    # The upload of the other is still open: it may be committed under its own key.
    assert save(other, save_key="l").id == other.id


def test_two_commits_of_one_save_key_at_once_make_one_envelope(
    store: Store, save: Save, new_manifest: NewManifest
) -> None:
    for attempt in range(5):
        outcomes: list[str] = []
        start = threading.Barrier(2)

        def commit(key: str, outcomes: list[str], start: threading.Barrier) -> None:
            manifest = new_manifest()
            start.wait()
            try:
                outcomes.append(save(manifest, save_key=key).id)
            except SaveConflict:
                outcomes.append("conflict")

        arguments = (f"key {attempt}", outcomes, start)
        threads = [threading.Thread(target=commit, args=arguments) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(outcomes), outcomes.count("conflict")) == (2, 1)
    assert store.count(EVERYTHING) == 5
    assert [change.revision for change in store.changes(0)] == [1, 2, 3, 4, 5]


def test_only_an_open_upload_can_be_committed(store: Store, new_manifest: NewManifest) -> None:
    never_begun, abandoned = new_manifest(), new_manifest()
    store.begin_upload(abandoned.id, HOUR)
    store.abandon_upload(abandoned.id)
    for manifest in (never_begun, abandoned):
        with pytest.raises(LeaseLost, match=manifest.id):
            store.commit_envelope(
                manifest=manifest, manifest_sha256="", description="", tags={}, save_key="k"
            )
    with pytest.raises(LeaseLost):
        store.begin_upload(abandoned.id, HOUR)
    assert store.head() == 0


HOSTILE_TAGS: list[Any] = [
    {"": "x"},
    {"x": ""},
    {" x": "x"},
    {"x": "y "},
    {"a\n": "x"},
    {"x": "a\n"},
    {"x": "a\0b"},
    {"x": "\u202egnp.exe"},
    {"x": "zero\u200bwidth"},
    {"x": "\ud800"},
    {"x": 3},
    {3: "x"},
    {"x": None},
    {"x": ["y"]},
    {"k" * (MAX_KEY + 1): "x"},
    {"x": "v" * (MAX_VALUE + 1)},
    {"x": "é" * (MAX_VALUE // 2 + 1)},
    {"x": "v" * 10_000},
    {str(i): "x" for i in range(1001)},
    [("x", "y")],
    "x=y",
]


@pytest.mark.parametrize("tags", HOSTILE_TAGS, ids=lambda tags: repr(tags)[:30])
def test_hostile_tags_are_refused_and_nothing_is_written(
    store: Store, save: Save, new_manifest: NewManifest, tags: Any
) -> None:
    kept = save(region="US")
    manifest = new_manifest()
    store.begin_upload(manifest.id, HOUR)
    with pytest.raises(InvalidTag):
        store.commit_envelope(
            manifest=manifest, manifest_sha256="", description="", tags=tags, save_key="k"
        )
    with pytest.raises(InvalidTag):
        store.set_tags(kept.id, tags)
    assert store.get(kept.id) == kept
    assert store.head() == 1


def test_odd_tags_are_stored_to_the_letter(store: Store, save: Save) -> None:
    tags = {
        "' OR 1=1--": "'; DROP TABLE envelope; --",
        "<script>": "<b>&amp;</b>",
        "100%_": "\\%\\_ {} %s :name ?",
        "ключ": "価値 🎁",
        "k" * MAX_KEY: "v" * MAX_VALUE,
        "wide": "🎁" * (MAX_VALUE // 4),
        "Case": "Kept",
    }
    saved = save(tags=tags)
    assert store.get(saved.id).tags == tags
    for key, value in tags.items():
        assert store.latest(parse({key: value})) == saved
        assert store.latest(parse({key: value[1:] + "x"})) is None
    assert {facet.key: facet.values for facet in store.tag_facets(EVERYTHING)} == {
        key: ((value, 1),) for key, value in tags.items()
    }


@pytest.mark.parametrize("description", ["x" * 20_001, "nul\0", "\ud800", 3, None])
def test_hostile_descriptions_are_refused(store: Store, save: Save, description: Any) -> None:
    kept = save()
    with pytest.raises(InvalidInput, match="description"):
        store.set_description(kept.id, description)
    with pytest.raises(InvalidInput, match="description"):
        save(description=description)
    assert store.head() == 1


# Finding


def test_an_id_can_be_cut_short(store: Store, save: Save, new_manifest: NewManifest) -> None:
    one = save(new_manifest(id="abcd0" + "0" * 15))
    two = save(new_manifest(id="abcd1" + "0" * 15))
    deleted = save(new_manifest(id="abcd2" + "0" * 15))
    store.delete(deleted.id, HOUR)
    assert store.resolve("abcd0") == one
    assert store.resolve(two.id) == two
    with pytest.raises(InvalidInput, match=f"{one.id}, {two.id}"):
        store.resolve("abcd")
    for prefix in ("ffff", "abcd2", deleted.id):
        with pytest.raises(EnvelopeNotFound, match=prefix):
            store.resolve(prefix)


def test_several_are_got_at_once_but_for_those_that_are_not_there(store: Store, save: Save) -> None:
    one, two, gone = save(tags={"a": "1"}), save(), save()
    store.delete(gone.id, HOUR)
    asked = [two.id, gone.id, new_id(), one.id, two.id]
    assert store.records(asked) == {one.id: one, two.id: two}
    assert store.records([]) == {}


@pytest.mark.parametrize(
    "prefix", ["", "abc", "%%%%", "____", "ABCD", "abcd' OR '1'='1", "abcd\n", "a" * 21, "../x"]
)
def test_what_is_no_id_is_refused(store: Store, save: Save, prefix: str) -> None:
    save()
    with pytest.raises(InvalidName):
        store.resolve(prefix)


def pages(store: Store, query: str, **options: Any) -> list[str]:
    """The ids of all pages, three at a time."""
    found: list[str] = []
    after = None
    while True:
        page = store.query(parse(query), limit=3, after=after, **options)
        found += [record.id for record in page.records]
        assert len(page.records) == 3 or page.next is None
        if page.next is None:
            return found
        after = page.next


def test_pages_follow_the_order_of_commits(store: Store, save: Save) -> None:
    saved = [save(name="x").id for _ in range(6)]
    save(name="y")
    assert pages(store, "name == 'x'") == saved[::-1]
    assert pages(store, "name == 'x'", descending=False) == saved
    assert pages(store, "name in ('x', 'z') or missing == 'q'") == saved[::-1]
    assert pages(store, "not name == 'y'") == saved[::-1]
    assert pages(store, "name == 'z'") == []


def test_pages_follow_a_metric_with_those_without_it_last(store: Store, save: Save) -> None:
    values = [0.5, None, 0.1 + 0.2, -math.inf, 0.5, math.inf, None, 0.3, math.nan]
    saved = []
    for value in values:
        body = {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value or 0.0)
        body = "NaN" if value is not None and math.isnan(value) else body
        logged = [] if value is None else [point("m", None if body else value, body=body)]
        saved.append(save(metrics=logged).id)
    last = [saved[i] for i in (8, 6, 1)]
    greatest = [saved[i] for i in (5, 4, 0, 2, 7, 3)]
    least = [saved[i] for i in (3, 7, 2, 4, 0, 5)]
    assert pages(store, "True", order_by="metric:m") == greatest + last
    assert pages(store, "True", order_by="metric:m", descending=False) == least + last
    assert pages(store, "metric.m < 0.4", order_by="metric:m") == [saved[i] for i in (2, 7, 3)]


def test_a_page_is_not_disturbed_by_a_save_meanwhile(store: Store, save: Save) -> None:
    saved = [save().id for _ in range(4)]
    first = store.query(EVERYTHING, limit=2)
    save()
    second = store.query(EVERYTHING, limit=2, after=first.next)
    assert [r.id for r in (*first.records, *second.records)] == saved[::-1]


@pytest.mark.parametrize(
    "options",
    [
        {"limit": 0},
        {"limit": 1001},
        {"limit": "all"},
        {"order_by": "name"},
        {"order_by": "metric:"},
        {"order_by": "metric:x; DROP TABLE"},
        {"order_by": None},
        {"after": "x"},
        {"after": "'; --"},
        {"after": "W10"},
    ],
)
def test_a_page_that_cannot_be_is_refused(
    store: Store, save: Save, options: dict[str, Any]
) -> None:
    save()
    with pytest.raises(InvalidInput):
        store.query(EVERYTHING, **options)


def test_a_cursor_is_of_one_order(store: Store, save: Save) -> None:
    save()
    save()
    after = store.query(EVERYTHING, limit=1).next
    with pytest.raises(InvalidInput, match="order"):
        store.query(EVERYTHING, after=after, descending=False)


def test_latest_is_the_last_commit_whatever_the_clocks_say(
    store: Store, save: Save, new_manifest: NewManifest
) -> None:
    ahead = save(new_manifest(created_at=datetime.now(UTC) + HOUR), name="x")
    behind = save(new_manifest(created_at=datetime.now(UTC) - HOUR), name="x")
    assert store.latest(parse("name == 'x'")) == behind
    store.set_tags(ahead.id, {"passes_tests": "yes"})
    assert store.latest(parse("name == 'x'")) == behind
    store.remove_tags(behind.id, ["name"])
    found = store.latest(parse("name == 'x'"))
    assert found is not None
    assert found.id == ahead.id


def test_facets_count_the_tags_of_matches(store: Store, save: Save) -> None:
    for region in ("US", "US", "UK"):
        save(name="x", region=region)
    store.archive(save(name="x", region="FR").id)
    save(name="y", region="DE")
    facets = store.tag_facets(parse("name == 'x'"))
    assert [(facet.key, facet.envelopes, facet.values) for facet in facets] == [
        ("name", 3, (("x", 3),)),
        ("region", 3, (("US", 2), ("UK", 1))),
    ]
    (regions,) = store.tag_facets(parse("name == 'x'"), keys=["region"], top=1)
    assert regions.values == (("US", 2),)


# Saying more


def test_tags_have_a_history(store: Store, save: Save) -> None:
    saved = save(region="US", owner="ada")
    store.set_tags(saved.id, {"region": "UK", "stage": "test"}, actor="bob")
    store.remove_tags(saved.id, ["owner", "never"], actor="eve")
    assert store.get(saved.id).tags == {"region": "UK", "stage": "test"}
    assert [(c.kind, c.actor, c.data) for c in store.history(saved.id)] == [
        ("saved", "ada", {"before": {}, "after": {"region": "US", "owner": "ada"}}),
        (
            "tags",
            "bob",
            {"before": {"region": "US"}, "after": {"region": "UK", "stage": "test"}},
        ),
        ("tags", "eve", {"before": {"owner": "ada"}, "after": {}}),
    ]
    assert store.latest(parse("region == 'US'")) is None
    assert store.latest(parse("region == 'UK' and not owner")) == store.get(saved.id)


def test_saying_the_same_again_is_no_change(store: Store, save: Save) -> None:
    saved = save(region="US", description="A model")
    store.set_tags(saved.id, {"region": "US"})
    store.remove_tags(saved.id, ["owner"])
    store.set_description(saved.id, "A model")
    store.unarchive(saved.id)
    store.undelete(saved.id)
    store.log_metrics(saved.id, [])
    store.set_hyperparameters(saved.id, {})
    assert store.head() == 1


def test_an_envelope_has_only_so_many_tags(store: Store, save: Save) -> None:
    saved = save(tags={f"tag {i}": "x" for i in range(MAX_TAGS)})
    with pytest.raises(InvalidTag, match=str(MAX_TAGS)):
        store.set_tags(saved.id, {"one more": "x"})
    store.set_tags(saved.id, {"tag 0": "y"})
    assert store.get(saved.id).tags["tag 0"] == "y"
    assert len(store.get(saved.id).tags) == MAX_TAGS


def test_a_description_has_a_history(store: Store, save: Save) -> None:
    saved = save(description="first")
    store.set_description(saved.id, "second\nline <b>", actor="bob")
    assert store.get(saved.id).description == "second\nline <b>"
    change = store.history(saved.id)[-1]
    assert (change.kind, change.actor) == ("description", "bob")
    assert change.data == {"before": "first", "after": "second\nline <b>"}


def test_archived_envelopes_wait_to_be_asked_for(store: Store, save: Save) -> None:
    kept, archived = save(name="x"), save(name="x")
    store.archive(archived.id, actor="bob")
    query = parse("name == 'x'")
    assert store.get(archived.id).archived
    assert store.latest(query) == kept
    assert store.count(query) == 1
    assert store.count(query, include_archived=True) == 2
    assert ids(store, "name == 'x' and archived") == [archived.id]
    page = store.query(query, include_archived=True)
    assert [record.id for record in page.records] == [archived.id, kept.id]
    store.unarchive(archived.id)
    assert store.latest(query) == archived
    assert [c.kind for c in store.history(archived.id)] == ["saved", "archived", "unarchived"]


def test_a_deleted_envelope_is_gone_for_everyone_until_undeleted(store: Store, save: Save) -> None:
    kept, deleted = save(name="x"), save(name="x", metrics=[point("m")])
    store.delete(deleted.id, HOUR, actor="bob")
    store.delete(deleted.id, HOUR)
    query = parse("name == 'x'")
    assert store.latest(query) == kept
    assert store.count(query, include_archived=True) == 1
    assert store.metric_rows()["value"] == []
    assert store.metric_names(EVERYTHING) == ()
    refused: list[Callable[[], object]] = [
        lambda: store.get(deleted.id),
        lambda: store.set_tags(deleted.id, {"a": "b"}),
        lambda: store.set_description(deleted.id, "x"),
        lambda: store.archive(deleted.id),
        lambda: store.log_metrics(deleted.id, [point("m")]),
        lambda: store.set_hyperparameters(deleted.id, {"a": 1}),
        lambda: store.record_verification(deleted.id, "proved"),
        lambda: store.start_batch("run", deleted.id, {}),
    ]
    for change in refused:
        with pytest.raises(EnvelopeNotFound, match=deleted.id):
            change()
    assert [c.kind for c in store.history(deleted.id)] == ["saved", "deleted"]
    store.undelete(deleted.id)
    assert store.latest(query) == deleted
    assert store.metric_rows(query)["value"] == [0.5]


def test_what_never_was_is_not_found(store: Store) -> None:
    missing = new_id()
    changes: list[Callable[[], object]] = [
        lambda: store.get(missing),
        lambda: store.history(missing),
        lambda: store.delete(missing, HOUR),
        lambda: store.undelete(missing),
        lambda: store.remove_tags(missing, ["x"]),
        lambda: store.unarchive(missing),
    ]
    for change in changes:
        with pytest.raises(EnvelopeNotFound, match=missing):
            change()
    assert store.head() == 0


def test_verification_is_recorded(store: Store, save: Save) -> None:
    saved = save()
    store.record_verification(saved.id, "failed", "row 3: 1.0 != 2.0\0", actor="ci")
    found = store.get(saved.id)
    assert (found.reproducible, found.reproducible_reason) == (
        "failed",
        "row 3: 1.0 != 2.0\N{REPLACEMENT CHARACTER}",
    )
    assert store.history(saved.id)[-1].kind == "verified"
    store.record_verification(saved.id, "proved")
    assert store.get(saved.id).reproducible == "proved"


def test_functions_can_be_added_and_never_change(store: Store, save: Save) -> None:
    saved = save()
    columns = (Column(name="x", type="double", nullable=True),)
    spec = FunctionSpec(
        name="explain",
        file="explain.bundle",
        doc="Why",
        input=Signature(columns=columns, arrow="QVJST1c="),
    )
    files = {"explain.bundle": FileRef(sha256="ef" * 32, size=7)}
    store.add_function(saved.id, spec, files, actor="bob")
    store.add_function(saved.id, spec, files)
    found = store.get(saved.id)
    assert found.functions == {**saved.functions, "explain": spec}
    assert list(found.functions) == ["predict", "explain"]
    assert found.files == {**saved.files, **files}
    assert [c.kind for c in store.history(saved.id)] == ["saved", "function"]
    for name in ("explain", "predict"):
        with pytest.raises(InvalidInput, match=name):
            store.add_function(saved.id, FunctionSpec(name=name, file="other"), {})
    with pytest.raises(InvalidName):
        store.add_function(saved.id, FunctionSpec(name="../x", file="x"), {})
    assert store.get(saved.id) == found


# What happened


def test_no_change_is_lost_or_out_of_order_while_many_write(store: Store, save: Save) -> None:
    writers, each = 8, 12
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            saved = save(writer=str(number))
            for i in range(each - 1):
                store.set_tags(saved.id, {"i": str(i)})
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(writers)]
    for thread in threads:
        thread.start()
    seen: list[int] = []
    writing = True
    while writing:
        writing = any(thread.is_alive() for thread in threads)
        while portion := store.changes(seen[-1] if seen else 0, limit=7):
            seen += [change.revision for change in portion]
    assert failures == []
    assert seen == list(range(1, writers * each + 1))


def test_changes_come_in_portions(store: Store, save: Save) -> None:
    for _ in range(5):
        save()
    assert [change.revision for change in store.changes(0, limit=2)] == [1, 2]
    assert [change.revision for change in store.changes(3)] == [4, 5]
    assert store.changes(5) == ()


def test_a_cursor_moves_once(store: Store) -> None:
    assert store.get_cursor("rules") == 0
    assert store.advance_cursor("rules", 0, 7)
    assert store.get_cursor("rules") == 7
    assert not store.advance_cursor("rules", 0, 5)
    assert store.advance_cursor("rules", 7, 9)
    assert not store.advance_cursor("rules", 7, 8)
    assert (store.get_cursor("rules"), store.get_cursor("other")) == (9, 0)


# Metrics


def test_metrics_are_logged_later_and_read_in_order(store: Store, save: Save) -> None:
    one, two = save(name="x"), save(name="y")
    later = NOON + HOUR
    curve = point("roc", None, type="roc_curve", body='{"auc": 1}')
    store.log_many(
        {
            two.id: [point("loss", 0.1, 1, at=later), point("loss", 0.2, 0)],
            one.id: [curve, point("loss", -1e308, -5)],
        },
        actor="bob",
    )
    found = store.metric_rows(EVERYTHING)
    assert found["envelope_id"] == [one.id, one.id, two.id, two.id]
    assert found["name"] == ["loss", "roc", "loss", "loss"]
    assert found["step"] == [-5, 0, 0, 1]
    assert found["value"] == [-1e308, None, 0.2, 0.1]
    assert found["body"] == [None, '{"auc": 1}', None, None]
    assert found["type"] == ["scalar", "roc_curve", "scalar", "scalar"]
    assert found["at"] == [NOON, NOON, NOON, later]
    assert found["saved_at"] == [one.created_at] * 2 + [two.created_at] * 2
    assert store.metric_names(parse("name == 'x'")) == ("loss", "roc")
    assert [(c.envelope_id, c.data) for c in store.changes(2)] == [
        *sorted([(one.id, {"names": ["loss", "roc"]}), (two.id, {"names": ["loss"]})])
    ]
    assert [change.revision for change in store.changes(0)] == [1, 2, 3, 4]
    assert store.head() == 4


def test_metric_rows_are_chosen_by_query_name_time_and_envelope(store: Store, save: Save) -> None:
    one, two = save(name="x"), save(name="y")
    for saved in (one, two):
        points = [point(m, s, s, at=NOON + s * HOUR) for m in ("a", "b") for s in range(3)]
        store.log_metrics(saved.id, points)

    def count(*arguments: Any, **options: Any) -> int:
        return len(store.metric_rows(*arguments, **options)["step"])

    assert count() == 12
    assert count(parse("name == 'x'")) == 6
    assert count(parse("name == 'x'"), ["a"]) == 3
    assert count(None, ["a", "none"]) == 6
    assert count(None, []) == 0
    assert count(since=NOON + HOUR) == 8
    assert count(until=NOON + HOUR) == 4
    assert count(since=NOON + HOUR, until=NOON + 2 * HOUR) == 4
    assert count(envelope_ids=[two.id]) == 6
    assert count(parse("name == 'x'"), envelope_ids=[two.id]) == 0


def test_a_step_that_is_logged_again_is_replaced(store: Store, save: Save) -> None:
    saved = save()
    store.log_metrics(saved.id, [point("loss", 1.0, 3), point("loss", 2.0, 3)])
    assert store.metric_rows()["value"] == [2.0]
    store.log_metrics(saved.id, [point("loss", None, 3, type="table", body="[]", at=NOON + HOUR)])
    found = store.metric_rows()
    assert (found["value"], found["type"], found["body"]) == ([None], ["table"], ["[]"])
    assert found["at"] == [NOON + HOUR]


def test_the_last_step_of_a_metric_is_its_value_in_queries(store: Store, save: Save) -> None:
    saved = save()
    expected = [(1, 0.5), (5, 0.9), (3, 0.1), (5, 0.8)]
    for step, value in expected:
        store.log_metrics(saved.id, [point("auc", value, step)])
    assert ids(store, "metric.auc == 0.8") == [saved.id]
    store.log_metrics(saved.id, [point("auc", 0.1, 9), point("auc", 0.7, 8)])
    assert ids(store, "metric.auc < 0.2") == [saved.id]
    assert ids(store, "metric.auc > 0.2") == []


def test_nan_is_in_no_comparison_and_infinity_is(store: Store, save: Save) -> None:
    saved = save(metrics=[point("loss", 0.5, 1), point("top", None, 1, body="Infinity")])
    store.log_metrics(saved.id, [point("loss", None, 2, body="NaN")])
    assert ids(store, "metric.top > 1e300") == [saved.id]
    for query in ("metric.loss > 0", "metric.loss <= 0", "metric.loss == 0.5", "metric.loss"):
        assert ids(store, query) == []
        assert ids(store, f"not ({query})") == [saved.id]
    # Steps before the last one do not bring a number back.
    store.log_metrics(saved.id, [point("loss", 0.5, 1)])
    assert ids(store, "metric.loss") == []
    store.log_metrics(saved.id, [point("loss", 0.5, 3)])
    assert ids(store, "metric.loss == 0.5") == [saved.id]


@pytest.mark.parametrize(
    "bad",
    [
        point("loss", math.nan),
        point("loss", math.inf),
        point("a b"),
        point("' OR 1=1--"),
        point("x" * 201),
        point("loss\n"),
    ],
    ids=lambda bad: f"{bad.name[:12]!r} {bad.value}",
)
def test_what_cannot_be_logged_leaves_nothing_of_its_batch(
    store: Store, save: Save, bad: MetricPoint
) -> None:
    saved = save()
    with pytest.raises(InvalidInput):
        store.log_metrics(saved.id, [point("fine"), bad])
    with pytest.raises(EnvelopeNotFound):
        store.log_many({saved.id: [point("fine")], new_id(): [point("fine")]})
    assert store.metric_rows()["name"] == []
    assert store.head() == 1


def test_many_points_at_once(store: Store, save: Save) -> None:
    saved = [save() for _ in range(3)]
    points = [point(f"m{i % 7}", i / 7, i) for i in range(10_000)]
    store.log_many({record.id: points for record in saved})
    found = store.metric_rows(names=["m3"], envelope_ids=[saved[1].id])
    assert found["value"] == [i / 7 for i in range(3, 10_000, 7)]
    assert len(store.metric_rows()["name"]) == 30_000


def test_two_may_log_the_same_steps_at_once(store: Store, save: Save) -> None:
    one, two = save(), save()
    failures: list[BaseException] = []

    def log(order: int) -> None:
        try:
            points = [point(f"m{i}", float(i), i) for i in range(200)][::order]
            for _ in range(5):
                store.log_many(dict([(one.id, points), (two.id, points)][::order]))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=log, args=(order,)) for order in (1, -1, 1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(store.metric_rows()["name"]) == 400
    assert store.head() == 2 + 4 * 5 * 2


def test_hyperparameters_keep_their_types(store: Store, save: Save) -> None:
    saved = save(hyperparameters={"depth": 3, "lr": 0.1})
    values = {
        "depth": 4,
        "name": "gbt",
        "on": True,
        "none": None,
        "layers": [1, [2.5, "x"]],
        "nested": {"a": {"b": 1}},
        "missing": math.nan,
        "big": 2**62,
    }
    store.set_hyperparameters(saved.id, values, actor="bob")
    expected = {**values, "lr": 0.1, "missing": "nan"}
    other = new_id()
    assert store.hyperparameters([saved.id, other]) == {saved.id: expected, other: {}}
    assert store.history(saved.id)[-1].data == {"names": sorted(values)}
    with pytest.raises(InvalidInput, match="'model' is no plain value"):
        store.set_hyperparameters(saved.id, {"model": object()})
    with pytest.raises(InvalidName):
        store.set_hyperparameters(saved.id, {"a b": 1})


# Environments and runs


def test_the_first_lock_of_an_environment_is_everyones(store: Store) -> None:
    assert store.get_lock("d" * 64) is None
    assert store.put_lock("d" * 64, "numpy==2") == "numpy==2"
    assert store.put_lock("d" * 64, "numpy==3") == "numpy==2"
    assert store.get_lock("d" * 64) == "numpy==2"


def test_a_retried_run_keeps_its_envelope(store: Store, save: Save) -> None:
    first, newer = save(name="x"), save(name="x")
    began = store.start_batch("dag/task/2026-01-01", first.id, {"input": "orders"})
    assert (began.state, began.envelope_id, began.request) == (
        "running",
        first.id,
        {"input": "orders"},
    )
    failed = store.fail_batch("dag/task/2026-01-01", "no Java\0\ud800")
    assert (failed.state, failed.error) == ("failed", "no Java\N{REPLACEMENT CHARACTER}?")
    again = store.start_batch("dag/task/2026-01-01", newer.id, {"input": "orders"})
    assert (again.state, again.envelope_id) == ("running", first.id)
    assert (again.error, again.finished_at) == (None, None)
    done = store.finish_batch("dag/task/2026-01-01", {"rows": 10, "mean": math.nan})
    assert done.state == "done"
    assert done.result == {"rows": 10, "mean": None}
    assert done.finished_at is not None
    assert done.finished_at >= done.started_at
    assert store.batch_predictions() == (done,)
    assert [c.data["state"] for c in store.history(first.id)[1:]] == [
        "running",
        "failed",
        "running",
        "done",
    ]


def test_runs_are_listed_latest_first(store: Store, save: Save) -> None:
    one, two = save(), save()
    for i, saved in enumerate((one, two, one)):
        store.start_batch(f"run {i}", saved.id, {})
    assert [run.run_key for run in store.batch_predictions()] == ["run 2", "run 1", "run 0"]
    assert [run.run_key for run in store.batch_predictions(one.id)] == ["run 2", "run 0"]
    assert [run.run_key for run in store.batch_predictions(limit=1)] == ["run 2"]
    assert [run.envelope_id for run in store.batch_predictions(run_key="run 1")] == [two.id]


def test_a_run_must_be_started(store: Store, save: Save) -> None:
    saved = save()
    with pytest.raises(InvalidInput, match="never"):
        store.finish_batch("never", {})
    with pytest.raises(InvalidInput, match="never"):
        store.fail_batch("never", "x")
    for key in ("", "k" * 513):
        with pytest.raises(InvalidInput, match="512"):
            store.start_batch(key, saved.id, {})
    with pytest.raises(EnvelopeNotFound):
        store.start_batch("run", new_id(), {})
    assert store.batch_predictions() == ()
