"""The Airflow connection: what it says, and what it refuses to say."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from model_envelope.errors import InvalidInput
from model_envelope.operators.hook import DEFAULT_CONNECTION, ModelEnvelopeHook, read, s3_access

URL = "postgresql+psycopg://models@db.example.com/models"


def connection(word: str | None = None, **extra: str | None) -> Connection:
    return Connection(
        conn_id="models",
        conn_type="model_envelope",
        password=word,
        extra=json.dumps({"store": URL, "artifacts": "/models", **extra}),
    )


def test_the_password_goes_into_the_url_whatever_its_characters() -> None:
    addresses = read(connection(word="p@ss/w:rd%"))
    assert addresses.store == URL.replace("models@", "models:p%40ss%2Fw%3Ard%25@")
    assert addresses.artifacts == "/models"


def test_the_password_is_in_no_repr_and_its_url_form_is_masked() -> None:
    addresses = read(connection(word="p@ss/w:rd%"))
    assert "p%40ss" not in repr(addresses)
    assert addresses.secrets == ("p%40ss%2Fw%3Ard%25",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"store": URL.replace("@", ":secret@")}, "holds a password"),
        ({"store": URL + "?password=secret"}, "holds a password"),
        ({"store": URL + "?sslpassword=secret"}, "holds a password"),
        ({"store": "no url"}, "no SQLAlchemy URL"),
        ({"store": ""}, "lacks its store URL"),
        ({"artifacts": None}, "lacks its artifacts address"),
    ],
)
def test_a_connection_that_is_wrong_says_how(changes: dict[str, str | None], message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        read(connection(**changes))
    assert "'models'" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_password_without_a_user_is_refused_rather_than_dropped() -> None:
    with pytest.raises(InvalidInput, match="names no user"):
        read(connection(word="secret", store="postgresql+psycopg://db/models"))


def test_an_extra_that_is_no_json_object_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no JSON object"):
        read(Connection(conn_id="models", conn_type="model_envelope", extra="[1]"))


def test_a_connection_of_another_type_is_not_looked_into() -> None:
    with pytest.raises(InvalidInput, match="of type 'postgres'"):
        read(Connection(conn_id="db", conn_type="postgres", extra='{"store": "sqlite://"}'))


def test_an_aws_connection_gives_key_region_and_endpoint() -> None:
    extra = {"region_name": "eu-west-1", "endpoint_url": "https://s3.example", "verify": None}
    aws = Connection(conn_id="aws", conn_type="aws", login="key", extra=json.dumps(extra))
    aws.password = "word"  # noqa: S105
    assert s3_access(aws) == {
        "aws_access_key_id": "key",
        "aws_secret_access_key": "word",
        "region_name": "eu-west-1",
        "endpoint_url": "https://s3.example",
    }


def test_an_aws_connection_that_wants_a_role_is_refused() -> None:
    aws = Connection(conn_id="aws", conn_type="aws", extra='{"role_arn": "arn:aws:iam::1:role/x"}')
    with pytest.raises(InvalidInput, match="'aws' has role_arn"):
        s3_access(aws)


def test_the_client_opens_what_the_connection_says(
    monkeypatch: pytest.MonkeyPatch, sqlite_store_url: str, tmp_path: Path
) -> None:
    describe(monkeypatch, "models", sqlite_store_url, tmp_path / "artifacts")
    assert ModelEnvelopeHook("models").client().store.head() == 0


async def opened(conn_id: str) -> int:
    return (await ModelEnvelopeHook(conn_id).astore()).head()


def test_triggers_open_it_without_blocking(
    monkeypatch: pytest.MonkeyPatch, sqlite_store_url: str, tmp_path: Path
) -> None:
    describe(monkeypatch, "models", sqlite_store_url, tmp_path / "artifacts")
    assert asyncio.run(opened("models")) == 0


def test_without_the_default_connection_the_environment_decides(
    monkeypatch: pytest.MonkeyPatch, sqlite_store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODEL_ENVELOPE_STORE", sqlite_store_url)
    assert ModelEnvelopeHook().store().head() == 0
    assert f"{DEFAULT_CONNECTION} is not defined" in capsys.readouterr().out


def test_another_connection_must_exist() -> None:
    with pytest.raises(AirflowNotFoundException, match="'elsewhere' is not defined"):
        ModelEnvelopeHook("elsewhere").store()


def test_the_test_button_tells_what_it_found(
    monkeypatch: pytest.MonkeyPatch, sqlite_store_url: str, tmp_path: Path
) -> None:
    describe(monkeypatch, "models", sqlite_store_url, tmp_path)
    assert ModelEnvelopeHook("models").test_connection() == (
        True,
        "The store answers; its last revision is 0.",
    )


def test_the_test_button_tells_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    describe(monkeypatch, "models", f"sqlite:///{tmp_path}/missing.sqlite", tmp_path)
    works, message = ModelEnvelopeHook("models").test_connection()
    assert not works
    assert f"{tmp_path}/missing.sqlite" in message
    assert not (tmp_path / "missing.sqlite").exists()


def describe(monkeypatch: pytest.MonkeyPatch, conn_id: str, store: str, artifacts: Path) -> None:
    monkeypatch.setenv(
        f"AIRFLOW_CONN_{conn_id.upper()}",
        json.dumps(
            {
                "conn_type": "model_envelope",
                "extra": {"store": store, "artifacts": str(artifacts)},
            }
        ),
    )
