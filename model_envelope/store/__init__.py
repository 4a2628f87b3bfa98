"""The store: every SQL statement of the project is in this package."""
