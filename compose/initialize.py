"""Makes a stack ready to start, or a newer version of it: safe to run again.

Databases and who may use them, schemas, the bucket, the users of Airflow, and the first
configuration of the proxy.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import LiteralString
from urllib.parse import urlsplit

import boto3
import psycopg
from psycopg import sql

from model_envelope import config
from model_envelope.deployment.proxy.rendering import Frame, render

USERS = Path("/opt/airflow/users/passwords.json")


def main() -> None:
    """Everything in its order."""
    make_database("airflow", os.environ["AIRFLOW_DB_PASSWORD"])
    make_database("model_envelope", os.environ["MODEL_ENVELOPE_DB_PASSWORD"])
    run("airflow", "db", "migrate")
    run("model-envelope", "db", "upgrade")
    make_bucket(urlsplit(config.artifacts_address()).netloc)
    write_passwords({"admin": os.environ["AIRFLOW_ADMIN_PASSWORD"]})
    write_first_proxy_configuration()
    run("model-envelope", "monitoring", "/opt/model-envelope/watch")


def run(*command: str) -> None:
    """A command of the image's environment."""
    subprocess.run(command, check=True)


def make_database(name: str, password: str) -> None:
    """A database that belongs to a role of its name, which may use no other."""
    with psycopg.connect(autocommit=True) as connection:

        def lacks(query: LiteralString) -> bool:
            return connection.execute(query, [name]).fetchone() is None

        def do(statement: LiteralString) -> None:
            who, secret = sql.Identifier(name), sql.Literal(password)
            connection.execute(sql.SQL(statement).format(who=who, secret=secret))

        if lacks("SELECT 1 FROM pg_roles WHERE rolname = %s"):
            do("CREATE ROLE {who} LOGIN")
        do("ALTER ROLE {who} PASSWORD {secret}")
        if lacks("SELECT 1 FROM pg_database WHERE datname = %s"):
            do("CREATE DATABASE {who} OWNER {who}")
        do("REVOKE ALL ON DATABASE {who} FROM PUBLIC")


def make_bucket(name: str) -> None:
    """The bucket of the artifacts, where there is none."""
    s3 = boto3.client("s3")
    if name not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=name)


def write_passwords(passwords: dict[str, str]) -> None:
    """For Airflow's simple auth manager, which reads them from a file."""
    USERS.touch(mode=0o600)
    USERS.write_text(json.dumps(passwords) + "\n")


def write_first_proxy_configuration() -> None:
    """HAProxy starts with nothing to serve; what it serves is told by whoever deploys."""
    file, bind = config.proxy_config(), config.proxy_bind()
    if file is not None and bind is not None and not file.exists():
        file.write_text(render(Frame(bind=bind, resolve=True), [])[0])


if __name__ == "__main__":
    main()
