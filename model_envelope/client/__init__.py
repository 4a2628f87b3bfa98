"""The library: one client over the store and the artifacts."""
