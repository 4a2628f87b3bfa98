"""Reads tag queries: a small part of Python's expressions, taken from its syntax tree.

Only the kinds of nodes named here are read; nothing is ever evaluated by Python.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NoReturn, TypeAlias

from model_envelope import names
from model_envelope.errors import InvalidName, InvalidTag, TagQueryError
from model_envelope.tag_query.expression import (
    FALSE,
    TRUE,
    Comparison,
    Expression,
    HasMetric,
    HasTag,
    IsArchived,
    MetricIs,
    TagIn,
    all_of,
    any_of,
    depth,
    leaves,
    negate,
    render,
    render_key,
)
from model_envelope.tag_query.query import TagQuery
from model_envelope.tag_query.tokens import Token, refuse, tokenize

MAX_LENGTH = 10_000
"""Characters of a query, as given and in canonical form."""

MAX_TERMS = 100
"""Comparisons and bare keys in one query."""

MAX_DEPTH = 20
"""How deep `and`, `or` and `not` may be nested in each other."""

Subject: TypeAlias = HasTag | HasMetric | IsArchived

_COMPARISONS: dict[type[ast.cmpop], Comparison] = {
    ast.Eq: "==",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_MIRRORED: dict[type[ast.cmpop], ast.cmpop] = {
    ast.Lt: ast.Gt(),
    ast.LtE: ast.GtE(),
    ast.Gt: ast.Lt(),
    ast.GtE: ast.LtE(),
}


def parse(query: str | Mapping[str, object] | TagQuery) -> TagQuery:
    """Read a tag query.

    Args:
        query: text such as `region == 'US' and not archived`; or a dict of tag values,
            all of which must match, where a list holds alternatives; or a query that
            was read before. `True` and the empty dict match every envelope.

    Raises:
        TagQueryError: it cannot be read; says where, and what to write instead.
    """
    if isinstance(query, TagQuery):
        return query
    if isinstance(query, str):
        if len(query) > MAX_LENGTH:
            _refuse_length(query, len(query))
        return _limited(_Reader(query).read(), query)
    if isinstance(query, Mapping):
        text = repr(dict(query))
        return _limited(_from_mapping(query, text), text)
    raise TagQueryError(
        f"A tag query is a text or a dict, not {type(query).__name__}.",
        query=f"{query!r:.200}",
        position=0,
    )


def _limited(expression: Expression, given: str) -> TagQuery:
    terms = sum(1 for _ in leaves(expression))
    if terms > MAX_TERMS:
        refuse(given, f"{terms} terms are too many: at most {MAX_TERMS}.", 0)
    if depth(expression) > MAX_DEPTH:
        refuse(given, f"`and`, `or` and `not` are nested more than {MAX_DEPTH} deep.", 0)
    length = len(render(expression))
    if length > MAX_LENGTH:
        _refuse_length(given, length)
    return TagQuery(expression)


def _refuse_length(given: str, length: int) -> NoReturn:
    refuse(given[:200], f"{length} characters are too many: at most {MAX_LENGTH}.", 0)


def _from_mapping(query: Mapping[str, object], text: str) -> Expression:
    terms = []
    for key, given in query.items():
        try:
            terms.append(_tag_in(key, _alternatives(given)))
        except InvalidTag as error:
            position = max(0, text.find(repr(key)))
            raise TagQueryError(str(error), query=text, position=position) from error
    return all_of(*terms)


def _alternatives(given: object) -> Iterable[object]:
    if isinstance(given, set | frozenset):
        return sorted(given, key=repr)
    return given if isinstance(given, list | tuple) else (given,)


def _tag_in(key: str, values: Iterable[object]) -> TagIn:
    checked = [names.check_tags({key: value})[key] for value in values]  # type: ignore[dict-item]
    if not checked:
        raise InvalidTag(f"The list of values of tag {key!r} is empty: nothing would match.")
    return TagIn(key, tuple(dict.fromkeys(checked)))


class _Reader:
    """One text on its way to an expression."""

    def __init__(self, query: str) -> None:
        self.query = query
        self.tokens = tokenize(query)

    def read(self) -> Expression:
        if len(self.tokens) == 1:
            refuse(self.query, "The query is empty. Write True for every envelope.", 0)
        # One line for each token: a node's line then tells its column in the query.
        lines = [_python(token) for token in self.tokens]
        try:
            tree = ast.parse("\n".join(["(", *lines, ")"]), mode="eval")
        except SyntaxError as error:
            token = self._token(error.lineno)
            message = (
                f"{token.text!r} cannot stand here." if token.text else "The query stops here."
            )
            refuse(self.query, message, token.position)
        return self._expression(tree.body)

    def _token(self, line: int | None) -> Token:
        return self.tokens[min(max(0, (line or 2) - 2), len(self.tokens) - 1)]

    def _text(self, node: ast.expr) -> str:
        last = self._token(node.end_lineno)
        return self.query[self._token(node.lineno).position : last.end]

    def _error(self, node: ast.expr, message: str) -> TagQueryError:
        return TagQueryError(message, query=self.query, position=self._token(node.lineno).position)

    def _expression(self, node: ast.expr) -> Expression:
        match node:
            case ast.BoolOp(op=ast.And(), values=values):
                return all_of(*map(self._expression, values))
            case ast.BoolOp(values=values):
                return any_of(*map(self._expression, values))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return negate(self._expression(operand))
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                links = zip(pairwise([left, *comparators]), ops, strict=True)
                return all_of(*(self._comparison(a, op, b) for (a, b), op in links))
            case ast.Constant(value=bool(constant)):
                return TRUE if constant else FALSE
            case ast.Name() | ast.Attribute() | ast.Subscript():
                return self._subject(node)
            case _:
                raise self._unreadable(node)

    def _unreadable(self, node: ast.expr) -> TagQueryError:
        match node:
            case ast.Constant():
                message = (
                    f"{self._text(node)} alone says nothing: compare a tag with it, "
                    f"as in key == {self._text(node)}."
                )
            case ast.Tuple() | ast.List():
                message = "A list stands after `in` only, as in key in ('a', 'b')."
            case _:
                message = f"{self._text(node)} has no place in a tag query."
        return self._error(node, message)

    def _subject(self, node: ast.expr) -> Subject:
        match node:
            case ast.Name(id="archived"):
                return IsArchived()
            case ast.Name(id="tag" | "metric" as word):
                raise self._error(node, f"Write {word}['name'], with the name of the {word}.")
            case ast.Name(id=key):
                return self._tag(node, key)
            case ast.Subscript(value=ast.Name(id=owner), slice=name):
                return self._named(node, owner, name)
            case ast.Attribute():
                return self._attribute(node)
            case _:
                raise self._unreadable(node)

    def _named(self, node: ast.expr, owner: str, name: ast.expr) -> Subject:
        if owner not in ("tag", "metric"):
            raise self._error(node, "Only tag['key'] and metric['name'] have brackets.")
        if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
            raise self._error(name, f"Put the name in quotes: {owner}[{self._text(name)!r}].")
        if owner == "metric":
            return self._metric(name, name.value)
        return self._tag(name, name.value)

    def _attribute(self, node: ast.Attribute) -> Subject:
        path: list[str] = []
        owner: ast.expr = node
        while isinstance(owner, ast.Attribute):
            path.insert(0, owner.attr)
            owner = owner.value
        name = ".".join(path)
        match owner:
            case ast.Name(id="metric"):
                return self._metric(node, name)
            case ast.Name(id="metrics"):
                raise self._error(node, f"Write metric.{name}.")
            case ast.Name(id="tag" | "tags"):
                raise self._error(node, f"Write {render_key(name)}.")
            case _:
                raise self._error(
                    node,
                    "Only metric has a dot, as in metric.auc. "
                    f"Did you mean tag[{self._text(node)!r}]?",
                )

    def _metric(self, node: ast.expr, name: str) -> HasMetric:
        try:
            return HasMetric(names.check_metric_name(name))
        except InvalidName as error:
            raise self._error(node, str(error)) from error

    def _tag(self, node: ast.expr, key: str) -> HasTag:
        try:
            names.check_tag_keys((key,))
        except InvalidTag as error:
            raise self._error(node, str(error)) from error
        return HasTag(key)

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Expression:
        if isinstance(op, ast.NotEq):
            return negate(self._comparison(left, ast.Eq(), right))
        if isinstance(op, ast.NotIn):
            return negate(self._comparison(left, ast.In(), right))
        if _is_value(left) and not _is_value(right):
            if isinstance(op, ast.In):
                raise self._error(left, "Values are compared as a whole: write key == 'value'.")
            left, op, right = right, _MIRRORED.get(type(op), op), left
        match self._subject(left):
            case HasTag(key):
                return self._tag_is(key, op, left, right)
            case HasMetric(name):
                return self._metric_is(name, op, left, right)
            case IsArchived():
                raise self._error(
                    left,
                    "Write `archived` or `not archived`; a tag of that name is tag['archived'].",
                )

    def _tag_is(self, key: str, op: ast.cmpop, left: ast.expr, right: ast.expr) -> TagIn:
        match op, right:
            case ast.Eq(), _:
                return TagIn(key, (self._string(key, right),))
            case ast.In(), ast.Tuple(elts=[_, *_] as items) | ast.List(elts=[_, *_] as items):
                return TagIn(key, tuple(dict.fromkeys(self._string(key, item) for item in items)))
            case ast.In(), ast.Tuple() | ast.List():
                raise self._error(right, "This list is empty: nothing would match.")
            case ast.In(), _:
                values = f"({self._text(right)},)" if _is_value(right) else "('a', 'b')"
                example = f"{self._text(left)} in {values}"
                raise self._error(right, f"After `in` stands a list, as in {example}.")
        raise self._error(
            left,
            f"Tag values are strings and have no order: compare {self._text(left)} with ==, != "
            "or `in`. Only metrics have < and >.",
        )

    def _string(self, key: str, node: ast.expr) -> str:
        match node:
            case ast.Constant(value=str(value)):
                return self._checked_value(node, key, value)
            case ast.Constant(value=None):
                message = f"For envelopes without the tag write not {render_key(key)}."
            case ast.Tuple() | ast.List():
                message = "Several values stand after `in`, not after ==."
            case _:
                message = f"Tag values are strings: did you mean {self._text(node)!r}, in quotes?"
        raise self._error(node, message)

    def _checked_value(self, node: ast.expr, key: str, value: str) -> str:
        try:
            return names.check_tags({key: value})[key]
        except InvalidTag as error:
            raise self._error(node, str(error)) from error

    def _metric_is(self, name: str, op: ast.cmpop, left: ast.expr, right: ast.expr) -> MetricIs:
        if type(op) not in _COMPARISONS:
            raise self._error(
                left, "Metrics are numbers: compare them with ==, !=, <, <=, > or >=."
            )
        match right:
            case ast.Constant(value=float(number)):
                return MetricIs(name, _COMPARISONS[type(op)], number + 0.0)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=float(number))):
                return MetricIs(name, _COMPARISONS[type(op)], -number + 0.0)
        raise self._error(right, f"Metrics are numbers: {self._text(right)} is none.")


def _is_value(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant | ast.Tuple | ast.List) or (
        isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    )


def _python(token: Token) -> str:
    if token.kind == "number":
        return repr(float(token.text))
    return "==" if token.text == "=" else token.text
