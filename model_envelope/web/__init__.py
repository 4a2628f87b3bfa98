"""The user interface's server: a JSON API over the store, and the pages that use it."""
