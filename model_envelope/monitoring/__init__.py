"""Watching services: what Prometheus, Alertmanager and Grafana read, made from the ledger."""
