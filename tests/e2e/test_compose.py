"""docker-compose.airflow.yml: what it promises on paper, and a stack that was brought up."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from tests.e2e.stack import FILE, ROOT, Stack, ask, compose_program, new_environment
from tests.integration.docker.engine import base_image, engine, missing

__all__ = ["base_image", "engine"]

SWITCH = "MODEL_ENVELOPE_TEST_COMPOSE"
WANTED = SWITCH in os.environ
SERVICE = "client-ltv"
RULE = f"""\
rules:
  - name: {SERVICE}
    service: {SERVICE}
    when: canonical_name == 'client_ltv' and segment == '1997-01' and passes_tests == 'true'
    target: {{kind: docker, replicas: 2, threads: 1}}
"""
ROWS = """
import pandas as pd
from client_ltv.models import FEATURES
tables = "/opt/model-envelope/tables"
customers = pd.read_parquet(f"{tables}/features/1997-10-01/1997-01.parquet")
predicted = pd.read_parquet(f"{tables}/predictions/segment=1997-01")
both = customers.merge(predicted[["customer_id", "ltv"]], on="customer_id", validate="1:1")
print(both[[*FEATURES, "ltv"]].to_json(orient="records", double_precision=15))
"""


@pytest.fixture(scope="session")
def program() -> Path:
    """Docker Compose."""
    found = compose_program()
    if found is None:
        missing("no Docker Compose 2: apt-get install docker-compose-v2, or docker-compose-plugin")
    return found  # type: ignore[return-value]


def configuration(program: Path, settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            program,
            *f"--env-file {os.devnull} --profile * --file {FILE} config --format json".split(),
        ],
        env={"PATH": os.environ["PATH"], **settings},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def services(program: Path) -> dict[str, Any]:
    """What compose makes of the file with a new user's settings, by service."""
    done = configuration(program, {"DOCKER_GID": "999", **new_environment()})
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


def test_every_server_is_watched_restarted_and_waited_for(services: dict[str, Any]) -> None:
    waited = {}
    for name, service in services.items():
        if name == "airflow-init":
            continue
        assert service["healthcheck"]["test"], name
        assert service["restart"] == "unless-stopped", name
        assert service["init"], name
        for other, how in service.get("depends_on", {}).items():
            waited[other] = how["condition"]
    assert waited.pop("airflow-init") == "service_completed_successfully"
    assert set(waited.values()) == {"service_healthy"}


def test_every_image_can_be_another(program: Path) -> None:
    names = set(re.findall(r"\$\{(\w+_IMAGE):-", FILE.read_text()))
    chosen = {name: f"here/{name.lower()}:1" for name in names}
    done = configuration(program, {"DOCKER_GID": "999", **new_environment(), **chosen})
    services = json.loads(done.stdout)["services"]
    images = {service["image"] for service in services.values()}
    arguments = services["airflow-init"]["build"]["args"]
    images |= {value for name, value in arguments.items() if name.endswith("_IMAGE")}
    images.add(services["airflow-scheduler"]["environment"]["MODEL_ENVELOPE_BASE_IMAGE"])
    assert images == set(chosen.values())


def test_every_setting_is_in_the_how_to() -> None:
    settings = set(re.findall(r"\$\{(\w+):?-", FILE.read_text()))
    documented = (ROOT / "docs/how-to/compose.md").read_text()
    assert {name for name in settings if f"`{name}`" not in documented} == set()


@pytest.mark.parametrize("name", [*sorted({*new_environment(), "DOCKER_GID"})])
def test_no_secret_has_a_default(program: Path, name: str) -> None:
    settings = {"DOCKER_GID": "999", **new_environment()}
    del settings[name]
    done = configuration(program, settings)
    assert done.returncode != 0
    assert name in done.stderr
    assert "new_environment.py" in done.stderr or "stat -c %g" in done.stderr


def test_new_settings_have_secrets_of_their_own() -> None:
    first, second = new_environment(), new_environment()
    same = {name for name in first if first[name] == second[name]}
    assert same <= {"DOCKER_GID"}
    Fernet(first["AIRFLOW_FERNET_KEY"])
    # They become part of URLs, which must need no escapes.
    assert all(re.fullmatch(r"[\w=-]+", value) for value in first.values())
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_only_what_deploys_has_the_engine_and_models_reach_nothing_else(
    services: dict[str, Any],
) -> None:
    def mounts(service: Any) -> set[str]:
        return {volume["target"] for volume in service.get("volumes", [])}

    engine = {n for n, s in services.items() if "/var/run/docker.sock" in mounts(s)}
    assert engine == {"airflow-scheduler", "scaler", "watch"}
    beside_models = {n for n, s in services.items() if "services" in s["networks"]}
    assert beside_models == {"airflow-scheduler", "haproxy", "prometheus", "scaler"}
    for name, service in services.items():
        assert "no-new-privileges:true" in service["security_opt"], name
        for port in service.get("ports", []):
            assert port["host_ip"] == "127.0.0.1", name
    root = {n for n, s in services.items() if s.get("cap_drop") != ["ALL"]}
    assert root == {"postgres", "s3"}  # whose images begin as root


@pytest.fixture
def stack(program: Path, engine: Any, base_image: str, tmp_path: Path) -> Iterator[Stack]:
    """All of it, healthy."""
    if shutil.which("docker-init") is None:
        missing("no docker-init: apt-get install tini")
    found = Stack(program, engine, tmp_path)
    try:
        found.build_stand_ins(base_image)
        found.up()
        yield found
    finally:
        found.remove()


@pytest.mark.slow
@pytest.mark.skipif(not WANTED, reason=f"takes more than five minutes; set {SWITCH}=1")
def test_the_demo_runs_in_it_and_a_rule_deploys(stack: Stack) -> None:
    assert stack.airflow("/api/v2/importErrors")["import_errors"] == []
    stack.run("client_ltv_train", as_of="1997-10-01")
    stack.run("client_ltv_predict", "1997-10-01T00:00:00Z")

    # Somebody writes a rule; Airflow does the rest.
    stack.unpause("continuous_deployment")
    stack.inside("model-envelope", "rules", "apply", "/dev/stdin", text=RULE)
    url = f"{stack.urls['PROXY']}/{SERVICE}"
    stack.until("service", lambda: ask(f"{url}/openapi.json"))

    code = ["env", "PYTHONPATH=/opt/airflow/dags", "python", "-c", ROWS]
    rows = json.loads(stack.inside(*code))
    batch = [row.pop("ltv") for row in rows]
    answered = [row["ltv"] for row in ask(f"{url}/predict", rows)]
    assert len(rows) > 1000
    assert answered == batch

    # Both replicas are watched.
    def watched() -> list[Any]:
        active = ask(f"{stack.urls['PROMETHEUS']}/api/v1/targets")["data"]["activeTargets"]
        return [target for target in active if target["health"] == "up"]

    stack.until("two targets", lambda: len(watched()) == 2)
    assert {target["labels"]["service"] for target in watched()} == {SERVICE}

    # Another process in front of the same containers.
    stack.compose("restart", "haproxy")
    stack.until("service again", lambda: ask(f"{url}/predict", rows[:1]))

    stack.inside("model-envelope", "undeploy", SERVICE)
    stack.compose("down", "--volumes")
    assert stack.remains() == {"containers": [], "networks": [], "volumes": []}
