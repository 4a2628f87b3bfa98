"""How values of each Arrow type are written in JSON, and read again without loss.

| type | JSON |
|---|---|
| integers | a number without fraction, exact also beyond 2**53; `3.0` is taken for 3 |
| floats | a number of up to 17 digits; `"Infinity"`, `"-Infinity"`; missing and NaN are null |
| decimals | a string, `"12.50"`; numbers are taken too, exactly as written |
| timestamps with zone | ISO 8601 with an offset; answers are in UTC, `Z` |
| timestamps without | ISO 8601 without an offset |
| dates, times | `"2024-02-29"`, `"13:45:00.5"` |
| durations | ISO 8601, `"P1DT2.5S"` |
| binary | base64 |
| categoricals | their values; others than the known ones are refused |
| lists, tensors | arrays |
| structs | objects |
| maps | arrays of `[key, value]` |

Null stands for a missing value and for nothing else.
"""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Meta

from model_envelope.runtime import inputs, schemas

Values = Sequence[Any]
"""Values as `Wire.form` decodes them; None is missing."""

_FLOAT_LIMITS = {"halffloat": 65504.0, "float": 3.4028234663852886e38}
_INFINITY = float("inf")
_INFINITIES = {_INFINITY: "Infinity", -_INFINITY: "-Infinity"}
_SECONDS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DURATION = re.compile(
    r"(?P<sign>-?)P(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?"
    r"(?:(?P<seconds>\d+)(?:\.(?P<fraction>\d+))?S)?)?"
)
_CLOCK = r"^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?$"
_LAST_ZEROS = r"(\.\d*?)0+(Z|[+-]\d\d:?\d\d)?$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """Values of one type, in and out of JSON.

    Attributes:
        form: the type that msgspec decodes and describes.
        expected: the same in words.
        read: values as an Arrow array. Raises ValueError, TypeError, OverflowError or an
            error of Arrow's for one that the type cannot hold.
        write: an array as values that msgspec encodes.
        complete: decoding as `form` leaves nothing for `read` to refuse.
    """

    form: Any
    expected: str
    read: Callable[[Values], pa.Array]
    write: Callable[[pa.Array | pa.ChunkedArray], list[Any]]
    complete: bool = False


REFUSED = (ValueError, TypeError, OverflowError, KeyError, pa.ArrowException)
"""What `Wire.read` may raise for values that do not fit."""


def wire_of(field: pa.Field) -> Wire:
    """The wire of a column, or of an element of one."""
    from model_envelope.serving.formats import nested

    type_ = field.type
    if pa.types.is_dictionary(type_):
        return _categorical(field)
    for fits, make in _MAKERS:
        if fits(type_):
            return make(type_)
    return nested.wire_of(type_)


def array_of(form: Any) -> Any:
    """The form of an array whose elements have a form."""
    return list[form]


def tuple_of(forms: Sequence[Any]) -> Any:
    """The form of an array that has just these elements."""
    return tuple[tuple(forms)]  # type: ignore[misc]


def to_list(array: pa.Array | pa.ChunkedArray) -> list[Any]:
    """The values as they are."""
    found: list[Any] = array.to_pylist()
    return found


def _boolean(type_: pa.DataType) -> Wire:
    return _plain(bool, "true or false", type_, complete=True)


def _string(type_: pa.DataType) -> Wire:
    return _plain(str, "a string", type_, complete=True)


def _plain(form: Any, expected: str, type_: pa.DataType, *, complete: bool = False) -> Wire:
    return Wire(
        form=form,
        expected=expected,
        read=lambda values: pa.array(values, type_),
        write=to_list,
        complete=complete,
    )


def _integer(type_: pa.DataType) -> Wire:
    signed, bits = pa.types.is_signed_integer(type_), type_.bit_width
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    expected = "an integer" if bits == 64 and signed else f"an integer from {low} to {high}"
    if high > 2**63 - 1:
        limits = Meta(ge=low, extra_json_schema={"maximum": high})
        return _plain(Annotated[int, limits], expected, type_)
    return _plain(Annotated[int, Meta(ge=low, le=high)], expected, type_, complete=True)


def _float(type_: pa.DataType) -> Wire:
    limit = _FLOAT_LIMITS.get(str(type_))
    number: Any = float if limit is None else Annotated[float, Meta(ge=-limit, le=limit)]
    wide = type_ if type_ != pa.float16() else pa.float32()

    def read(values: Values) -> pa.Array:
        try:
            return pa.array(values, wide).cast(type_)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            return pa.array([v if v is None else float(v) for v in values], wide).cast(type_)

    return Wire(
        form=number | Literal["Infinity", "-Infinity"],
        expected="a number" if limit is None else f"a number from -{limit} to {limit}",
        read=read,
        write=_write_floats,
        complete=True,
    )


def _write_floats(array: pa.Array | pa.ChunkedArray) -> list[Any]:
    values = to_list(array)
    # msgspec writes NaN as null, as is the rule, but infinity too.
    if _INFINITY in values or -_INFINITY in values:
        return [_INFINITIES.get(value, value) for value in values]
    return values


def _decimal(type_: pa.DataType) -> Wire:
    whole = max(type_.precision - type_.scale, 1)
    fraction = rf"(\.[0-9]{{1,{type_.scale}}})?" if type_.scale > 0 else ""
    shape = {"pattern": rf"^-?[0-9]{{1,{whole}}}{fraction}$"}
    form = Annotated[Decimal, Meta(extra_json_schema=shape)]
    return Wire(
        form=form,
        expected=f"a decimal number as a string, {type_.scale} digits after the point at most",
        read=lambda values: pa.array(
            [v if v is None else str(v) for v in values], pa.string()
        ).cast(type_),
        write=lambda array: [v if v is None else format(v, "f") for v in array.to_pylist()],
    )


def _timestamp(type_: pa.DataType) -> Wire:
    example = "2024-02-29T13:45:00"
    if type_.tz is None:
        expected = f"a time as {example!r}, without an offset"
        shape = {"format": "local-date-time"}
        end, parsed = "", type_
    else:
        expected = f"a time with its offset, as '{example}Z'"
        shape = {"format": "date-time"}
        # Through UTC: other zones need a database of zones, which a small image lacks.
        end, parsed = "Z", pa.timestamp(type_.unit, "UTC")
    plain = pa.timestamp(type_.unit)

    def read(values: Values) -> pa.Array:
        texts = pa.array(values, pa.string())
        try:
            return texts.cast(parsed).cast(type_)
        except pa.ArrowInvalid:
            # More digits than the unit has are refused by Arrow, even if they are zeros.
            short = pc.replace_substring_regex(texts, pattern=_LAST_ZEROS, replacement=r"\1\2")
            short = pc.replace_substring_regex(short, pattern=r"\.(\D|$)", replacement=r"\1")
            return short.cast(parsed).cast(type_)

    def write(array: pa.Array | pa.ChunkedArray) -> list[Any]:
        texts = array.cast(plain).cast(pa.string()).to_pylist()
        return [v if v is None else f"{_short(v).replace(' ', 'T')}{end}" for v in texts]

    form = Annotated[str, Meta(extra_json_schema=shape)]
    return Wire(form=form, expected=expected, read=read, write=write)


def _short(text: str) -> str:
    """A time of a day without zeros at the end of its fraction."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def _date(type_: pa.DataType) -> Wire:
    return Wire(
        form=Annotated[str, Meta(extra_json_schema={"format": "date"})],
        expected="a date as '2024-02-29'",
        read=lambda values: pa.array(values, pa.string()).cast(type_),
        write=lambda array: to_list(array.cast(pa.date32()).cast(pa.string())),
    )


def _time(type_: pa.DataType) -> Wire:
    def read(values: Values) -> pa.Array:
        return pa.array(values, pa.time64("us")).cast(type_)

    return Wire(
        form=Annotated[datetime.time, Meta(tz=False, extra_json_schema={"pattern": _CLOCK})],
        expected="a time of day as '13:45:00', without an offset",
        read=read,
        write=lambda array: [
            v if v is None else _short(v) for v in array.cast(pa.string()).to_pylist()
        ],
    )


def _duration(type_: pa.DataType) -> Wire:
    per_second = _SECONDS[type_.unit]
    form = Annotated[str, Meta(extra_json_schema={"format": "duration"})]
    return Wire(
        form=form,
        expected="a duration as 'P1DT2.5S'",
        read=lambda values: pa.array(
            [v if v is None else parse_duration(v, per_second) for v in values], pa.int64()
        ).cast(type_),
        write=lambda array: [
            v if v is None else format_duration(v, per_second)
            for v in array.cast(pa.int64()).to_pylist()
        ],
    )


def parse_duration(text: str, per_second: int) -> int:
    """An ISO 8601 duration in units of which `per_second` make a second.

    Raises:
        ValueError: it is none, or finer than the unit.
    """
    found = _DURATION.fullmatch(text)
    if found is None or text.endswith(("P", "T")):
        raise ValueError("no duration")
    parts = found.groupdict(default="0")
    digits = len(str(per_second)) - 1
    fraction = parts["fraction"].rstrip("0")
    if len(fraction) > digits:
        raise ValueError(f"finer than 1/{per_second} s")
    seconds = int(parts["days"]) * 86_400 + int(parts["hours"]) * 3_600
    seconds += int(parts["minutes"]) * 60 + int(parts["seconds"])
    count = seconds * per_second + int(fraction.ljust(digits, "0") or 0)
    return -count if parts["sign"] else count


def format_duration(count: int, per_second: int) -> str:
    """The inverse: days and seconds."""
    days, rest = divmod(abs(count), 86_400 * per_second)
    seconds, fraction = divmod(rest, per_second)
    digits = len(str(per_second)) - 1
    tail = f".{fraction:0{digits}d}".rstrip("0") if fraction else ""
    sign = "-" if count < 0 else ""
    return f"{sign}P{f'{days}D' if days else ''}T{seconds}{tail}S"


def _binary(type_: pa.DataType) -> Wire:
    size = -1 if pa.types.is_binary(type_) else type_.byte_width
    form = Annotated[bytes, Meta(extra_json_schema={"pattern": _base64(size)})]
    expected = "bytes as base64" if size < 0 else f"{size} bytes as base64"
    return _plain(form, expected, type_)


def _base64(size: int) -> str:
    """The shape of so many bytes; of any number, if negative."""
    letter, tails = (
        "[A-Za-z0-9+/]",
        ("", "[A-Za-z0-9+/][AQgw]==", "[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]="),
    )
    if size < 0:
        return f"^({letter}{{4}})*({tails[1]}|{tails[2]})?$"
    return f"^({letter}{{4}}){{{size // 3}}}{tails[size % 3]}$"


def _uuid(type_: pa.DataType) -> Wire:
    return Wire(
        form=uuid.UUID,
        expected="a UUID",
        read=lambda values: pa.ExtensionArray.from_storage(
            type_, pa.array([v if v is None else v.bytes for v in values], pa.binary(16))
        ),
        write=lambda array: [v if v is None else str(v) for v in array.to_pylist()],
    )


def _categorical(field: pa.Field) -> Wire:
    type_ = field.type
    values = wire_of(pa.field("", type_.value_type))
    known, _ = schemas.categories(field) or ([], False)
    signature = schemas.to_signature(pa.schema([pa.field("", type_, metadata=field.metadata)]))

    def read(given: Values) -> pa.Array:
        column = values.read(given)
        if not known:
            return column.dictionary_encode().cast(type_)
        table = inputs.conform(pa.table({"": column}), signature)
        return table.column(0).combine_chunks()

    # Nothing but strings and integers can be an enumeration for msgspec.
    listed = bool(known) and {type(value) for value in known} in ({str}, {int})
    return Wire(
        form=Literal[tuple(known)] if listed else values.form,
        expected=f"one of {_some(known)}" if known else values.expected,
        read=read,
        write=lambda array: values.write(array.cast(type_.value_type)),
        complete=listed,
    )


def _some(known: list[Any], shown: int = 8) -> str:
    text = ", ".join(msgspec.json.encode(value).decode() for value in known[:shown])
    return text if len(known) <= shown else f"{text} and {len(known) - shown} others"


_MAKERS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.DataType], Wire]], ...] = (
    (pa.types.is_floating, _float),
    (pa.types.is_integer, _integer),
    (pa.types.is_boolean, _boolean),
    (lambda t: t in (pa.string(), pa.large_string(), pa.string_view()), _string),
    (pa.types.is_timestamp, _timestamp),
    (pa.types.is_date, _date),
    (pa.types.is_time, _time),
    (pa.types.is_duration, _duration),
    (pa.types.is_decimal, _decimal),
    (lambda t: pa.types.is_binary(t) or pa.types.is_fixed_size_binary(t), _binary),
    (lambda t: isinstance(t, pa.UuidType), _uuid),
)
