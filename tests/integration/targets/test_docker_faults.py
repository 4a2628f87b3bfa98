"""What the docker target does beyond the contract: hardening, and an engine that goes away."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

import model_envelope as me
from model_envelope.deployment.reconciling import reconcile
from model_envelope.deployment.targets.opening import open_target
from model_envelope.errors import InvalidInput, TargetFailed
from tests.integration.targets.line import Line
from tests.integration.targets.models import times
from tests.integration.targets.site import SAMPLE, Site
from tests.integration.targets.traffic import Traffic


def attributes(engine: Any, site: Site) -> dict[str, Any]:
    chosen = {"label": f"io.model-envelope.owner={site.platform.store.identity}"}
    (container,) = engine.containers.list(all=True, filters=chosen)
    found: dict[str, Any] = container.attrs
    return found


def test_containers_can_do_little_and_are_reached_from_this_machine_only(
    docker_site: Site, engine: Any
) -> None:
    options = {"cpus": 0.5, "memory_mb": 512, "threads": 1, "env": {"MODE": "fast"}}
    docker_site.start(times(2), options=options)
    found = attributes(engine, docker_site)
    host, settings = found["HostConfig"], found["Config"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["CapAdd"] is None
    assert not host["Privileged"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["Binds"] is None
    assert found["Mounts"] == []
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert (host["NanoCpus"], host["Memory"]) == (500_000_000, 512 << 20)
    assert settings["User"] == "10001:10001"
    assert {"MODE=fast", "OMP_NUM_THREADS=1"} <= set(settings["Env"])
    (binding,) = host["PortBindings"]["8080/tcp"]
    assert binding["HostIp"] not in ("", "0.0.0.0", "::")  # noqa: S104


def test_an_engine_that_is_gone_takes_no_traffic_along(
    docker_site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    release = docker_site.start(times(2))
    route = docker_site.route(release)
    with monkeypatch.context() as gone:
        gone.setenv("DOCKER_HOST", f"unix://{tmp_path}/gone")
        for call in (
            docker_site.target.running,
            lambda: docker_site.target.route([]),
            lambda: docker_site.target.start(release),
            lambda: docker_site.target.scale(route, 2),
            lambda: docker_site.target.stop(release.id, drain=timedelta(0)),
        ):
            with pytest.raises(TargetFailed, match="Docker does not answer"):
                call()
        assert docker_site.serves() == release.id
    assert docker_site.running(release).ready


def test_an_engine_that_stops_in_the_middle_costs_a_try_and_no_request(
    docker_site: Site, engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, store = docker_site, docker_site.platform.store
    tags = {"name": "m"}
    models = [me.save_model(times(2), tags=tags, api_input=SAMPLE).id for _ in range(2)]

    def want(envelope: str) -> None:
        store.want(site.service, target={"kind": "docker"}, envelope_id=envelope, by="ada")

    want(models[1])
    (deployed,) = reconcile(site.platform)
    assert deployed.action == "deployed", deployed
    requests = (rb"POST \S+/create", rb"POST \S+/start ", rb"POST \S+/stop", rb"DELETE ")
    with (
        monkeypatch.context() as patch,
        Line(tmp_path / "engine") as line,
        Traffic(site.url, keeping=2, fresh=1) as traffic,
    ):
        patch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine")
        for number, request in enumerate(requests):
            want(models[number % 2])
            line.cut_at(request)
            (outcome,) = reconcile(site.platform)
            assert line.is_cut, request
            assert outcome.action == "retrying", (request, outcome)
            assert "docker info" in outcome.reason, (request, outcome)
            traffic.wait_for(20)
            line.mend()
            (outcome,) = reconcile(site.platform, retry=True)
            assert outcome.good, (request, outcome)
            assert outcome.envelope_id == models[number % 2], request
            (running,) = site.target.running()
            assert running.ready
            assert site.serves() == running.release == store.service(site.service).live_deployment
            traffic.wait_for(20)
    assert traffic.failures == []
    chosen = {"label": f"io.model-envelope.owner={store.identity}"}
    assert len(engine.containers.list(all=True, filters=chosen)) == 1


def test_stores_that_share_an_engine_leave_each_other_alone(
    docker_site: Site, tmp_path: Path
) -> None:
    release = docker_site.start(times(2))
    store = me.Client(f"sqlite:///{tmp_path}/other.sqlite", str(tmp_path / "artifacts"))
    platform = replace(docker_site.platform, store=store.store, state=tmp_path / "other")
    other = open_target("docker", platform)
    assert other.running() == ()
    other.stop(release.id, drain=timedelta(0))
    assert docker_site.running(release).ready


def test_what_was_predicted_is_logged_on_this_machine(docker_site: Site) -> None:
    release = docker_site.start(times(2), log_mode="rows")
    docker_site.route(release)
    assert docker_site.ask(21.0).value == 42.0
    docker_site.stop(release)
    folder = docker_site.platform.state / "predictions" / docker_site.service / release.id
    (file,) = folder.glob("predict/*.parquet")
    assert pq.read_table(file)["input.a"].to_pylist() == [21.0]


def swelling() -> Any:
    """Gives `a`, and keeps and uses as many MiB for ever."""
    kept: list[bytes] = []

    def model(frame: pd.DataFrame) -> pd.Series:
        kept.append(b"x" * (int(frame["a"].max()) << 20))
        return frame["a"]

    return model


def test_a_container_that_leaks_is_ended_and_comes_back(docker_site: Site) -> None:
    release = docker_site.start(swelling(), options={"memory_mb": 512})
    docker_site.route(release)
    for _ in range(40):
        # HAProxy says that whoever was asked has died.
        if (answer := docker_site.ask(64.0)).status != 200:
            break
    assert (answer.status, b"died" in answer.body) == (502, True)
    docker_site.wait(lambda: docker_site.running(release), lambda r: r.ready and r.restarts == 1)
    assert docker_site.wait(docker_site.serves, bool) == release.id


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"cpus": 0}, "cpus must be a number"),
        ({"cpus": True}, "cpus must be a number"),
        ({"replicas": 0}, "replicas must be"),
        ({"env": {"LD_PRELOAD": "x"}}, "env must be"),
        ({"privileged": True}, "'privileged' is unknown"),
        ({"image": "evil"}, "'image' is unknown"),
    ],
)
def test_options_that_are_wrong(
    base_image: str, platform: Any, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidInput, match=told):
        open_target("docker", platform).check_options(options)


@pytest.mark.skipif(
    "TEST_DOCKER_RESTART" not in os.environ,
    reason="stops the engine under everybody who uses it; set TEST_DOCKER_RESTART=1",
)
def test_what_runs_survives_an_engine_that_starts_again(docker_site: Site) -> None:
    release = docker_site.start(times(2))
    docker_site.route(release)
    before = docker_site.running(release)
    pid = int(Path("/var/run/docker.pid").read_text())
    command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
    os.kill(pid, signal.SIGTERM)
    docker_site.wait(lambda: Path(f"/proc/{pid}").exists(), lambda there: not there)
    assert docker_site.serves() == ""
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        subprocess.Popen(
            shlex.split(f"setsid -f {shlex.join(command)}"), stdout=nowhere, stderr=nowhere
        ).wait()
    # Nobody does anything about it.
    assert docker_site.wait(docker_site.serves, bool) == release.id
    assert docker_site.running(release).addresses == before.addresses
