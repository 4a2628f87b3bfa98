"""What serves a model, resolved beside the model's own versions on the real index."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from model_envelope.envelope import Distribution, Environment
from model_envelope.environment.capture import describe
from model_envelope.environment.service import service_environment
from model_envelope.errors import EnvironmentNotBuildable
from model_envelope.isolation import ensure_service_environment, lock_service_environment
from model_envelope.store.opening import open_store


def pinned(**versions: str) -> Environment:
    found = {name.replace("_", "-"): version for name, version in versions.items()}
    return describe(Distribution(name=name, version=v) for name, v in found.items())


def test_the_models_versions_stay_and_the_services_are_added(sqlite_store_url: str) -> None:
    environment = pinned(six="1.16.0", uvicorn="0.35.0")
    store = open_store(sqlite_store_url)
    extended, text = lock_service_environment(store, environment)
    versions = {d.name: d.version for d in extended.distributions}
    assert versions["six"] == "1.16.0"
    assert versions["uvicorn"] == "0.35.0"
    assert {"msgspec", "prometheus-client", "httptools", "uvloop"} <= versions.keys()
    assert "uvicorn==0.35.0 " in text


def test_what_was_resolved_once_is_kept(
    sqlite_store_url: str, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = pinned(six="1.17.0")
    store = open_store(sqlite_store_url)
    built = ensure_service_environment(store, environment, shared_cache)
    code = "import httptools, msgspec, prometheus_client, six, uvicorn, uvloop"
    subprocess.run([built.python, "-c", code], check=True)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    assert ensure_service_environment(store, environment, shared_cache) == built


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        (pinned(msgspec="0.5.0"), "needs msgspec==0.5.0, and the service needs msgspec>=0.20"),
        (
            pinned(uvicorn="0.11.0", six="1.17.0"),
            "needs uvicorn==0.11.0, and the service needs uvicorn>=0.32",
        ),
        (pinned(click="6.7"), "needs click==6.7, and the service needs click>=7.0"),
    ],
)
def test_versions_that_exclude_each_other_are_named(environment: Environment, told: str) -> None:
    with pytest.raises(EnvironmentNotBuildable) as caught:
        service_environment(environment)
    assert told in str(caught.value)


def test_an_index_that_does_not_answer_is_no_conflict(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://user:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    with pytest.raises(EnvironmentNotBuildable, match=r"cannot be resolved; uv says") as caught:
        service_environment(pinned(six="1.17.0"))
    assert "secret" not in str(caught.value)
