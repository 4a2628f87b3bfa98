"""Names that come from users, checked before anything is done with them."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Mapping

from model_envelope.errors import InvalidInput, InvalidName, InvalidTag

ID = re.compile(r"[0-9a-f]{20}")
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
RULE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
SERVICE = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
METRIC = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-/@]{0,199}")

RESERVED_SERVICES = (
    *("admin", "api", "health", "healthz", "livez", "localhost"),
    *("metrics", "ping", "readyz", "stats", "status", "www"),
)
"""Paths and hosts that mean something else wherever services are reached by their names."""

MAX_TAGS = 200
MAX_KEY = 256
MAX_VALUE = 1024


def new_id() -> str:
    """A fresh envelope id: 80 random bits in hex."""
    return secrets.token_hex(10)


def check_id(value: str) -> str:
    """An envelope id, as given.

    Raises:
        InvalidName: it has another form.
    """
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise InvalidName(f"{value!r} is no envelope id: 20 hexadecimal digits are expected.")
    return value


def check_identifier(value: str, what: str) -> str:
    """A query function's or column's name that is also a Python identifier.

    Raises:
        InvalidName: it is none, or longer than 128 characters.
    """
    if not isinstance(value, str) or not IDENTIFIER.fullmatch(value):
        raise InvalidName(
            f"{value!r} is no {what}: use letters, digits and underscores, not starting "
            "with a digit, at most 128 characters."
        )
    return value


def check_metric_name(value: str) -> str:
    """A metric's or hyperparameter's name.

    Raises:
        InvalidName: it has other characters than letters, digits and `_ . - / @`.
    """
    if not isinstance(value, str) or not METRIC.fullmatch(value):
        raise InvalidName(
            f"{value!r} is no metric name: use letters, digits and _ . - / @, starting "
            "with a letter or underscore, at most 200 characters."
        )
    return value


def check_service(value: str) -> str:
    """A service's name, which is part of its URL: a DNS label, as given.

    Raises:
        InvalidName: it has another form, or is reserved.
    """
    if not isinstance(value, str) or not SERVICE.fullmatch(value):
        raise InvalidName(
            f"{value!r:.80} is no service name: use lower-case letters, digits and hyphens, "
            "starting with a letter and not ending with a hyphen, at most 63 characters."
        )
    if value in RESERVED_SERVICES:
        raise InvalidName(f"A service cannot be called {value!r}: that name is reserved.")
    return value


def check_rule_name(value: str) -> str:
    """A deployment rule's name, as given.

    Raises:
        InvalidName: it has another form.
    """
    if not isinstance(value, str) or not RULE.fullmatch(value):
        raise InvalidName(
            f"{value!r:.80} is no rule name: use letters, digits and . _ -, starting and ending "
            "with a letter or digit, at most 128 characters."
        )
    return value


def check_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags, as given: any printable text, stored to the letter.

    Raises:
        InvalidTag: a key or value is no string, empty, too long, or holds characters
            that do not show (controls, bidirectional or zero-width marks).
    """
    if not isinstance(tags, Mapping):
        raise InvalidTag(f"tags must be a dict of strings, not {type(tags).__name__}.")
    if len(tags) > MAX_TAGS:
        raise InvalidTag(f"{len(tags)} tags are too many: at most {MAX_TAGS}.")
    for key, value in tags.items():
        check_text(key, "A tag key", MAX_KEY)
        check_text(value, f"The value of tag {key!r}", MAX_VALUE)
    return dict(tags)


def check_tag_keys(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Tag keys, as given.

    Raises:
        InvalidTag: see `check_tags`.
    """
    for key in keys:
        check_text(key, "A tag key", MAX_KEY)
    return keys


def check_description(value: str) -> str:
    """A description: any text up to 20,000 characters.

    Raises:
        InvalidInput: it is no string, or longer.
    """
    if not isinstance(value, str) or len(value) > 20_000:
        raise InvalidInput("description must be a text of at most 20,000 characters.")
    odd = [c for c in value if c == "\0" or unicodedata.category(c) == "Cs"]
    if odd:
        raise InvalidInput(f"description holds {odd[0]!r}, which no database keeps: remove it.")
    return value


def check_text(value: object, what: str, longest: int) -> None:
    """See that something is a text of so many bytes that shows in full.

    Raises:
        InvalidTag: see `check_tags`.
    """
    if not isinstance(value, str):
        raise InvalidTag(
            f"{what} must be a string, not {type(value).__name__} {value!r:.60}. "
            f"Write {str(value)!r:.60} if that is meant."
        )
    if not value or value != value.strip():
        raise InvalidTag(f"{what} is empty or starts or ends with a space: {value!r:.60}.")
    size = len(value.encode("utf-8", "surrogatepass"))
    if size > longest:
        raise InvalidTag(f"{what} is {size} bytes long; at most {longest} are allowed.")
    hidden = [c for c in value if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    if hidden:
        raise InvalidTag(
            f"{what} holds a character that does not show, {hidden[0]!r}: {value!r:.60}."
        )
