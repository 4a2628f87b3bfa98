"""What Airflow learns of this package from its `apache_airflow_provider` entry point."""

from __future__ import annotations

from typing import Any

INTEGRATION = "Model Envelope"


def get_provider_info() -> dict[str, Any]:
    """The provider's description, as Airflow's `provider_info.schema.json` wants it.

    Every Airflow process calls this at its start: it imports nothing.
    """
    return {
        "package-name": "model-envelope",
        "name": INTEGRATION,
        "description": "Put any Python model in an envelope; batch and online inference from "
        "Airflow are derived from it.",
        "integrations": [{"integration-name": INTEGRATION, "tags": ["software"]}],
        "operators": _modules("model_envelope.operators.batch", "model_envelope.operators.deploy"),
        "sensors": _modules("model_envelope.operators.sensors"),
        "hooks": _modules("model_envelope.operators.hook"),
        "triggers": _modules("model_envelope.operators.triggers"),
        "notifications": ["model_envelope.operators.owners.OwnerNotifier"],
        "extra-links": [
            "model_envelope.operators.links.EnvelopeLink",
            "model_envelope.operators.links.ServiceLink",
        ],
        "connection-types": [_connection_type()],
    }


def _modules(*names: str) -> list[dict[str, Any]]:
    return [{"integration-name": INTEGRATION, "python-modules": list(names)}]


def _connection_type() -> dict[str, Any]:
    return {
        "connection-type": "model_envelope",
        "hook-class-name": "model_envelope.operators.hook.ModelEnvelopeHook",
        "hook-name": INTEGRATION,
        "ui-field-behaviour": {
            "hidden-fields": ["host", "port", "schema", "login", "extra"],
            "relabeling": {"password": "Store password"},
            "placeholders": {
                "store": "postgresql+psycopg://models@db.example.com/models",
                "artifacts": "s3://bucket/models",
                "aws_conn_id": "aws_default",
            },
        },
        "conn-fields": {
            "store": _text(
                "Store URL",
                "SQLAlchemy URL of the database, without its password: that goes into the "
                "password field, the only one that Airflow hides.",
            ),
            "artifacts": _text(
                "Artifacts",
                "Where the models' files are: a directory that every worker sees, or "
                "s3://bucket/prefix.",
            ),
            "aws_conn_id": _text(
                "AWS connection",
                "Connection with the key, secret, region and endpoint of S3. Empty: what boto3 "
                "finds by itself (environment, instance role).",
            ),
        },
    }


def _text(label: str, description: str) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"]}}
