"""The web application alone, and a browser that asks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from model_envelope.client.client import Client
from model_envelope.store.store import Store
from model_envelope.web.alone import alone

API = "/api/v1/"
TOKEN = "sesame"  # noqa: S105


@pytest.fixture
def mine() -> dict[str, str]:
    """The headers of somebody who may change things."""
    return {"X-Model-Envelope": "1", "Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def client(store: Store, store_url: str, tmp_path: Path) -> Iterator[Client]:
    """What the application looks with."""
    client = Client(
        store=store_url, artifacts=str(tmp_path / "artifacts"), state=tmp_path / "state"
    )
    yield client
    client.store.close()


class Place:
    """Which client the application has: making it takes longer than most tests."""

    client: Client

    def __call__(self) -> Client:
        return self.client


@pytest.fixture(scope="session")
def place() -> Place:
    return Place()


@pytest.fixture(scope="session")
def application(place: Place) -> FastAPI:
    """The application, served to this machine only."""
    return alone(place, token=TOKEN)


@pytest.fixture
def browser(place: Place, application: FastAPI, client: Client) -> Iterator[TestClient]:
    """Asks the application."""
    place.client = client
    with TestClient(application, base_url="http://127.0.0.1") as browser:
        yield browser


@pytest.fixture
def get(browser: TestClient) -> Callable[..., Any]:
    """Gives what a route answers; of a refusal, its error."""

    def get(path: str, status: int = 200, **parameters: Any) -> Any:
        answer = browser.get(API + path, params=parameters)
        assert answer.status_code == status, answer.text
        return answer.json() if status == 200 else answer.json()["error"]

    return get


@pytest.fixture
def send(browser: TestClient, mine: dict[str, str]) -> Callable[..., Any]:
    """Sends a change as somebody who may; gives what is answered, of a refusal its error."""

    def send(method: str, path: str, body: Any = None, status: int = 200) -> Any:
        answer = browser.request(method, API + path, json=body, headers=mine)
        assert answer.status_code == status, answer.text
        return answer.json() if status < 300 else answer.json()["error"]

    return send
