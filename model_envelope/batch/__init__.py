"""Batch prediction without Airflow: what is asked for, and how Spark is started."""
