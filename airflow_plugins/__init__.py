"""What Airflow discovers: the provider and its connection type."""
