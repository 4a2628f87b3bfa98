"""Where services run: one small protocol, and each kind of place."""
