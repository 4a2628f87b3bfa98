"""Airflow operators, sensors and triggers: thin callers of the library."""
