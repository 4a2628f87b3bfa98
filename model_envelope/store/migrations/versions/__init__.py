"""One module for each revision of the schema, numbered in order."""
