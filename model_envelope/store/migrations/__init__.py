"""Alembic's scripts: how a database gets the schema of `tables.metadata`."""
