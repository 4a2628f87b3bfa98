"""The words of a tag query, with their columns; what cannot be one is refused with advice.

What passes is shallow: Python's own parser can neither warn nor run out of stack on it.
"""

from __future__ import annotations

import keyword
import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NoReturn, cast

from model_envelope.errors import TagQueryError

Kind = Literal["name", "string", "number", "symbol", "end"]

MAX_NESTING = 64
"""Brackets and `not`s within each other."""

MAX_NAME = 256
"""Characters of a key or dotted name."""

COMPARISONS = frozenset({"=", "==", "!=", "<", "<=", ">", ">="})
WORDS = frozenset({"and", "or", "not", "in"})
_CONSTANTS = frozenset({"True", "False", "None"})

_TOKEN = re.compile(
    r"""(?P<space>[\s\xa0]+)
    | (?P<string>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")
    | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)
    | (?P<symbol>[=!<>&|~]+|[()\[\],])
    """,
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(r"""\\(?:[\\'"]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U00[01][0-9a-fA-F]{5})""")
_WORD_BEFORE = re.compile(r"""[^\s()\[\],'"=!<>&|~]*\Z""")
_WORD_AFTER = re.compile(r"""[^\s()\[\],'"=!<>&|~]*""")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_INSTEAD = {
    "&": "and",
    "&&": "and",
    "|": "or",
    "||": "or",
    "!": "not",
    "~": "not",
    "<>": "!=",
    "!==": "!=",
    "===": "==",
    "=>": ">=",
    "=<": "<=",
}


@dataclass(frozen=True, slots=True)
class Token:
    """One word. `position` is its 0-based column in the query as given."""

    kind: Kind
    text: str
    position: int

    @property
    def end(self) -> int:
        """The column after its last character."""
        return self.position + len(self.text)

    @property
    def is_comparison(self) -> bool:
        """Whether it compares two things."""
        return self.text in COMPARISONS

    @property
    def is_operand(self) -> bool:
        """Whether it is a key or a value."""
        return self.kind in ("string", "number") or (self.kind == "name" and self.text not in WORDS)


def tokenize(query: str) -> list[Token]:
    """The words of a query in order, closed by an empty one of kind `end`.

    Brackets are balanced and nested at most `MAX_NESTING` deep; every operator has
    something to its left and right; nothing is called.

    Raises:
        TagQueryError: a word cannot stand where it stands.
    """
    tokens = [*_scan(query), Token("end", "", len(query.rstrip()))]
    for token, following in pairwise(tokens):
        _check_word(query, token, following)
    for before, token, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if before.is_operand and token.text == "not" and after.text != "in":
            refuse(query, "Before 'not', `and` or `or` is missing.", token.position)
    _check_nesting(query, tokens)
    for token, following in pairwise([Token("symbol", "(", 0), *tokens]):
        _check_neighbours(query, token, following)
    return tokens


def refuse(query: str, message: str, position: int) -> NoReturn:
    """Raise the error of a query that cannot be read."""
    raise TagQueryError(message, query=query, position=position)


def _scan(query: str) -> Iterator[Token]:
    position = 0
    while position < len(query):
        match = _TOKEN.match(query, position)
        if match is None:
            _refuse_character(query, position)
        position = match.end()
        if match.lastgroup != "space":
            yield Token(cast(Kind, match.lastgroup), match.group(), match.start())


def _refuse_character(query: str, position: int) -> NoReturn:
    char = query[position]
    if char in "'\"":
        message = f"This text is not closed: another {char} is missing."
    elif unicodedata.category(char) in ("Pi", "Pf"):
        message = "Write straight quotes, ' or \"."
    elif char == "`":
        message = "Write tag['...'] around a key that is no plain word."
    elif unicodedata.category(char) in _HIDDEN:
        message = f"A character that does not show, U+{ord(char):04X}, has no place in a tag query."
    else:
        name = "" if char.isascii() else f" ({unicodedata.name(char, 'unnamed')})"
        word = _word_at(query, position)
        message = (
            f"{char!r}{name} can stand in quotes only: {word!r} for a value, "
            f"tag[{word!r}] for a key."
        )
    refuse(query, message, position)


def _word_at(query: str, position: int) -> str:
    """What a person would call the word around a column, for advice."""
    before = _WORD_BEFORE.search(query[max(0, position - 60) : position])
    after = _WORD_AFTER.match(query[position : position + 60])
    return (before.group() if before else "") + (after.group() if after else "")


def _check_word(query: str, token: Token, following: Token) -> None:
    text = token.text
    match token.kind:
        case "symbol" if text not in COMPARISONS | set("()[],"):
            advice = f": write {_INSTEAD[text]}" if text in _INSTEAD else ""
            refuse(query, f"{text!r} means nothing in a tag query{advice}.", token.position)
        case "string":
            _check_string(query, token)
        case "number" if math.isinf(float(text)):
            refuse(query, "This number is too large.", token.position)
        case "name":
            _check_name(query, token)
            if following.kind == "string" and token.end == following.position:
                refuse(query, f"Write the text without the prefix {text}.", token.position)


def _check_name(query: str, token: Token) -> None:
    if len(token.text) > MAX_NAME:
        refuse(query, f"A name has at most {MAX_NAME} characters.", token.position)
    if token.text == "is":
        refuse(query, "'is' means nothing in a tag query: write ==.", token.position)
    for part in token.text.split("."):
        if keyword.iskeyword(part) and token.text not in WORDS | _CONSTANTS:
            refuse(
                query,
                f"{part!r} is a word of Python's: put the name in quotes, as in "
                f"tag[{part!r}] or metric[{part!r}].",
                token.position,
            )


def _check_string(query: str, token: Token) -> None:
    for offset, char in enumerate(token.text):
        if unicodedata.category(char) in _HIDDEN:
            _refuse_character(query, token.position + offset)
    at = token.text.find("\\")
    while at >= 0:
        match = _ESCAPE.match(token.text, at)
        if match is None:
            refuse(query, r"Write \\ for a backslash.", token.position + at)
        at = token.text.find("\\", match.end())


def _check_nesting(query: str, tokens: list[Token]) -> None:
    open_brackets: list[Token] = []
    negations = [0]
    for token, following in pairwise(tokens):
        if token.text in ("(", "["):
            open_brackets.append(token)
            negations.append(0)
        elif token.text in (")", "]"):
            if not open_brackets or open_brackets[-1].text + token.text not in ("()", "[]"):
                refuse(query, f"This {token.text} closes no bracket.", token.position)
            open_brackets.pop()
            negations.pop()
        elif token.text in ("and", "or"):
            negations[-1] = 0
        elif token.text == "not" and following.text != "in":
            negations[-1] += 1
        if len(open_brackets) + sum(negations) > MAX_NESTING:
            refuse(query, f"Nested more than {MAX_NESTING} deep.", token.position)
    if open_brackets:
        refuse(query, "This bracket is not closed.", open_brackets[-1].position)


def _check_neighbours(query: str, token: Token, following: Token) -> None:
    closes = following.kind == "end" or following.text in (")", "]", ",")
    infix = following.is_comparison or following.text in ("and", "or", "in")
    if token.is_operand or token.text in (")", "]"):
        _check_after_operand(query, token, following)
    elif token.is_comparison or token.text in WORDS:
        if closes or (infix and (token.text, following.text) != ("not", "in")):
            refuse(query, f"After {token.text!r}, something is missing.", following.position)
    elif infix or (token.text == following.text == ","):
        refuse(query, f"Before {following.text!r}, something is missing.", following.position)


def _check_after_operand(query: str, token: Token, following: Token) -> None:
    if following.text == "(" and token.text.lower() not in WORDS:
        refuse(query, "Nothing can be called in a tag query.", token.position)
    if following.text == "[" and token.kind != "name":
        refuse(query, "Only tag['key'] and metric['name'] have brackets.", following.position)
    if not following.is_operand and following.text != "(":
        return
    for near in (token, following):
        if near.text.lower() in WORDS:
            refuse(query, f"Write {near.text.lower()!r} in lower case.", near.position)
    if token.end == following.position and "string" not in (token.kind, following.kind):
        word = _word_at(query, token.position)
        refuse(query, f"Values stand in quotes: {word!r}.", token.position)
    refuse(
        query,
        f"Before {following.text}, one of `and`, `or`, `==` or a comma is missing.",
        following.position,
    )
