"""Services as real processes, of models that were really saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import model_envelope as me
from model_envelope.isolation import fetch_all, service_plan
from model_envelope.serving.plan import Limits, ServicePlan
from tests.integration.serving.support import TOKEN, Service


@pytest.fixture
def make_plan(tmp_path: Path) -> Callable[..., ServicePlan]:
    """Saves a model, and says how it is to be served; keywords replace what the plan has."""
    numbers = iter(range(1000))

    def make(model: Any, api_input: Any, *, query_functions: Any = None, **fields: Any) -> Any:
        envelope = me.save_model(
            model,
            tags={"canonical_name": "served"},
            description="A served model",
            api_input=api_input,
            query_functions=query_functions,
        )
        client = me.Client()
        values = {
            "service": "served",
            "release": f"release{next(numbers)}",
            "scratch": tmp_path / "scratch",
            "control_token": TOKEN,
        }
        directory = fetch_all(client.artifacts, envelope.record)
        return service_plan(envelope.record, directory=directory, **{**values, **fields})

    return make


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of `2 * a + b` for tests that leave it as it is."""

    def model(frame: pd.DataFrame) -> pd.Series:
        return frame["a"] * 2 + frame["b"]

    folder = tmp_path_factory.mktemp("service")
    client = me.Client(f"sqlite:///{folder}/store.sqlite", str(folder / "artifacts"))
    sample = pd.DataFrame({"a": [1.0, 2.0, 0.1], "b": [1, 2, 3]})
    envelope = client.save_model(model, tags={"canonical_name": "shared"}, api_input=sample)
    plan = service_plan(
        envelope.record,
        service="shared",
        release="shared0",
        directory=fetch_all(client.artifacts, envelope.record),
        scratch=folder / "scratch",
        control_token=TOKEN,
        limits=Limits(body_bytes=1 << 20, deadline_seconds=5),
    )
    service = Service(plan, folder)
    yield service
    service.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts the process of a plan, and waits until it is ready."""
    started = []

    def start(plan: ServicePlan, *arguments: str, **options: Any) -> Service:
        service = Service(plan, tmp_path, *arguments, **options)
        started.append(service)
        return service

    yield start
    for service in started:
        service.close()
