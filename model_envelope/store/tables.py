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
    LargeBinary,
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
# `dag_run` is the key of the run of a DAG that saved it, see `lineage`.
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
    Column("dag_run", String(512), index=True),
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

# The same as bits: an envelope's place in its block of consecutive revisions, see `bitmaps`.
tag_bitmap = Table(
    "tag_bitmap",
    metadata,
    Column("key", String(256), primary_key=True),
    Column("value", String(1024), primary_key=True),
    Column("block", Revision, primary_key=True, autoincrement=False),
    Column("bits", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
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
# a retry takes up the same row and the same envelope. `airflow` is the task that did it, as
# in an envelope's provenance, and `dag_run` the key of its run, see `lineage`.
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
    Column("airflow", JSON, nullable=False, server_default="{}"),
    Column("dag_run", String(512), index=True),
    CheckConstraint("state IN ('running', 'done', 'failed')", name="state"),
)

# Deployment rules: a row for what each change made of one, by the revision of the store; the
# `current` one of a name is the rule as it is. Paused and resumed, it keeps its revision.
rule = Table(
    "rule",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("entered", Revision, primary_key=True, autoincrement=False),
    Column("current", Boolean, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("service", String(63), nullable=False),
    Column("spec", JSON, nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("pause_reason", Text, nullable=False),
    Column("removed", Boolean, nullable=False),
    Column("at", Timestamp, nullable=False),
    Column("actor", String(256), nullable=False),
)

# A service: what is wanted of it, what is live, and whose it is at the moment. Who claims it
# increments `fence`; nothing of a lower fence may change it any more.
service = Table(
    "service",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("target", JSON, nullable=False),
    Column("url", Text),
    Column("desired_envelope", Id, index=True),
    Column("desired_by", String(256), nullable=False),
    Column("reason", Text, nullable=False),
    Column("pinned", Boolean, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("observed_generation", Integer, nullable=False),
    Column("live_deployment", Id),
    Column("live_envelope", Id, index=True),
    Column("previous_envelope", Id, index=True),
    Column("fence", Integer, nullable=False),
    Column("lease_owner", String(256)),
    Column("lease_until", Timestamp),
    Column("updated_at", Timestamp, nullable=False),
)

# The ledger: one row for each attempt. No foreign keys: it outlives envelopes. `airflow` and
# `dag_run` are of the task that made it, as in `batch_prediction`.
deployment = Table(
    "deployment",
    metadata,
    Column("id", Id, primary_key=True),
    Column("entered", Revision, nullable=False, unique=True),
    Column("service", String(63), nullable=False),
    Column("envelope_id", Id, nullable=False, index=True),
    Column("target", JSON, nullable=False),
    Column("by", String(256), nullable=False, index=True),
    Column("fence", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("started_at", Timestamp, nullable=False),
    Column("finished_at", Timestamp),
    Column("live_from", Timestamp),
    Column("live_to", Timestamp),
    Column("airflow", JSON, nullable=False, server_default="{}"),
    Column("dag_run", String(512), index=True),
    Index(None, "service", "entered"),
    CheckConstraint(
        "state IN ('running', 'live', 'failed', 'superseded', 'retired')", name="state"
    ),
)

deployment_step = Table(
    "deployment_step",
    metadata,
    Column("deployment_id", Id, ForeignKey("deployment.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    Column("at", Timestamp, nullable=False),
    Column("detail", JSON, nullable=False),
    CheckConstraint("state IN ('running', 'passed', 'failed', 'held')", name="state"),
)

# The search part of a page's URL, under a name.
saved_view = Table(
    "saved_view",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("search", Text, nullable=False),
    Column("at", Timestamp, nullable=False),
    Column("actor", String(256), nullable=False),
)
