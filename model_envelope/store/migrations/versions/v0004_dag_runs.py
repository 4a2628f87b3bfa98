"""Which run of a DAG saved, predicted or deployed something."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

PART = {
    "sqlite": "json_extract(manifest, '$.provenance.airflow.{}')",
    "postgresql": "manifest::json #>> '{{provenance,airflow,{}}}'",
}


def upgrade() -> None:
    """Add the columns; envelopes tell theirs by what their manifests say."""
    for table in ("envelope", "batch_prediction", "deployment"):
        if table != "envelope":
            task = sa.Column("airflow", sa.JSON, nullable=False, server_default="{}")
            op.add_column(table, task)
        op.add_column(table, sa.Column("dag_run", sa.String(512)))
    part = PART[op.get_bind().dialect.name]
    dag, run = (f"({part.format(name)})" for name in ("dag_id", "run_id"))
    op.execute(f"UPDATE envelope SET dag_run = substr({dag} || '/' || {run}, 1, 512)")  # noqa: S608
    for table in ("envelope", "batch_prediction", "deployment"):
        op.create_index(f"ix_{table}_dag_run", table, ["dag_run"])
