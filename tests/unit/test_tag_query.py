from __future__ import annotations

import math
import pickle
import string
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from model_envelope.errors import TagQueryError
from model_envelope.tag_query import Clause, TagQuery, parse
from model_envelope.tag_query.expression import (
    Expression,
    HasMetric,
    HasTag,
    IsArchived,
    MetricIs,
    TagIn,
    all_of,
    any_of,
    negate,
)
from model_envelope.tag_query.parsing import MAX_DEPTH, MAX_LENGTH, MAX_TERMS

ACCEPTED = {
    "region == 'US'": "region == 'US'",
    "region = 'US'": "region == 'US'",
    "region='US'": "region == 'US'",
    'region == "US"': "region == 'US'",
    "'US' == region": "region == 'US'",
    "region != 'US'": "region != 'US'",
    "not region == 'US'": "region != 'US'",
    "not region != 'US'": "region == 'US'",
    "region": "region",
    "not region": "not region",
    "not not region": "region",
    "region in ('US', 'UK')": "region in ('US', 'UK')",
    "region in ['US', 'UK', 'US']": "region in ('US', 'UK')",
    "region in ('US',)": "region == 'US'",
    "region not in ('US', 'UK')": "region not in ('US', 'UK')",
    "not (region in ('US', 'UK'))": "region not in ('US', 'UK')",
    "formula == 'a=b'": "formula == 'a=b'",
    "formula == 'a>=b and c!=d'": "formula == 'a>=b and c!=d'",
    "formula = 'a' or formula='b=c'": "formula == 'a' or formula == 'b=c'",
    """quote == "it's" """: '''quote == "it's"''',
    r"path == 'C:\\models'": r"path == 'C:\\models'",
    r"letter == '\x41\u0042\U00000043'": "letter == 'ABC'",
    "note == 'größe ✓'": "note == 'größe ✓'",
    "tag['odd-key'] == 'x'": "tag['odd-key'] == 'x'",
    "tag['größe']": "tag['größe']",
    "tag['region'] == 'US'": "region == 'US'",
    "tag['archived'] == 'x'": "tag['archived'] == 'x'",
    "tag['metric'] or tag['tag'] or tag['class']": "tag['metric'] or tag['tag'] or tag['class']",
    "Archived == 'no'": "Archived == 'no'",
    "archived": "archived",
    "not archived and region == 'US'": "not archived and region == 'US'",
    "metric.validation_auc > 0.9": "metric.validation_auc > 0.9",
    "metric.roc_curve.auc >= .5": "metric.roc_curve.auc >= 0.5",
    "metric['odd/name'] < -1e-3": "metric['odd/name'] < -0.001",
    "metric['plain'] <= +3": "metric.plain <= 3",
    "metric['a.class'] == 0": "metric['a.class'] == 0",
    "metric.auc != 1": "metric.auc != 1",
    "not metric.auc == 1": "metric.auc != 1",
    "not metric.auc > 1": "not metric.auc > 1",
    "metric.auc": "metric.auc",
    "0.5 < metric.auc <= 0.9": "metric.auc > 0.5 and metric.auc <= 0.9",
    "metric.loss == 12345678901234567890": "metric.loss == 1.2345678901234567e+19",
    "a and b or c": "a and b or c",
    "a and (b or c)": "a and (b or c)",
    "(a and b) and (c)": "a and b and c",
    "a or (b or a)": "a or b",
    "not (a and b)": "not (a and b)",
    "not a and b": "not a and b",
    "((((a))))": "a",
    "a\nand b\n\t= 'c'": "a and b == 'c'",
    "a\u00a0and b": "a and b",
    "True": "True",
    "not True": "False",
    "True and a": "a",
    "a or True": "True",
    'a == "\' OR 1=1--"': 'a == "\' OR 1=1--"',
    "a == '\"; DROP TABLE tag; --'": "a == '\"; DROP TABLE tag; --'",
    "a == '<script>alert(1)</script>'": "a == '<script>alert(1)</script>'",
    "a == '%(x)s :y ? $1 {z}'": "a == '%(x)s :y ? $1 {z}'",
}


@pytest.mark.parametrize(("text", "canonical"), ACCEPTED.items())
def test_is_read_to_its_canonical_text(text: str, canonical: str) -> None:
    query = parse(text)
    assert query.text == str(query) == canonical
    assert parse(canonical) == query
    assert parse(query) is query


REFUSED = {
    # Values
    "region == US": (10, "did you mean 'US'"),
    "US == region": (6, "did you mean 'region'"),
    "version == 3": (11, "did you mean '3'"),
    "version == -3": (11, "did you mean '-3'"),
    "passes_tests == True": (16, "did you mean 'True'"),
    "region == None": (10, "write not region"),
    "region is None": (7, "write =="),
    "a and region in ('US', UK)": (23, "did you mean 'UK'"),
    "region in 'US'": (10, "region in ('US',)"),
    "region in ('US')": (11, "region in ('US',)"),
    "region in ()": (10, "empty"),
    "region == ('US', 'UK')": (10, "after `in`"),
    "'U' in region": (0, "as a whole"),
    "region == us-east-1": (12, "'us-east-1'"),
    "released == 2024-01-01": (12, "'2024-01-01'"),
    "version == 1.2.3": (11, "'1.2.3'"),
    "path == s3://bucket": (10, "'s3://bucket'"),
    "region == 'US": (10, "not closed"),
    "region == “US”": (10, "straight quotes"),
    "region == f'US'": (10, "prefix f"),
    "region == b'US'": (10, "prefix b"),
    "region == '''US'''": (12, "is missing"),
    "region == 'US' 'UK'": (15, "is missing"),
    r"region == 'a\d'": (12, r"\\"),
    r"region == '\0'": (11, r"\\"),
    r"region == '\x00'": (10, "does not show"),
    r"region == '\N{BULLET}'": (11, r"\\"),
    "region == ''": (10, "empty"),
    "region == ' US'": (10, "space"),
    "region == '" + "x" * 1025 + "'": (10, "1025"),
    "region == 'a\u202eb'": (12, "does not show"),
    "region == '\ud800'": (11, "U+D800"),
    "region == 'a\0b'": (12, "U+0000"),
    "tag['a\u200bb']": (6, "U+200B"),
    # Keys
    "odd-key == 'x'": (3, "tag['odd-key']"),
    "größe == 'x'": (2, "LATIN SMALL LETTER O WITH DIAERESIS"),
    "r\u0435gion == 'x'": (1, "CYRILLIC SMALL LETTER IE"),
    "\uff52egion == 'x'": (0, "FULLWIDTH LATIN SMALL LETTER R"),
    "`odd key` == 'x'": (0, "tag['...']"),
    "class == 'x'": (0, "tag['class']"),
    "a and lambda == 'x'": (6, "tag['lambda']"),
    "tags.region == 'x'": (0, "Write region"),
    "tag.region == 'x'": (0, "Write region"),
    "tags['region'] == 'x'": (0, "brackets"),
    "tag[region] == 'x'": (4, "tag['region']"),
    "tag[0]": (4, "quotes"),
    "tag['a', 'b']": (4, "quotes"),
    "tag['']": (4, "empty"),
    "tag": (0, "tag['name']"),
    "k.v == 'x'": (0, "tag['k.v']"),
    "region.startswith('x')": (0, "called"),
    "x" * 257: (0, "256"),
    # Operators
    "a && b": (2, "write and"),
    "a & b": (2, "write and"),
    "a | b": (2, "write or"),
    "a || b": (2, "write or"),
    "!a": (0, "write not"),
    "~a": (0, "write not"),
    "a <> 'b'": (2, "write !="),
    "a === 'b'": (2, "write =="),
    "a =~ 'b'": (2, "means nothing"),
    "a AND b": (2, "'and' in lower case"),
    "a Or b": (2, "'or' in lower case"),
    "NOT a": (0, "'not' in lower case"),
    "a IN ('b')": (2, "'in' in lower case"),
    "region < 'US'": (0, "strings"),
    "'US' >= region": (8, "strings"),
    "archived == True": (0, "`not archived`"),
    "archived == 'x'": (0, "tag['archived']"),
    "archived in ('x',)": (0, "tag['archived']"),
    "a + b": (2, "quotes"),
    "a == 'x' if b else c": (9, "word of Python"),
    "a := 'b'": (2, "quotes"),
    # Metrics
    "metric": (0, "metric['name']"),
    "metric > 1": (0, "metric['name']"),
    "metrics.auc > 1": (0, "metric.auc"),
    "metric.auc > '0.9'": (13, "numbers"),
    "metric.auc > metric.loss": (13, "numbers"),
    "metric.auc in (1, 2)": (0, "=="),
    "metric['<x>'] > 1": (7, "metric name"),
    "metric.auc > 1e999": (13, "too large"),
    "metric.auc > " + "9" * 400: (13, "too large"),
    "metric.auc > 0x10": (13, "quotes"),
    "metric.auc > 1_000": (13, "quotes"),
    "metric.auc > nan": (13, "numbers"),
    "metric.class > 1": (0, "metric['class']"),
    "metric. auc > 1": (6, "quotes"),
    # Structure
    "": (0, "True for every"),
    "  \n": (0, "True for every"),
    "(a": (0, "not closed"),
    "(a or tag['b' )": (14, "closes no bracket"),
    "a)": (1, "closes no bracket"),
    "()": (0, "list"),
    "a b": (2, "missing"),
    "a == 'x' b == 'y'": (9, "missing"),
    "a ==": (4, "missing"),
    "a and": (5, "missing"),
    "and a": (0, "missing"),
    "a and and b": (6, "missing"),
    "a == == 'x'": (5, "missing"),
    "a not == 'x'": (2, "missing"),
    "a not 'x'": (2, "missing"),
    "(a or) and b": (5, "missing"),
    "a,, b": (2, "missing"),
    "a, b": (0, "list"),
    "[a]": (0, "list"),
    "a == not b": (5, "cannot stand"),
    "a and 'x'": (6, "alone says nothing"),
    "1": (0, "alone says nothing"),
    "a or None": (5, "alone says nothing"),
    "'a' == 'b'": (0, "alone says nothing"),
    "a; b": (1, "quotes"),
    "a # comment": (2, "quotes"),
    "a \\\n b": (2, "quotes"),
    "a == 'b\nc'": (5, "not closed"),
    "a\0b": (1, "U+0000"),
    "a\u200bb": (1, "U+200B"),
    "a['x']['y']": (6, "brackets"),
    # Attacks
    "__import__('os')": (0, "called"),
    "__import__('os').system('id')": (16, "quotes"),
    "().__class__.__bases__": (2, "quotes"),
    "a.__class__.__mro__": (0, "tag['a.__class__.__mro__']"),
    "metric.x.__class__('y')": (0, "called"),
    "(lambda: 0)()": (7, "quotes"),
    "[x for x in a]": (3, "word of Python"),
    "f'{a}'": (0, "prefix f"),
    "{'a': 'b'}": (0, "quotes"),
    "a == 'x' * 999999999": (9, "quotes"),
    "a == 'x' ** 9 ** 9": (9, "quotes"),
    "exec('1')": (0, "called"),
    "a['b'](1)": (5, "called"),
}


@pytest.mark.parametrize(("text", "column", "advice"), [(t, *e) for t, e in REFUSED.items()])
def test_is_refused_at_the_column_with_advice(text: str, column: int, advice: str) -> None:
    with pytest.raises(TagQueryError) as caught:
        parse(text)
    assert advice in caught.value.message
    assert caught.value.position == column
    assert caught.value.query == text


HOSTILE = {
    "long": "x" * 1_000_000,
    "long value": f"a == '{'x' * 1_000_000}'",
    "nested brackets": "(" * 10_000 + "a" + ")" * 10_000,
    "nested brackets within the limit": "(" * 4_000 + "a" + ")" * 4_000,
    "open brackets": "(" * 9_999,
    "nested lists": "[" * 4_000 + "]" * 4_000,
    "nested negations": "not " * 2_400 + "a",
    "negated brackets": "not (" * 1_500 + "a" + ")" * 1_500,
    "negations between brackets": ("not " * 60 + "(") * 30 + "a" + ")" * 30,
    "dots": "metric" + ".a" * 4_000,
    "signs": "metric.a > " + "-" * 9_000 + "1",
    "sum": "a" + "+a" * 4_000,
    "calls": "a" + "()" * 4_000,
    "subscripts": "tag" + "['a']" * 1_900,
    "terms": " or ".join(["a == 'b'"] + [f"a == '{i}'" for i in range(MAX_TERMS)]),
    "chain": "metric.a" + "".join(f" < {i} < metric.a" for i in range(600)),
    "deep": "not (a and " * (MAX_DEPTH // 2 + 1) + "b" + ")" * (MAX_DEPTH // 2 + 1),
    "digits": "metric.a > " + "9" * 9_000,
    "quotes": "'" * 9_999,
    "backslashes": "a == '" + "\\" * 9_000,
    "spaces": " " * 9_999,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_query_without_bounds_is_refused(text: str) -> None:
    with pytest.raises(TagQueryError) as caught:
        parse(text)
    assert len(str(caught.value)) < 1_000


def test_a_query_at_the_limits_is_read() -> None:
    deep = "a"
    for i in range(MAX_DEPTH // 2 - 1):
        deep = f"not (b{i} and {deep})"
    assert parse(parse(deep).text) == parse(deep)
    wide = " or ".join(f"a == '{i}'" for i in range(MAX_TERMS))
    assert len(parse(wide).text) <= MAX_LENGTH


def test_the_error_shows_the_place_even_in_a_long_query() -> None:
    text = " and ".join(f"key_{i} == 'value'" for i in range(50)) + "\nand region == US"
    with pytest.raises(TagQueryError) as caught:
        parse(text)
    _, excerpt, caret = str(caught.value).split("\n")
    assert len(excerpt) < 110
    assert excerpt[caret.index("^") :] == "US"


def test_the_error_travels_between_processes() -> None:
    with pytest.raises(TagQueryError) as caught:
        parse("region == US")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(copy, TagQueryError)
    assert (str(copy), copy.query, copy.position) == (str(caught.value), "region == US", 10)


@pytest.mark.parametrize(
    ("given_", "text"),
    [
        ({"region": "US"}, "region == 'US'"),
        (
            {"region": ["US", "UK"], "odd-key": "x"},
            "region in ('US', 'UK') and tag['odd-key'] == 'x'",
        ),
        ({"region": ("US",)}, "region == 'US'"),
        ({"region": {"b", "a", "c"}}, "region in ('a', 'b', 'c')"),
        ({"archived": "x"}, "tag['archived'] == 'x'"),
        ({}, "True"),
    ],
)
def test_a_dict_asks_for_all_of_its_tags(given_: Mapping[str, object], text: str) -> None:
    assert parse(given_) == parse(text)


@pytest.mark.parametrize(
    ("given_", "column", "advice"),
    [
        ({"a": "b", "version": 3}, 11, "Write '3'"),
        ({"a": True}, 1, "Write 'True'"),
        ({"a": None}, 1, "must be a string"),
        ({"a": []}, 1, "empty"),
        ({"a": ["x", 1]}, 1, "Write '1'"),
        ({"a": {"b": "c"}}, 1, "must be a string"),
        ({1: "x"}, 1, "must be a string"),
        ({"a": "\0"}, 1, "does not show"),
        ({str(i): "x" for i in range(MAX_TERMS + 1)}, 0, "too many"),
        ({str(i): "x" * 1000 for i in range(11)}, 0, "too many"),
    ],
)
def test_a_dict_of_something_else_is_refused(given_: Any, column: int, advice: str) -> None:
    with pytest.raises(TagQueryError, match=advice) as caught:
        parse(given_)
    assert caught.value.position == column


@pytest.mark.parametrize("given_", [None, 3, b"region", ["region"], {"region"}])
def test_anything_else_is_refused(given_: Any) -> None:
    with pytest.raises(TagQueryError, match="a text or a dict"):
        parse(given_)


US = {"region": "US", "passes_tests": "true"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("region == 'US'", True),
        ("region == 'us'", False),
        ("region != 'UK'", True),
        ("stage != 'prod'", True),
        ("not stage == 'prod'", True),
        ("stage not in ('prod', 'test')", True),
        ("stage in ('prod', 'test')", False),
        ("stage", False),
        ("region and not stage", True),
        ("region == 'UK' or passes_tests == 'true'", True),
        ("region == 'UK' and passes_tests == 'true' or region", True),
        ("metric.auc > 0.9", True),
        ("metric.auc >= 0.91 and metric.auc <= 0.91 and metric.auc == 0.91", True),
        ("0.9 < metric.auc < 0.91", False),
        ("metric.auc != 0.91", False),
        ("metric.loss < 1", False),
        ("metric.loss != 1", True),
        ("not metric.loss < 1", True),
        ("metric.loss", False),
        ("metric.nan", False),
        ("metric.nan == 1 or metric.nan < 1 or metric.nan > 1", False),
        ("metric.nan != 1", True),
        ("True", True),
        ("False", False),
        ("archived", False),
        ("not archived", True),
    ],
)
def test_evaluate(text: str, expected: bool) -> None:
    assert parse(text).evaluate(US, {"auc": 0.91, "nan": math.nan}) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("region == 'US'", False),
        ("region == 'US' and archived", True),
        ("region == 'US' and not archived", False),
        ("region == 'US' or archived", True),
        ("True", False),
        ("archived or not archived", True),
        ("tag['archived'] or region", False),
    ],
)
def test_an_archived_envelope_matches_only_who_mentions_it(text: str, expected: bool) -> None:
    assert parse(text).evaluate(US, archived=True) is expected


def test_explain_says_what_each_clause_found() -> None:
    query = parse(
        "region == 'US' and passes_tests == 'yes' and (stage or metric.auc > 0.95) "
        "and tag['odd-key'] != 'x'"
    )
    assert query.explain(US, {"auc": 0.91}) == (
        Clause("region == 'US'", True, "region='US'"),
        Clause("passes_tests == 'yes'", False, "passes_tests='true'"),
        Clause("stage or metric.auc > 0.95", False, "no tag stage, metric.auc=0.91"),
        Clause("tag['odd-key'] != 'x'", True, "no tag tag['odd-key']"),
        Clause("not archived", True, "not archived"),
    )
    assert parse("region").explain(US, archived=True)[-1] == Clause(
        "not archived", False, "archived"
    )


def test_a_query_tells_what_it_asks_about() -> None:
    query = parse("a == 'x' and not (b or metric['m/n'] > 1) or a in ('y',) and metric.k")
    assert query.keys == {"a", "b"}
    assert query.metrics == {"m/n", "k"}
    assert not query.mentions_archived
    assert parse("a or not archived").mentions_archived


def test_equal_queries_are_one_in_a_set() -> None:
    assert len({parse("a = 'x' and b"), parse("(a == 'x') and (b)"), parse("a=='x'and b")}) == 1


# Whatever can be written.

tag_text = st.text(
    st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"]), min_size=1, max_size=8
).filter(lambda text: text == text.strip())
keys = st.sampled_from(["a", "b", "archived", "tag", "metric", "class", "odd-key", "_"]) | tag_text
metric_names = st.sampled_from(["auc", "roc_curve.auc", "val/auc", "x.class", "a.1"]) | st.text(
    string.ascii_letters + "_", min_size=1, max_size=5
)
numbers = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)
values = st.lists(tag_text, min_size=1, max_size=3, unique=True).map(tuple)
leaf: st.SearchStrategy[Expression] = st.one_of(
    st.builds(HasTag, keys),
    st.builds(TagIn, keys, values),
    st.builds(HasMetric, metric_names),
    st.builds(MetricIs, metric_names, st.sampled_from(["==", "<", "<=", ">", ">="]), numbers),
    st.just(IsArchived()),
)
expressions: st.SearchStrategy[Expression] = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda terms: all_of(*terms)),
        st.lists(inner, max_size=4).map(lambda terms: any_of(*terms)),
        inner.map(negate),
    ),
    max_leaves=12,
)


@given(expressions)
def test_every_query_reads_back_from_its_text(expression: Expression) -> None:
    query = TagQuery(expression)
    assert parse(query.text) == query


WORDS = [
    *("a", "b", "tag", "metric", "archived", "True", "None", "'x'", '"y"', "'", "1", "-2.5", "."),
    *("=", "==", "!=", "<", ">=", "and", "or", "not", "in", "not in", "(", ")", "[", "]", ","),
    *("metric.m", "tag['k']", "&", "class", "f'", "\\", "é", "\0", "\n", " "),
]


@given(st.lists(st.sampled_from(WORDS), max_size=12), st.sampled_from(["", " "]))
def test_any_text_is_read_or_refused_within_it(words: list[str], space: str) -> None:
    text = space.join(words)
    try:
        query = parse(text)
    except TagQueryError as error:
        assert 0 <= error.position <= len(text)  # noqa: PT017 - both outcomes are right
    else:
        assert parse(query.text) == query


@given(st.text(max_size=40))
@example("a\x1cb")
def test_garbage_is_read_or_refused(text: str) -> None:
    try:
        assert parse(parse(text).text) == parse(text)
    except TagQueryError as error:
        assert 0 <= error.position <= len(text)  # noqa: PT017 - both outcomes are right


class _Python(dict[str, Any]):
    """Names as Python would see them: tags that are not there are None, metrics are NaN."""

    def __init__(self, tags: Mapping[str, str], metrics: Mapping[str, float], archived: bool):
        super().__init__(tags, archived=archived, tag=_Items(tags, None))
        self["metric"] = _Items(metrics, math.nan)

    def __missing__(self, key: str) -> None:
        return None


class _Items:
    def __init__(self, items: Mapping[str, Any], missing: object) -> None:
        self.items, self.missing = items, missing

    def __getitem__(self, key: str) -> object:
        return self.items.get(key, self.missing)

    def __getattr__(self, key: str) -> object:
        return self[key]


few_keys = st.sampled_from(["a", "b", "odd-key"])
few_values = st.sampled_from(["x", "y"])
few_metrics = st.sampled_from(["m", "n"])
few_numbers = st.sampled_from([-1.0, 0.0, 0.5])
few_leaves: st.SearchStrategy[Expression] = st.one_of(
    st.builds(HasTag, few_keys),
    st.builds(TagIn, few_keys, st.lists(few_values, min_size=1, unique=True).map(tuple)),
    st.builds(MetricIs, few_metrics, st.sampled_from(["==", "<", "<=", ">", ">="]), few_numbers),
    st.just(IsArchived()),
)


@given(
    st.recursive(
        few_leaves,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(lambda terms: all_of(*terms)),
            st.lists(inner, min_size=1, max_size=3).map(lambda terms: any_of(*terms)),
            inner.map(negate),
        ),
        max_leaves=8,
    ),
    st.dictionaries(few_keys, few_values),
    st.dictionaries(few_metrics, few_numbers),
    st.booleans(),
)
def test_a_query_means_what_it_means_in_python(
    expression: Expression, tags: dict[str, str], metrics: dict[str, float], archived: bool
) -> None:
    query = TagQuery(expression)
    assume(query.mentions_archived or not archived)
    names = _Python(tags, metrics, archived)
    meant = eval(query.text, {"__builtins__": {}}, names)  # noqa: S307 - the oracle
    assert query.evaluate(tags, metrics, archived) is bool(meant)
