"""What an Arrow stream claims to hold, read from its messages before anything is unpacked.

A compressed stream of a kilobyte can become gigabytes, and so can a few bytes that say
"null, 10**12 times". The messages are flatbuffers that Arrow has verified.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from model_envelope.serving.formats.refusals import BadRequest

_HEADER = 2  # of Message
_DATA = 1  # of DictionaryBatch
_LENGTH, _COMPRESSION = 0, 3  # of RecordBatch


def check(body: bytes, max_rows: int) -> None:
    """Refuse what would be much larger than it looks.

    Raises:
        BadRequest: 413 it has more rows than `max_rows`, 415 it is compressed.
        ArrowInvalid: it is no stream.
        struct.error: likewise.
    """
    rows = 0
    for message in pa.ipc.MessageReader.open_stream(body):
        for batch in _batches(message):
            if batch.place(_COMPRESSION) is not None:
                raise BadRequest("Compressed Arrow streams are not taken.", status=415)
            rows += batch.integer(_LENGTH)
            if rows > max_rows:
                raise BadRequest(
                    f"The stream has {rows} rows; at most {max_rows} are taken.", status=413
                )


class _Table:
    """A table of a flatbuffer."""

    def __init__(self, buffer: memoryview, at: int) -> None:
        self._buffer, self._at = buffer, at

    @classmethod
    def root(cls, buffer: memoryview) -> _Table:
        return cls(buffer, struct.unpack_from("<I", buffer)[0])

    def place(self, field: int) -> int | None:
        """Where the value of a field is; None if it is not there."""
        vtable = self._at - struct.unpack_from("<i", self._buffer, self._at)[0]
        (size,) = struct.unpack_from("<H", self._buffer, vtable)
        slot = 4 + 2 * field
        offset = struct.unpack_from("<H", self._buffer, vtable + slot)[0] if slot < size else 0
        return self._at + offset if offset else None

    def integer(self, field: int) -> int:
        at = self.place(field)
        return 0 if at is None else int(struct.unpack_from("<q", self._buffer, at)[0])

    def table(self, field: int) -> _Table | None:
        at = self.place(field)
        if at is None:
            return None
        return _Table(self._buffer, at + struct.unpack_from("<I", self._buffer, at)[0])


def _batches(message: Any) -> Iterator[_Table]:
    """The record batch of a message, if it has one: also a dictionary's values are one."""
    if message.type not in ("record batch", "dictionary"):
        return
    found = _Table.root(memoryview(message.metadata)).table(_HEADER)
    if found is not None and message.type == "dictionary":
        found = found.table(_DATA)
    if found is not None:
        yield found
