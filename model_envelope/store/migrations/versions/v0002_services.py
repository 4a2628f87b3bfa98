"""Deployment rules, services, and the ledger of deployments."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

REVISION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIMESTAMP = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables of online inference; what is there stays as it is."""
    _rules()
    _services()
    _deployments()


def _rules() -> None:
    op.create_table(
        "rule",
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("entered", REVISION, autoincrement=False, nullable=False),
        sa.Column("current", sa.Boolean, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("service", sa.String(63), nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("pause_reason", sa.Text, nullable=False),
        sa.Column("removed", sa.Boolean, nullable=False),
        sa.Column("at", TIMESTAMP, nullable=False),
        sa.Column("actor", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("name", "entered", name="pk_rule"),
    )


def _services() -> None:
    op.create_table(
        "service",
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("target", sa.JSON, nullable=False),
        sa.Column("url", sa.Text),
        sa.Column("desired_envelope", sa.String(20)),
        sa.Column("desired_by", sa.String(256), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("pinned", sa.Boolean, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("observed_generation", sa.Integer, nullable=False),
        sa.Column("live_deployment", sa.String(20)),
        sa.Column("live_envelope", sa.String(20)),
        sa.Column("previous_envelope", sa.String(20)),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("lease_owner", sa.String(256)),
        sa.Column("lease_until", TIMESTAMP),
        sa.Column("updated_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_service"),
    )
    for column in ("desired_envelope", "live_envelope", "previous_envelope"):
        op.create_index(f"ix_service_{column}", "service", [column])


def _deployments() -> None:
    op.create_table(
        "deployment",
        sa.Column("id", sa.String(20), nullable=False),
        sa.Column("entered", REVISION, nullable=False),
        sa.Column("service", sa.String(63), nullable=False),
        sa.Column("envelope_id", sa.String(20), nullable=False),
        sa.Column("target", sa.JSON, nullable=False),
        sa.Column("by", sa.String(256), nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("started_at", TIMESTAMP, nullable=False),
        sa.Column("finished_at", TIMESTAMP),
        sa.Column("live_from", TIMESTAMP),
        sa.Column("live_to", TIMESTAMP),
        sa.PrimaryKeyConstraint("id", name="pk_deployment"),
        sa.UniqueConstraint("entered", name="uq_deployment_entered"),
        sa.CheckConstraint(
            "state IN ('running', 'live', 'failed', 'superseded', 'retired')",
            name=op.f("ck_deployment_state"),
        ),
    )
    op.create_index("ix_deployment_service_entered", "deployment", ["service", "entered"])
    for column in ("by", "envelope_id"):
        op.create_index(f"ix_deployment_{column}", "deployment", [column])
    op.create_table(
        "deployment_step",
        sa.Column("deployment_id", sa.String(20), nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("at", TIMESTAMP, nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("deployment_id", "number", name="pk_deployment_step"),
        sa.ForeignKeyConstraint(
            ["deployment_id"],
            ["deployment.id"],
            name="fk_deployment_step_deployment_id",
        ),
        sa.CheckConstraint(
            "state IN ('running', 'passed', 'failed', 'held')",
            name=op.f("ck_deployment_step_state"),
        ),
    )
