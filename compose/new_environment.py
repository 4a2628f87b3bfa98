"""Prints settings for a new stack, with secrets of its own: `… > .env`, and keep that file."""

from __future__ import annotations

import base64
import secrets
import sys
from pathlib import Path

ENGINE = Path("/var/run/docker.sock")

HEAD = """\
# Settings of docker-compose.airflow.yml. Secrets: keep this file, and keep it to yourself.
# What else can be set, see docs/how-to/compose.md.
"""
PASSWORDS = (
    "POSTGRES_PASSWORD",
    "AIRFLOW_DB_PASSWORD",
    "MODEL_ENVELOPE_DB_PASSWORD",
    "AIRFLOW_ADMIN_PASSWORD",
    "AIRFLOW_JWT_SECRET",
    "AIRFLOW_API_SECRET",
    "S3_ACCESS_KEY",
    "S3_SECRET_KEY",
)


def main() -> None:
    """Letters and digits only, since some become part of URLs."""
    settings = {name: secrets.token_hex(20) for name in PASSWORDS}
    # A key for Fernet, as its `generate_key` makes it.
    settings["AIRFLOW_FERNET_KEY"] = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    if ENGINE.exists():
        settings["DOCKER_GID"] = str(ENGINE.stat().st_gid)
    sys.stdout.write(HEAD + "".join(f"{name}={value}\n" for name, value in settings.items()))


if __name__ == "__main__":
    main()
