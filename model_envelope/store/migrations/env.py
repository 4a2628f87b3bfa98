"""Runs the migrations on the connection that `opening.upgrade` hands over."""

from alembic import context

from model_envelope.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=context.config.attributes["version_table"],
)
context.run_migrations()
