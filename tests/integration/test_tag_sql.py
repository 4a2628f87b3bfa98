"""Tag queries as SQL mean what they mean in memory, and take the plans they are made for."""

from __future__ import annotations

import itertools
import json
import math
import random
import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, delete, event, func, insert, select, text

from model_envelope.store import bitmaps, tag_sql
from model_envelope.store.engine import make_engine, parse_url
from model_envelope.store.near_misses import near_misses
from model_envelope.store.surveying import Ask, survey
from model_envelope.store.tables import envelope, metric_latest, tag, tag_bitmap, tag_count
from model_envelope.tag_query import TagQuery, parse
from model_envelope.tag_query.expression import (
    Expression,
    HasMetric,
    HasTag,
    IsArchived,
    MetricIs,
    TagIn,
    all_of,
    any_of,
    clauses,
    holds,
    negate,
    render,
)
from model_envelope.tag_query.parsing import MAX_DEPTH, MAX_TERMS

LARGE = 12_000
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Saved:
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    archived: bool = False
    deleted: bool = False

    def satisfies(self, expression: Expression) -> bool:
        return not self.deleted and holds(expression, self.tags, self.metrics, self.archived)


def id_of(revision: int) -> str:
    # Not in the order of revisions, so that no order by id passes for one by revision.
    return f"{revision * 7919 % 1_000_003:020x}"


@pytest.fixture
def engine(store_url: str) -> Iterator[Engine]:
    engine = make_engine(parse_url(store_url))
    yield engine
    engine.dispose()


def fill(connection: Connection, stored: Sequence[Saved]) -> None:
    """Replace everything: revisions from 1 on."""
    for table in (metric_latest, tag, tag_bitmap, envelope):
        connection.execute(delete(table))
    numbered = [(id_of(revision), revision, saved) for revision, saved in enumerate(stored, 1)]
    rows: dict[Any, list[dict[str, Any]]] = {
        envelope: [_envelope_row(*item) for item in numbered],
        tag: [
            {"key": key, "value": value, "revision": revision, "envelope_id": envelope_id}
            for envelope_id, revision, saved in numbered
            for key, value in saved.tags.items()
        ],
        metric_latest: [
            {
                "envelope_id": envelope_id,
                "name": name,
                "step": 0,
                "value": None if math.isnan(value) else value,
            }
            for envelope_id, _, saved in numbered
            for name, value in saved.metrics.items()
        ],
    }
    for table, values in rows.items():
        if values:
            connection.execute(insert(table), values)
    marks = [
        (row["key"], row["value"], row["revision"])
        for row in rows[tag]
        if not stored[row["revision"] - 1].deleted
    ]
    bitmaps.mark(connection, marks, present=True)
    count_tags(connection, Counter(item for saved in stored for item in saved.tags.items()))


def count_tags(connection: Connection, counts: Mapping[tuple[str, str], int]) -> None:
    connection.execute(delete(tag_count))
    rows = [{"key": key, "value": value, "envelopes": n} for (key, value), n in counts.items()]
    if rows:
        connection.execute(insert(tag_count), rows)


def _envelope_row(envelope_id: str, revision: int, saved: Saved) -> dict[str, Any]:
    return {
        "id": envelope_id,
        "revision": revision,
        "updated_revision": revision,
        "save_key": envelope_id,
        "created_at": MOMENT,
        "description": "",
        "archived": saved.archived,
        "deleted_at": MOMENT if saved.deleted else None,
        "manifest_sha256": "0" * 64,
        "manifest": "{}",
        "environment_digest": "0" * 64,
        "reproducible": "unproved",
        "reproducible_reason": "",
    }


# Queries about few keys and values, so that much matches.

keys = st.sampled_from(["a", "odd-key"])
values = st.sampled_from(["x", "y", "nowhere"])
metric_names = st.just("n/1")
numbers = st.sampled_from([-1.5, 0.0, 0.1, 1e300])
# What is counted may lag or be wrong; it decides the plan, never the answer.
tag_counts = st.dictionaries(st.tuples(keys, values), st.sampled_from([1, 5, 5000]))
many = tuple(f"filler {i}" for i in range(tag_sql.MAX_WALK_TERMS))
leaf: st.SearchStrategy[Expression] = st.one_of(
    st.builds(HasTag, keys),
    st.builds(TagIn, keys, st.tuples(values)),
    st.builds(TagIn, keys, st.tuples(values)),
    st.builds(TagIn, keys, st.lists(values, min_size=2, unique=True).map(tuple)),
    st.builds(TagIn, keys, values.map(lambda value: (value, *many))),
    st.builds(HasMetric, metric_names),
    st.builds(MetricIs, metric_names, st.sampled_from(["==", "<", "<=", ">", ">="]), numbers),
    st.just(IsArchived()),
)
expressions: st.SearchStrategy[Expression] = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda terms: all_of(*terms)),
        st.lists(inner, min_size=2, max_size=3).map(lambda terms: all_of(*terms)),
        st.lists(inner, max_size=3).map(lambda terms: any_of(*terms)),
        inner.map(negate),
    ),
    max_leaves=6,
)


def every_envelope() -> list[Saved]:
    """One of each that the queries above can tell apart, in no particular order."""
    kinds = itertools.product(
        [None, "x", "y"],
        [None, "x", "y"],
        [None, -math.inf, 0.0, 0.1, math.inf, math.nan],
        [False, True],
        [False, True],
    )
    saved = [
        Saved(
            {key: value for key, value in (("a", a), ("odd-key", b)) if value},
            {} if number is None else {"n/1": number},
            archived,
            deleted,
        )
        for a, b, number, archived, deleted in kinds
    ]
    random.Random(0).shuffle(saved)
    return saved


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def full_world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """A store that holds `every_envelope`."""
    if request.param == "sqlite":
        file = tmp_path_factory.mktemp("full") / "store.sqlite"
        shutil.copy(request.getfixturevalue("sqlite_template"), file)
        engine = make_engine(parse_url(f"sqlite:///{file}"))
    else:
        server = request.getfixturevalue("postgres_server")
        database = server.create_database(request.getfixturevalue("postgres_template"))
        engine = make_engine(parse_url(server.url(database)))
    with engine.begin() as connection:
        fill(connection, every_envelope())
    yield engine
    engine.dispose()
    if request.param == "postgres":
        server.drop_database(database)


@settings(max_examples=200, deadline=None)
@given(tag_counts, expressions, st.booleans(), st.sampled_from([1, 7, 1000]))
@example(
    {},
    any_of(TagIn("a", ("x",)), TagIn("odd-key", ("x",))),
    False,
    7,
).via("one envelope on two walks")
def test_sql_finds_what_evaluate_finds(
    full_world: Engine,
    counts: dict[tuple[str, str], int],
    expression: Expression,
    include_archived: bool,
    limit: int,
) -> None:
    query = TagQuery(expression)
    matching = [
        id_of(revision)
        for revision, saved in enumerate(every_envelope(), 1)
        if not saved.deleted
        and (
            saved.satisfies(expression)
            if include_archived
            else query.evaluate(saved.tags, saved.metrics, saved.archived)
        )
    ]
    newest_first = matching[::-1]
    with full_world.begin() as connection:
        count_tags(connection, counts)
        options = {"include_archived": include_archived}
        assert tag_sql.latest(query, connection, **options) == next(iter(newest_first), None)
        assert tag_sql.count(query, connection, **options) == len(matching)
        for predicate in (
            tag_sql.matches(query, **options),
            tag_sql.narrowed(query, connection, **options),
        ):
            found = select(envelope.c.id).where(predicate).order_by(envelope.c.revision)
            assert connection.scalars(found).all() == matching
        for descending in (True, False):
            expected = newest_first if descending else matching
            first = tag_sql.newest(query, connection, limit=limit, descending=descending, **options)
            assert first == expected[:limit]
            if first:
                last = select(envelope.c.revision).where(envelope.c.id == first[-1])
                second = tag_sql.newest(
                    query,
                    connection,
                    limit=limit,
                    beyond=connection.scalar(last),
                    descending=descending,
                    **options,
                )
                assert second == expected[limit : 2 * limit]


stored_envelopes = st.lists(
    st.builds(
        Saved,
        tags=st.dictionaries(keys, values),
        metrics=st.dictionaries(metric_names, numbers | st.just(math.nan)),
        archived=st.sampled_from([False, False, False, True]),
        deleted=st.sampled_from([False, False, False, True]),
    ),
    max_size=8,
)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(stored_envelopes, expressions, st.booleans())
def test_near_misses_are_the_matches_of_all_other_clauses(
    engine: Engine, stored: list[Saved], expression: Expression, include_archived: bool
) -> None:
    query = TagQuery(expression)
    effective = query.effective(include_archived=include_archived)
    assume(not any(saved.satisfies(effective) for saved in stored))
    terms = clauses(effective)
    expected = {}
    for term in terms:
        others = all_of(*(other for other in terms if other != term))
        near = [id_of(r) for r, saved in enumerate(stored, 1) if saved.satisfies(others)]
        if near:
            expected[render(term)] = (len(near), near[-1])
    with engine.begin() as connection:
        fill(connection, stored)
        misses = near_misses(query, connection, include_archived=include_archived)
    if expected:
        assert {m.clause: (m.envelopes, m.newest) for m in misses} == expected
        assert not [m for m in misses if "archived" in m.found and "archived" not in m.clause]
        assert [m.envelopes for m in misses] == sorted((m.envelopes for m in misses), reverse=True)
        return
    by_id = {id_of(r): saved for r, saved in enumerate(stored, 1) if not saved.deleted}
    if not by_id:
        assert misses == ()
        return
    (nearest,) = misses
    satisfied = {i: sum(saved.satisfies(term) for term in terms) for i, saved in by_id.items()}
    assert satisfied[nearest.newest] == max(satisfied.values())
    failed = all_of(*(term for term in terms if not by_id[nearest.newest].satisfies(term)))
    assert nearest.clause == render(failed)


def test_a_near_miss_tells_what_the_newest_has_instead(engine: Engine) -> None:
    ours = {"name": "ltv", "region": "US"}
    with engine.begin() as connection:
        fill(
            connection,
            [
                Saved({**ours, "passes_tests": "no"}, {"auc": 0.5}),
                Saved({**ours, "passes_tests": "false"}),
                Saved({"name": "ltv", "region": "UK", "passes_tests": "true"}, {"auc": 0.95}),
                Saved({**ours, "passes_tests": "true"}, {"auc": 0.95}, archived=True),
            ],
        )
        query = parse("name == 'ltv' and region == 'US' and passes_tests == 'true'")
        assert [(m.clause, m.envelopes, m.found) for m in near_misses(query, connection)] == [
            ("passes_tests == 'true'", 2, "passes_tests='false'"),
            ("region == 'US'", 1, "region='UK'"),
            ("not archived", 1, "archived"),
        ]
        query = parse("region == 'DE' and metric.auc > 0.99")
        assert [(m.clause, m.envelopes, m.found) for m in near_misses(query, connection)] == [
            ("region == 'DE' and metric.auc > 0.99", 3, "region='UK', metric.auc=0.95"),
        ]


# Surveys


asks = st.builds(
    Ask,
    query=expressions.map(TagQuery),
    metric=st.none() | metric_names,
    greatest=st.booleans(),
)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(stored_envelopes, st.lists(asks, min_size=1, max_size=4))
def test_a_survey_finds_the_best_of_each_query_and_what_one_clause_held_back(
    engine: Engine, stored: list[Saved], asked: list[Ask]
) -> None:
    with engine.begin() as connection:
        fill(connection, stored)
        answers = survey(connection, asked, explain=True)
        brief = survey(connection, asked, explain=False)
    assert [(a.envelope_id, a.value) for a in brief] == [(a.envelope_id, a.value) for a in answers]
    assert not any(answer.near for answer in brief)
    there = {r: saved for r, saved in enumerate(stored, 1) if not saved.deleted}
    for ask, answer in zip(asked, answers, strict=True):
        terms = ask.terms

        def rank(revision: int, ask: Ask = ask) -> tuple[float, int]:
            if ask.metric is None:
                return 0.0, revision
            value = there[revision].metrics.get(ask.metric, math.nan)
            return (value if ask.greatest else -value), revision

        matching = [r for r, saved in there.items() if saved.satisfies(all_of(*terms))]
        best = max(matching, key=rank, default=None)
        assert answer.envelope_id == (None if best is None else id_of(best))
        if best is not None and ask.metric is not None:
            assert answer.value == there[best].metrics[ask.metric]
        expected = {}
        for i, term in enumerate(terms):
            others = all_of(*terms[:i], *terms[i + 1 :])
            near = [
                r
                for r, saved in there.items()
                if saved.satisfies(others) and not saved.satisfies(term)
            ]
            if best is not None and ask.metric is not None:
                near = [r for r in near if rank(r)[0] > rank(best)[0]]
            elif best is not None:
                near = [r for r in near if r > best]
            if near:
                expected[render(term)] = (len(near), id_of(max(near)))
        found = {miss.clause: (miss.envelopes, miss.newest) for miss in answer.near}
        if expected or best is not None or not there:
            assert found == expected
            continue
        ((clause, (count, newest)),) = found.items()
        satisfied = {r: sum(saved.satisfies(t) for t in terms) for r, saved in there.items()}
        most = max(r for r in there if satisfied[r] == max(satisfied.values()))
        assert newest == id_of(most)
        failed = [term for term in terms if not there[most].satisfies(term)]
        assert clause == render(all_of(*failed))
        kept = all_of(*(term for term in terms if term not in failed))
        assert count == sum(saved.satisfies(kept) for saved in there.values())


def test_a_survey_tells_what_the_newest_has_instead(engine: Engine) -> None:
    ours = {"name": "ltv", "region": "US", "passes_tests": "true"}
    with engine.begin() as connection:
        fill(
            connection,
            [
                Saved({**ours, "passes_tests": "no"}),
                Saved(ours, {"auc": 0.5}),
                Saved({**ours, "region": "UK"}, {"auc": 0.4}),
                Saved({**ours, "passes_tests": "no"}, {"auc": 0.9}),
                Saved(ours, {"auc": 0.95}, archived=True),
            ],
        )
        query = parse("name == 'ltv' and region == 'US' and passes_tests == 'true'")
        newest, greatest = survey(
            connection, [Ask(query=query), Ask(query=query, metric="auc")], explain=True
        )
    assert newest.envelope_id == greatest.envelope_id == id_of(2)
    told = [(m.clause, m.newest, m.found) for m in newest.near]
    assert told == [
        ("not archived", id_of(5), "archived"),
        ("passes_tests == 'true'", id_of(4), "passes_tests='no'"),
        ("region == 'US'", id_of(3), "region='UK'"),
    ]
    assert [(m.clause, m.newest, m.found) for m in greatest.near] == told[:2]


NASTY = [
    "' OR 1=1--",
    "'; DROP TABLE tag; --",
    "%",
    "_",
    "\\",
    '"',
    "a",
    "A",
    "a\u0301",
    unicodedata.normalize("NFC", "a\u0301"),
    ":x",
    "%(x)s",
    "?",
    "$1",
    "日本",
    "🦆",
    "x" * 1024,
    "nbsp\u00a0inside",
    "null",
    "0",
]


def test_keys_and_values_are_taken_to_the_letter(engine: Engine) -> None:
    with engine.begin() as connection:
        fill(connection, [Saved({key[:256]: value}) for key in NASTY for value in NASTY])
        for i, key in enumerate(NASTY):
            for j, value in enumerate(NASTY):
                query = parse({key[:256]: value})
                revision = i * len(NASTY) + j + 1
                assert parse(query.text) == query
                assert tag_sql.latest(query, connection) == id_of(revision)
                assert tag_sql.count(query, connection) == 1
        assert connection.scalar(select(func.count()).select_from(tag)) == len(NASTY) ** 2


def nested(depth: int) -> str:
    term = "k"
    for i in range(depth // 2 - 1):
        term = f"not (k{i} and {term})"
    return term


EVERY = range(MAX_TERMS)
LARGEST = {
    "or": " or ".join(f"k{i} == 'v'" for i in EVERY),
    "and": " and ".join(f"k{i} == 'v'" for i in EVERY),
    "and not": " and ".join(f"k{i} != 'v'" for i in EVERY),
    "and metrics": " and ".join(f"metric.m{i} > {i}" for i in EVERY),
    "and of in and or": f"k in {tuple(map(str, EVERY))} and ({nested(10)} or "
    + " or ".join(f"k{i} == 'v'" for i in range(MAX_TERMS - 10))
    + ")",
    "in": f"k in {tuple(map(str, range(1_250)))}",
    "nested": nested(MAX_DEPTH),
}


@pytest.mark.parametrize("text", LARGEST.values(), ids=LARGEST)
def test_the_largest_queries_run(engine: Engine, text: str) -> None:
    query = parse(text)
    stored = [Saved({"k": str(i)}, {"m1": 5.0}) for i in range(3)]
    matching = [id_of(r) for r, saved in enumerate(stored, 1) if saved.satisfies(query.expression)]
    with engine.begin() as connection:
        fill(connection, stored)
        assert tag_sql.newest(query, connection, limit=5) == matching[::-1]
        assert tag_sql.count(query, connection) == len(matching)
        assert bool(near_misses(query, connection)) or matching


PLANNED = [
    "name == 'rare' and region == 'US' and passes_tests == 'true'",
    "name == 'rare' and region == 'nowhere' and passes_tests == 'true'",
    "passes_tests == 'true' and region == 'US' and run == '7'",
    "name == 'rare' and region != 'UK' and not stage and (passes_tests == 'true' or region)",
    "name == 'rare' and region == 'UK' or name in ('rare', 'run-7') and region == 'US'",
]


def world(size: int) -> list[Saved]:
    """Five envelopes of one model among many others; the common tags grow with the size."""
    return [
        Saved(
            {
                "name": "rare" if i % (size // 5) == 3 else f"model-{i % 7}",
                "region": "US" if i % 2 else "UK",
                "parity": "odd" if i % 2 else "even",
                "passes_tests": "true" if i % 3 else "false",
                "run": str(i),
            }
        )
        for i in range(size)
    ]


class Work:
    """What a SQLite connection does, in steps of its virtual machine."""

    def __init__(self, connection: Connection) -> None:
        self.steps = 0
        driver: Any = connection.connection.dbapi_connection
        driver.set_progress_handler(self._step, 1)

    def _step(self) -> int:
        self.steps += 1
        return 0


@pytest.mark.parametrize("find", [tag_sql.latest, tag_sql.count])
@pytest.mark.parametrize("query", PLANNED)
def test_sqlite_works_no_more_in_a_larger_store(
    sqlite_store_url: str, query: str, find: Callable[[TagQuery, Connection], object]
) -> None:
    engine = make_engine(parse_url(sqlite_store_url))
    steps = {}
    for size in (200, 5_000):
        with engine.begin() as connection:
            fill(connection, world(size))
            work = Work(connection)
            find(parse(query), connection)
            steps[size] = work.steps
    engine.dispose()
    assert 0 < steps[5_000] <= 1.2 * steps[200]


COMMON = "region == 'US' and parity == '{}' and passes_tests == 'true'"


def test_common_tags_are_not_looked_up_one_by_one_in_sqlite(sqlite_store_url: str) -> None:
    engine = make_engine(parse_url(sqlite_store_url))
    with engine.begin() as connection:
        fill(connection, world(LARGE))
        work = Work(connection)
        assert tag_sql.latest(parse(COMMON.format("even")), connection) is None
        assert tag_sql.latest(parse(COMMON.format("odd")), connection) == id_of(LARGE)
        assert 0 < work.steps < LARGE / 4
    engine.dispose()


@pytest.fixture(scope="module", params=["with statistics", "without statistics"])
def large_postgres(request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A large PostgreSQL store, analyzed or fresh from an import."""
    server = request.getfixturevalue("postgres_server")
    database = server.create_database(request.getfixturevalue("postgres_template"))
    engine = make_engine(parse_url(server.url(database)))
    with engine.begin() as connection:
        for table in (envelope, tag):
            connection.execute(text(f"ALTER TABLE {table} SET (autovacuum_enabled = false)"))
        fill(connection, world(LARGE))
        if request.param == "with statistics":
            connection.execute(text("ANALYZE"))
    with engine.connect() as connection:
        yield connection
    engine.dispose()
    server.drop_database(database)


@pytest.mark.parametrize("query", PLANNED)
def test_latest_on_postgres_reads_the_rarest_tag_only(
    large_postgres: Connection, query: str
) -> None:
    with Statements(large_postgres) as sent:
        tag_sql.latest(parse(query), large_postgres)
    nodes = explain(large_postgres, *sent.statements[-1])
    assert not {"Seq Scan", "Hash Join", "Merge Join", "Bitmap Heap Scan"} & {
        node["Node Type"] for node in nodes
    }
    walked = [node for node in nodes if node.get("Alias", "").startswith("walked")]
    assert walked
    assert all(node["Index Name"] == "pk_tag" for node in walked)
    assert sum(map(rows_read, nodes)) < 200


def test_common_tags_are_not_looked_up_one_by_one_in_postgres(large_postgres: Connection) -> None:
    before = index_scans(large_postgres)
    assert tag_sql.latest(parse(COMMON.format("even")), large_postgres) is None
    assert index_scans(large_postgres) == before
    assert tag_sql.latest(parse(COMMON.format("odd")), large_postgres) == id_of(LARGE)
    assert index_scans(large_postgres) - before < 20


def test_a_page_may_end_in_the_middle_of_a_block_and_go_on_there(store_url: str) -> None:
    engine = make_engine(parse_url(store_url))
    query = parse(COMMON.format("odd") + " and run != '6001'")
    stored = world(LARGE)
    expected = [r for r, saved in enumerate(stored, 1) if query.evaluate(saved.tags)]
    with engine.begin() as connection:
        fill(connection, stored)
        for descending in (True, False):
            found: list[str] = []
            beyond = None
            in_order = expected[::-1] if descending else expected
            while page := tag_sql.newest(
                query, connection, limit=700, beyond=beyond, descending=descending
            ):
                found += page
                beyond = in_order[len(found) - 1]
            assert found == [id_of(revision) for revision in in_order]
    engine.dispose()


@pytest.mark.parametrize(
    "query",
    [
        COMMON.format("odd"),
        COMMON.format("even"),
        "name == 'rare' and region == 'US'",
        "region == 'US' or passes_tests == 'true'",
        "region != 'US' and passes_tests and not stage",
        "metric.auc > 0 or not metric.auc",
    ],
)
def test_a_count_on_postgres_reads_each_tag_once(large_postgres: Connection, query: str) -> None:
    expected = sum(parse(query).evaluate(saved.tags) for saved in world(LARGE))
    before = index_scans(large_postgres)
    with Statements(large_postgres) as sent:
        assert tag_sql.count(parse(query), large_postgres) == expected
    assert index_scans(large_postgres) - before < 20
    nodes = explain(large_postgres, *sent.statements[-1])
    assert sum(map(rows_read, nodes)) < 10 * LARGE


class Statements:
    """The statements sent while it is open, with their parameters."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.statements: list[tuple[str, Any]] = []

    def _note(self, _c: object, _cursor: object, statement: str, parameters: Any, *_: Any) -> None:
        self.statements.append((statement, parameters))

    def __enter__(self) -> Statements:
        event.listen(self.connection, "before_cursor_execute", self._note)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self.connection, "before_cursor_execute", self._note)


def explain(connection: Connection, statement: str, parameters: Any) -> list[dict[str, Any]]:
    """Every node of the plan that PostgreSQL takes for a statement, with what it did."""
    explained = connection.exec_driver_sql(
        f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}", parameters
    ).scalar_one()
    body = json.loads(explained) if isinstance(explained, str) else explained
    return list(nodes_of(body[0]["Plan"]))


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes_of(child)


def rows_read(node: dict[str, Any]) -> int:
    removed = ("Rows Removed by Filter", "Rows Removed by Join Filter")
    rows = node["Actual Rows"] + sum(node.get(name, 0) for name in removed)
    return int(rows * node["Actual Loops"])


def index_scans(connection: Connection) -> int:
    """Index scans of `tag` that this transaction began."""
    counted = text("SELECT idx_scan FROM pg_stat_xact_user_tables WHERE relname = 'tag'")
    return connection.scalar(counted) or 0
