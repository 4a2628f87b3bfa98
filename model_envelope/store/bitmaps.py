"""A bitmap index of tags: one bit for each envelope that has a tag value, a row for each block.

It tells which envelopes have all of several common tags, and at once that none has: the bits
of 100,000 envelopes are 25 rows for each tag value, to be read and intersected, instead of
tens of thousands of look-ups.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy import Connection, and_, delete, func, or_, select, tuple_

from model_envelope.store.database import upsert
from model_envelope.store.tables import envelope, tag_bitmap

TagValue: TypeAlias = tuple[str, str]

BLOCK = 4096
"""Revisions to a row. Stored data depends on it: another size needs a migration."""

MAX_ROWS = 4096
"""Rows read at once."""

CHUNK = 500
"""Rows looked up for writing at once."""


def mark(connection: Connection, tags: Iterable[tuple[str, str, int]], present: bool) -> None:
    """Set or clear the bits of tags: key, value, and the envelope's revision.

    Comes after the clock was taken, so that nobody else writes the same rows meanwhile.
    """
    changed: dict[tuple[str, str, int], int] = defaultdict(int)
    for key, value, revision in tags:
        changed[key, value, revision // BLOCK] |= 1 << revision % BLOCK
    places = list(changed)
    for start in range(0, len(places), CHUNK):
        _write(connection, {place: changed[place] for place in places[start:][:CHUNK]}, present)


def _write(
    connection: Connection, changed: Mapping[tuple[str, str, int], int], present: bool
) -> None:
    place = tuple_(tag_bitmap.c.key, tag_bitmap.c.value, tag_bitmap.c.block)
    rows = connection.execute(select(tag_bitmap).where(place.in_(list(changed))))
    before = {(row.key, row.value, row.block): _number(row.bits) for row in rows}
    after = {
        at: before.get(at, 0) | bits if present else before.get(at, 0) & ~bits
        for at, bits in changed.items()
    }
    kept = [
        {"key": key, "value": value, "block": block, "bits": _bytes(bits)}
        for (key, value, block), bits in after.items()
        if bits
    ]
    if kept:
        upsert(connection, tag_bitmap, kept, replace=["bits"])
    if gone := [at for at in before if not after[at]]:
        connection.execute(delete(tag_bitmap).where(place.in_(gone)))


@dataclass(frozen=True, slots=True)
class Block:
    """The bits of some tag values among `BLOCK` consecutive revisions."""

    number: int
    bits: Mapping[TagValue, int]

    def revisions(self, bits: int, beyond: int | None, descending: bool) -> Iterator[int]:
        """The revisions of set bits, in order; only those that come after one."""
        start = self.number * BLOCK
        if beyond is not None and descending:
            bits &= (1 << max(beyond - start, 0)) - 1
        elif beyond is not None:
            bits &= -1 << max(beyond - start + 1, 0)
        while bits:
            place = (bits if descending else bits & -bits).bit_length() - 1
            yield start + place
            bits ^= 1 << place


def read(
    connection: Connection, values: Collection[TagValue], beyond: int | None, descending: bool
) -> Iterator[Block]:
    """The blocks that have any of some tag values, in order, from a revision on.

    The first is read alone, then more and more at once: a match is often among the newest.
    """
    last = (connection.scalar(select(func.max(envelope.c.revision))) or 0) // BLOCK
    low, high = 0, last
    if beyond is not None and descending:
        high = min(last, beyond // BLOCK)
    elif beyond is not None:
        low = beyond // BLOCK
    most, width = max(MAX_ROWS // len(values), 1), 1
    while low <= high:
        width = min(width, most, high - low + 1)
        if descending:
            yield from reversed(_stretch(connection, values, high - width + 1, high))
            high -= width
        else:
            yield from _stretch(connection, values, low, low + width - 1)
            low += width
        width *= 32


def whole(
    connection: Connection, values: Collection[TagValue], keys: Collection[str]
) -> dict[TagValue, int]:
    """Every bit of some tag values, and of all values of some keys: bit n is of revision n."""
    found: dict[TagValue, int] = defaultdict(int)
    by_key: dict[str, list[str]] = defaultdict(list)
    for key, value in values:
        if key not in keys:
            by_key[key].append(value)
    asked = [tag_bitmap.c.key == key for key in keys]
    for key, of_key in by_key.items():
        for start in range(0, len(of_key), CHUNK):
            some = of_key[start : start + CHUNK]
            asked.append(and_(tag_bitmap.c.key == key, tag_bitmap.c.value.in_(some)))
    for where in asked:
        for row in connection.execute(select(tag_bitmap).where(where)):
            found[row.key, row.value] |= _number(row.bits) << row.block * BLOCK
    return found


def _stretch(
    connection: Connection, values: Collection[TagValue], low: int, high: int
) -> list[Block]:
    by_key: dict[str, list[str]] = defaultdict(list)
    for key, value in values:
        by_key[key].append(value)
    asked = or_(
        *(
            and_(
                tag_bitmap.c.key == key,
                tag_bitmap.c.value.in_(of_key),
                tag_bitmap.c.block.between(low, high),
            )
            for key, of_key in by_key.items()
        )
    )
    blocks: dict[int, dict[TagValue, int]] = defaultdict(dict)
    for row in connection.execute(select(tag_bitmap).where(asked)):
        blocks[row.block][row.key, row.value] = _number(row.bits)
    return [Block(number, blocks[number]) for number in sorted(blocks)]


def _number(bits: bytes) -> int:
    return int.from_bytes(bits, "little")


def _bytes(bits: int) -> bytes:
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")
