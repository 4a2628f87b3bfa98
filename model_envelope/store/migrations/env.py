"""Runs the migrations on the connection that `opening.upgrade` hands over."""

from alembic import context

from model_envelope.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=context.config.attributes["version_table"],
    # SQLite's schema changes are transactional too, once its driver leaves BEGIN to us.
    transactional_ddl=True,
)
context.run_migrations()
