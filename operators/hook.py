"""The connection between Airflow and a store of envelopes."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from model_envelope import config
from model_envelope.errors import EnvelopeError, InvalidInput

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from model_envelope.client.client import Client
    from model_envelope.store.store import Store

DEFAULT_CONNECTION = "model_envelope_default"
S3_EXTRAS = ("aws_session_token", "endpoint_url", "region_name")


@dataclass(frozen=True, kw_only=True, slots=True)
class Addresses:
    """Where a connection points. `store` may hold the password, so it is never shown."""

    store: str = field(repr=False)
    artifacts: str
    aws_conn_id: str | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)


class ModelEnvelopeHook(BaseHook):
    """Opens the store that an Airflow connection of type `model_envelope` describes.

    The connection's extras are `store` (a SQLAlchemy URL without password), `artifacts`
    (a directory or `s3://bucket/prefix`) and `aws_conn_id`; its password is the
    database's. When the default connection is not defined, the environment variables
    `MODEL_ENVELOPE_STORE` and `MODEL_ENVELOPE_ARTIFACTS` decide, as outside Airflow.

    Args:
        conn_id: the connection to use.
    """

    conn_name_attr = "conn_id"
    default_conn_name = DEFAULT_CONNECTION
    conn_type = "model_envelope"
    hook_name = "Model Envelope"

    def __init__(self, conn_id: str = DEFAULT_CONNECTION) -> None:
        super().__init__()
        self.conn_id = conn_id

    def client(self) -> Client:
        """A client of store and artifacts.

        Raises:
            InvalidInput: the connection is incomplete or shows a password.
            StoreError: the store cannot be opened.
            AirflowNotFoundException: the connection is not defined.
        """
        from model_envelope.artifacts.opening import open_artifacts
        from model_envelope.client.client import Client

        addresses = self.addresses()
        client = Client(store=addresses.store, artifacts=addresses.artifacts)
        if addresses.aws_conn_id:
            access = s3_access(self.get_connection(addresses.aws_conn_id))
            client.artifacts = open_artifacts(addresses.artifacts, s3_access=access)
        return client

    def pending(self) -> tuple[str, ...]:
        """Have services want what their rules say; names those that need something done.

        As `Client.pending`, without what a client imports, which takes longer than planning.

        Raises:
            InvalidInput, StoreError, AirflowNotFoundException: see `client`.
        """
        from model_envelope.artifacts.opening import open_artifacts
        from model_envelope.deployment.planning import follow
        from model_envelope.deployment.reconciling import pending
        from model_envelope.deployment.targets.protocol import Platform
        from model_envelope.environment.provenance import airflow_task
        from model_envelope.store.opening import open_store

        addresses = self.addresses()
        with open_store(addresses.store) as store:
            follow(store, f"airflow:{airflow_task().get('dag_id', '')}")
            # Nothing is read of the artifacts, so they need no credentials here.
            artifacts = open_artifacts(addresses.artifacts)
            places = {"cache": config.cache(), "state": config.state()}
            return pending(Platform(store=store, artifacts=artifacts, **places))

    def store(self) -> Store:
        """The store alone, for who only asks: one that is not there is not made.

        Raises:
            InvalidInput, StoreError, AirflowNotFoundException: see `client`.
        """
        return _open_store(self.addresses().store)

    async def astore(self) -> Store:
        """The same for triggers: neither Airflow nor the database block the event loop.

        Raises:
            InvalidInput, StoreError, AirflowNotFoundException: see `client`.
        """
        from airflow.sdk.log import amask_secret

        try:
            addresses = read(await self.aget_connection(self.conn_id))
        except AirflowNotFoundException:
            addresses = self._fall_back()
        for secret in addresses.secrets:
            await amask_secret(secret)
        return await asyncio.to_thread(_open_store, addresses.store)

    def get_conn(self) -> Client:
        """The same as `client`, by the name Airflow has for it."""
        return self.client()

    def test_connection(self) -> tuple[bool, str]:
        """What the Test button of the connection form shows."""
        try:
            with self.store() as store:
                revision = store.head()
        except (EnvelopeError, AirflowNotFoundException) as error:
            return False, str(error)
        return True, f"The store answers; its last revision is {revision}."

    def addresses(self) -> Addresses:
        """Where the connection points.

        Raises:
            InvalidInput, AirflowNotFoundException: see `client`.
        """
        from airflow.sdk.log import mask_secret

        try:
            addresses = read(self.get_connection(self.conn_id))
        except AirflowNotFoundException:
            addresses = self._fall_back()
        for secret in addresses.secrets:
            mask_secret(secret)
        return addresses

    def _fall_back(self) -> Addresses:
        """The environment's addresses for want of the default connection; others must exist."""
        if self.conn_id != self.default_conn_name:
            raise AirflowNotFoundException(
                f"Connection {self.conn_id!r} is not defined. Add it with type "
                f"{self.conn_type!r}, or use {self.default_conn_name!r}, which falls back to "
                f"{config.STORE} and {config.ARTIFACTS}."
            )
        self.log.info(
            "Connection %s is not defined: using %s and %s, or their defaults.",
            self.conn_id,
            config.STORE,
            config.ARTIFACTS,
        )
        return Addresses(store=config.store_url(), artifacts=config.artifacts_address())


def read(connection: Connection) -> Addresses:
    """What a connection says.

    Raises:
        InvalidInput: the connection is incomplete, or shows a password.
    """
    if connection.conn_type != ModelEnvelopeHook.conn_type:
        raise InvalidInput(
            f"Connection {connection.conn_id!r} is of type {connection.conn_type!r}; "
            f"{ModelEnvelopeHook.conn_type!r} is needed."
        )
    extra = _extra(connection)
    store, artifacts = extra.get("store"), extra.get("artifacts")
    if not store or not artifacts:
        raise InvalidInput(
            f"Connection {connection.conn_id!r} lacks its "
            f"{'artifacts address' if store else 'store URL'}. Fill in the field "
            f"{'artifacts' if store else 'store'!r}."
        )
    return Addresses(
        store=_with_password(store, connection),
        artifacts=artifacts,
        aws_conn_id=extra.get("aws_conn_id"),
        # Airflow masks the password itself, but not as it stands in a URL.
        secrets=(quote(connection.password, safe=" +"),) if connection.password else (),
    )


def s3_access(connection: Connection) -> dict[str, str]:
    """What a connection of type `aws` says, by the names that boto3 has for it.

    Raises:
        InvalidInput: it asks for more than keys, region and endpoint, e.g. for a role.
    """
    extra = {name: value for name, value in _extra(connection).items() if value}
    further = sorted(extra.keys() - set(S3_EXTRAS))
    if further:
        raise InvalidInput(
            f"Connection {connection.conn_id!r} has {', '.join(further)}, which artifacts cannot "
            f"use: only key, secret and {', '.join(S3_EXTRAS)}. For a role, leave aws_conn_id "
            "empty and give the role to the workers."
        )
    keys = {"aws_access_key_id": connection.login, "aws_secret_access_key": connection.password}
    return {**{name: value for name, value in keys.items() if value}, **extra}


def _extra(connection: Connection) -> dict[str, Any]:
    try:
        extra = json.loads(connection.extra or "{}")
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise InvalidInput(f"The extra of connection {connection.conn_id!r} is no JSON object.")
    return extra


def _with_password(store: str, connection: Connection) -> str:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(store)
    except (ArgumentError, ValueError) as error:
        raise InvalidInput(
            f"The store of connection {connection.conn_id!r} is no SQLAlchemy URL such as "
            "postgresql+psycopg://models@db.example.com/models."
        ) from error
    if url.password is not None or any("password" in name.lower() for name in url.query):
        raise InvalidInput(
            f"The store URL of connection {connection.conn_id!r} holds a password, where "
            "Airflow shows it. Move it to the connection's password field."
        )
    if not connection.password:
        return store
    if not url.username:
        raise InvalidInput(
            f"Connection {connection.conn_id!r} has a password, but its store URL names no "
            "user: write postgresql+psycopg://user@host/database."
        )
    return url.set(password=connection.password).render_as_string(hide_password=False)


def _open_store(url: str) -> Store:
    from model_envelope.store.opening import open_store

    return open_store(url, create=False)
