"""The environment a model needs: captured, locked, built, packed."""
