"""Every table of the store. Queries live in the neighbouring modules."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Timestamp(TypeDecorator[datetime]):
    """A moment. SQLite keeps no zone, so it is UTC there; what is read is aware in both."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """UTC, whatever zone was given."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone.")
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware, in UTC."""
        return value and (value.replace(tzinfo=UTC) if value.tzinfo is None else value)


Id = String(20)
Revision = BigInteger().with_variant(Integer, "sqlite")

# One row. Every writing transaction increments it last thing before its inserts:
# the row lock makes revision order equal commit order, without gaps. `store_id` is the
# store's identity, so that artifacts can say whose they are.
clock = Table(
    "clock",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", Revision, nullable=False),
    Column("store_id", Id, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

# A save in progress. `open` until it commits (the row goes) or its lease expires (`dead`).
upload = Table(
    "upload",
    metadata,
    Column("id", Id, primary_key=True),
    Column("state", String(4), nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    CheckConstraint("state IN ('open', 'dead')", name="state"),
)

# `deleted_at` makes it invisible at once; garbage collection removes it after `purge_at`.
envelope = Table(
    "envelope",
    metadata,
    Column("id", Id, primary_key=True),
    Column("revision", Revision, nullable=False, unique=True),
    Column("updated_revision", Revision, nullable=False),
    Column("save_key", String(64), nullable=False, unique=True),
    Column("created_at", Timestamp, nullable=False),
    Column("description", Text, nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("archived_at", Timestamp),
    Column("deleted_at", Timestamp),
    Column("purge_at", Timestamp),
    Column("manifest_sha256", String(64), nullable=False),
    Column("manifest", Text, nullable=False),
    Column("environment_digest", String(64), nullable=False, index=True),
    Column("reproducible", String(8), nullable=False),
    Column("reproducible_reason", Text, nullable=False),
)

# The index of everything. `revision` is the envelope's, so that one index range holds
# the envelopes with one tag value, newest last.
tag = Table(
    "tag",
    metadata,
    Column("key", String(256), primary_key=True),
    Column("value", String(1024), primary_key=True),
    Column("revision", Revision, primary_key=True, autoincrement=False),
    Column("envelope_id", Id, ForeignKey("envelope.id", ondelete="CASCADE"), nullable=False),
    UniqueConstraint("envelope_id", "key"),
)

# How many envelopes have each tag value, archived ones too, deleted ones not: tells which
# tag of a query is rarest.
tag_count = Table(
    "tag_count",
    metadata,
    Column("key", String(256), primary_key=True),
    Column("value", String(1024), primary_key=True),
    Column("envelopes", Integer, nullable=False),
)

# Change feed and history in one append-only table. No foreign key: it outlives envelopes.
change = Table(
    "change",
    metadata,
    Column("revision", Revision, primary_key=True, autoincrement=False),
    Column("at", Timestamp, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("envelope_id", Id, nullable=False, index=True),
    Column("actor", String(256), nullable=False),
    Column("data", JSON, nullable=False),
)

cursor = Table(
    "cursor",
    metadata,
    Column("name", String(256), primary_key=True),
    Column("revision", Revision, nullable=False),
)

query_function = Table(
    "query_function",
    metadata,
    Column("envelope_id", Id, ForeignKey("envelope.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("spec", Text, nullable=False),
    Column("files", Text, nullable=False),
)

# One row for each logged value. `step` orders values within a name; `value` is set for
# scalars and for the scalar projections (`roc_curve.auc`) of structured metrics.
metric = Table(
    "metric",
    metadata,
    Column(
        "envelope_revision",
        Revision,
        ForeignKey("envelope.revision", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("name", String(256), primary_key=True),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("envelope_id", Id, nullable=False),
    Column("at", Timestamp, nullable=False),
    Column("type", String(64), nullable=False),
    Column("value", Double),
    Column("body", Text),
    Index(None, "name", "envelope_revision"),
)

# The last value of each scalar metric: what `metric.name` means in a tag query. NULL is a
# value that is not a number, of which no comparison holds.
metric_latest = Table(
    "metric_latest",
    metadata,
    Column("envelope_id", Id, ForeignKey("envelope.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(256), primary_key=True),
    Column("step", BigInteger, nullable=False),
    Column("value", Double),
    Index(None, "name", "value"),
)

hyperparameter = Table(
    "hyperparameter",
    metadata,
    Column("envelope_id", Id, ForeignKey("envelope.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(256), primary_key=True),
    Column("value", JSON, nullable=False),
)

# The hashed lock of an environment, content-addressed: resolved once for all its models.
environment_lock = Table(
    "environment_lock",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("lock", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
)

# One run of an envelope over a table. `run_key` names the logical run, not the try:
# a retry takes up the same row and the same envelope.
batch_prediction = Table(
    "batch_prediction",
    metadata,
    Column("run_key", String(512), primary_key=True),
    Column("envelope_id", Id, nullable=False, index=True),
    Column("state", String(16), nullable=False),
    Column("started_at", Timestamp, nullable=False),
    Column("finished_at", Timestamp),
    Column("request", JSON, nullable=False),
    Column("result", JSON),
    Column("error", Text),
    CheckConstraint("state IN ('running', 'done', 'failed')", name="state"),
)
