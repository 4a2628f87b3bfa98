"""The first schema."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

REVISION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIMESTAMP = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create every table, and the clock at zero."""
    _bookkeeping()
    _envelopes()
    _tags()
    _metrics()
    _runs()


def _bookkeeping() -> None:
    clock = op.create_table(
        "clock",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("revision", REVISION, nullable=False),
        sa.Column("store_id", sa.String(20), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_clock"),
        sa.CheckConstraint("id = 1", name=op.f("ck_clock_one_row")),
    )
    op.bulk_insert(clock, [{"id": 1, "revision": 0, "store_id": secrets.token_hex(10)}])
    op.create_table(
        "upload",
        sa.Column("id", sa.String(20), nullable=False),
        sa.Column("state", sa.String(4), nullable=False),
        sa.Column("expires_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_upload"),
        sa.CheckConstraint("state IN ('open', 'dead')", name=op.f("ck_upload_state")),
    )
    op.create_table(
        "change",
        sa.Column("revision", REVISION, autoincrement=False, nullable=False),
        sa.Column("at", TIMESTAMP, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("envelope_id", sa.String(20), nullable=False),
        sa.Column("actor", sa.String(256), nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("revision", name="pk_change"),
    )
    op.create_index("ix_change_envelope_id", "change", ["envelope_id"])
    op.create_table(
        "cursor",
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("revision", REVISION, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_cursor"),
    )


def _envelopes() -> None:
    op.create_table(
        "envelope",
        sa.Column("id", sa.String(20), nullable=False),
        sa.Column("revision", REVISION, nullable=False),
        sa.Column("updated_revision", REVISION, nullable=False),
        sa.Column("save_key", sa.String(64), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("archived", sa.Boolean, nullable=False),
        sa.Column("archived_at", TIMESTAMP),
        sa.Column("deleted_at", TIMESTAMP),
        sa.Column("purge_at", TIMESTAMP),
        sa.Column("manifest_sha256", sa.String(64), nullable=False),
        sa.Column("manifest", sa.Text, nullable=False),
        sa.Column("environment_digest", sa.String(64), nullable=False),
        sa.Column("reproducible", sa.String(8), nullable=False),
        sa.Column("reproducible_reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_envelope"),
        sa.UniqueConstraint("revision", name="uq_envelope_revision"),
        sa.UniqueConstraint("save_key", name="uq_envelope_save_key"),
    )
    op.create_index("ix_envelope_environment_digest", "envelope", ["environment_digest"])
    op.create_table(
        "query_function",
        sa.Column("envelope_id", sa.String(20), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("files", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("envelope_id", "name", name="pk_query_function"),
        _of_envelope("query_function"),
    )
    op.create_table(
        "environment_lock",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("lock", sa.Text, nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_environment_lock"),
    )


def _tags() -> None:
    op.create_table(
        "tag",
        sa.Column("key", sa.String(256), nullable=False),
        sa.Column("value", sa.String(1024), nullable=False),
        sa.Column("revision", REVISION, autoincrement=False, nullable=False),
        sa.Column("envelope_id", sa.String(20), nullable=False),
        sa.PrimaryKeyConstraint("key", "value", "revision", name="pk_tag"),
        sa.UniqueConstraint("envelope_id", "key", name="uq_tag_envelope_id_key"),
        _of_envelope("tag"),
    )
    op.create_table(
        "tag_count",
        sa.Column("key", sa.String(256), nullable=False),
        sa.Column("value", sa.String(1024), nullable=False),
        sa.Column("envelopes", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("key", "value", name="pk_tag_count"),
    )


def _metrics() -> None:
    op.create_table(
        "metric",
        sa.Column("envelope_revision", REVISION, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("step", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("envelope_id", sa.String(20), nullable=False),
        sa.Column("at", TIMESTAMP, nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("body", sa.Text),
        sa.PrimaryKeyConstraint("envelope_revision", "name", "step", name="pk_metric"),
        sa.ForeignKeyConstraint(
            ["envelope_revision"],
            ["envelope.revision"],
            name="fk_metric_envelope_revision",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_metric_name_envelope_revision", "metric", ["name", "envelope_revision"])
    op.create_table(
        "metric_latest",
        sa.Column("envelope_id", sa.String(20), nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Double),
        sa.PrimaryKeyConstraint("envelope_id", "name", name="pk_metric_latest"),
        _of_envelope("metric_latest"),
    )
    op.create_index("ix_metric_latest_name_value", "metric_latest", ["name", "value"])
    op.create_table(
        "hyperparameter",
        sa.Column("envelope_id", sa.String(20), nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("value", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("envelope_id", "name", name="pk_hyperparameter"),
        _of_envelope("hyperparameter"),
    )


def _runs() -> None:
    op.create_table(
        "batch_prediction",
        sa.Column("run_key", sa.String(512), nullable=False),
        sa.Column("envelope_id", sa.String(20), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("started_at", TIMESTAMP, nullable=False),
        sa.Column("finished_at", TIMESTAMP),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("result", sa.JSON),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("run_key", name="pk_batch_prediction"),
        sa.CheckConstraint(
            "state IN ('running', 'done', 'failed')", name=op.f("ck_batch_prediction_state")
        ),
    )
    op.create_index("ix_batch_prediction_envelope_id", "batch_prediction", ["envelope_id"])


def _of_envelope(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["envelope_id"], ["envelope.id"], name=f"fk_{table}_envelope_id", ondelete="CASCADE"
    )
