"""The `model-envelope` command."""
