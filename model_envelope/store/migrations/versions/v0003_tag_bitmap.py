"""A bitmap index of tags, made from the tags that are there."""

from collections.abc import Iterator
from itertools import groupby, islice
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

BLOCK = 4096
ROWS = 1_000

TAGS = sa.text(
    "SELECT tag.key, tag.value, tag.revision FROM tag JOIN envelope ON envelope.id = envelope_id "
    "WHERE envelope.deleted_at IS NULL ORDER BY tag.key, tag.value, tag.revision"
)


def upgrade() -> None:
    """Create the table and fill it."""
    bitmap = op.create_table(
        "tag_bitmap",
        sa.Column("key", sa.String(256), nullable=False),
        sa.Column("value", sa.String(1024), nullable=False),
        sa.Column(
            "block",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("bits", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("key", "value", "block", name="pk_tag_bitmap"),
        sqlite_with_rowid=False,
    )
    rows = _rows(op.get_bind())
    while some := list(islice(rows, ROWS)):
        op.bulk_insert(bitmap, some)


def _rows(connection: sa.Connection) -> Iterator[dict[str, Any]]:
    found = connection.execute(TAGS, execution_options={"stream_results": True})
    blocks = groupby(found, lambda row: (row.key, row.value, row.revision // BLOCK))
    for (key, value, block), rows in blocks:
        bits = sum(1 << row.revision % BLOCK for row in rows)
        size = (bits.bit_length() + 7) // 8
        yield {"key": key, "value": value, "block": block, "bits": bits.to_bytes(size, "little")}
