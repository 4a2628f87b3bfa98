"""Measurements against peers and floors: ratios within one run, never verdicts."""
