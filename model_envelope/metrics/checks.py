"""What raw numbers and labels must be, checked one by one so that errors say where."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence, Set, Sized
from datetime import UTC, datetime
from decimal import Decimal
from numbers import Real
from typing import Any, Literal

from model_envelope.errors import InvalidInput

Order = Literal["rising", "not falling", "not rising"]


def number(value: object, what: str) -> float:
    """A real number as a float; NaN and infinities pass.

    Raises:
        InvalidInput: it is none, or too large for a float.
    """
    if type(value) is float:
        return value
    if getattr(value, "shape", None) == () and hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, Real | Decimal):
        raise InvalidInput(f"{what} must be a number, not {type(value).__name__} {value!r:.60}.")
    try:
        return float(value)
    except (OverflowError, ValueError) as error:
        raise InvalidInput(f"{what} is no number that a float can hold: {error}.") from error


def numbers(
    values: Iterable[Any], what: str, *, low: float = -math.inf, high: float = math.inf
) -> tuple[float, ...]:
    """Finite numbers between `low` and `high`, both included.

    Raises:
        InvalidInput: one is something else; says which.
    """
    checked = tuple(
        value if type(value) is float else number(value, f"{what}[{i}]")
        for i, value in enumerate(listed(values, what))
    )
    for i, value in enumerate(checked):
        if not (low <= value <= high and math.isfinite(value)):
            raise InvalidInput(f"{what}[{i}] is {value}: {_expected(low, high)} is expected.")
    return checked


def whole_numbers(values: Iterable[Any], what: str) -> tuple[int, ...]:
    """Counts: whole numbers, not negative.

    Raises:
        InvalidInput: one is something else; says which.
    """
    checked = numbers(values, what, low=0)
    for i, value in enumerate(checked):
        if not value.is_integer():
            raise InvalidInput(f"{what}[{i}] is {value}: a whole number is expected.")
    return tuple(map(int, checked))


def count(value: object, what: str, *, low: int = 0, high: float = math.inf) -> int:
    """A whole number between `low` and `high`, both included.

    Raises:
        InvalidInput: it is something else.
    """
    found = number(value, what)
    if not (found.is_integer() and low <= found <= high):
        raise InvalidInput(f"{what} is {found:g}: a whole number from {low} to {high} is expected.")
    return int(found)


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean, exactly rounded, of finite numbers of any size."""
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return math.fsum(value / len(values) for value in values)


def texts(values: Iterable[Any], what: str, longest: int = 200) -> tuple[str, ...]:
    """Labels, each as text and different from all others.

    Raises:
        InvalidInput: one is null, empty, too long or there twice; says which.
    """
    found: dict[str, int] = {}
    for i, value in enumerate(listed(values, what)):
        text = str(value)
        if missing(value) or not text or len(text) > longest or not is_unicode(text):
            raise InvalidInput(
                f"{what}[{i}] is {value!r:.60}: a text of 1 to {longest} characters is expected."
            )
        if found.setdefault(text, i) != i:
            raise InvalidInput(f"{what}[{i}] is {text!r:.60}, as {what}[{found[text]}] is already.")
    return tuple(found)


def is_unicode(text: str) -> bool:
    """Whether it can be written as UTF-8: it holds no half of a surrogate pair."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


def missing(value: Any) -> bool:
    """Whether it is None, NaN, NaT or pandas.NA."""
    try:
        return value is None or bool(value != value)  # noqa: PLR0124 - only NaN differs from itself
    except (TypeError, ValueError):  # pandas.NA is neither equal nor different
        return True


def moment(value: object, what: str) -> datetime:
    """A time in UTC, as the plain type: databases bind those of pandas and pendulum otherwise.

    Raises:
        InvalidInput: it is no datetime with a time zone.
    """
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise InvalidInput(
            f"{what} is {value!r:.60}: a datetime with a time zone is expected. "
            "Write .replace(tzinfo=datetime.UTC) if UTC is meant."
        )
    utc = value.astimezone(UTC)
    return datetime(*utc.timetuple()[:6], utc.microsecond, tzinfo=UTC)


def listed(values: Iterable[Any], what: str) -> list[Any]:
    """The elements of a 1-dimensional sequence, array or series.

    Raises:
        InvalidInput: it is no such thing.
    """
    if len(getattr(values, "shape", (0,))) != 1:
        raise InvalidInput(f"{what} must have one dimension, not the shape {values.shape}.")  # type: ignore[attr-defined]
    if hasattr(values, "tolist"):
        return list(values.tolist())
    if isinstance(values, str | bytes | Mapping | Set) or not isinstance(values, Iterable):
        raise InvalidInput(f"{what} must be a list or array, not {type(values).__name__}.")
    return list(values)


def same_length(**sequences: Sized) -> int:
    """The length of all of them.

    Raises:
        InvalidInput: they differ, or are empty.
    """
    lengths = {name: len(values) for name, values in sequences.items()}
    if len(set(lengths.values())) != 1:
        told = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        raise InvalidInput(f"{' and '.join(lengths)} must be equally long: {told}.")
    length = next(iter(lengths.values()))
    if length == 0:
        raise InvalidInput(f"{' and '.join(lengths)} must not be empty.")
    return length


def ordered(values: Sequence[Any], what: str, order: Order) -> None:
    """Check that each value stands in this order to the one before.

    Raises:
        InvalidInput: one does not; says which.
    """
    holds = {"rising": operator.gt, "not falling": operator.ge, "not rising": operator.le}[order]
    for i in range(1, len(values)):
        if not holds(values[i], values[i - 1]):
            raise InvalidInput(
                f"{what}[{i}] is {values[i]} after {values[i - 1]}: the values must be {order}."
            )


def at_most(count: int, limit: int, what: str, hint: str) -> None:
    """Check a size.

    Raises:
        InvalidInput: it is above the limit; `hint` says what to do.
    """
    if count > limit:
        raise InvalidInput(f"{count} {what} are too many: at most {limit} are kept. {hint}")


def _expected(low: float, high: float) -> str:
    if math.isinf(low):
        return "a finite number" if math.isinf(high) else f"a finite number up to {high:g}"
    return f"a finite number from {low:g}" + ("" if math.isinf(high) else f" to {high:g}")
