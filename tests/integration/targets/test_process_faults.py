"""The `process` target when processes are killed, hang, or find their port taken."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

import model_envelope as me
from model_envelope.deployment.reconciling import reconcile
from model_envelope.deployment.targets.protocol import Release, Split
from model_envelope.errors import FenceLost, TargetFailed
from tests.integration.targets.models import hungry, leaking, mortal, sleeping, telling, times
from tests.integration.targets.site import SAMPLE, Site
from tests.integration.targets.traffic import Traffic


@pytest.fixture
def site(process_site: Site) -> Site:
    return process_site


def processes(marker: str) -> dict[int, str]:
    """Command lines of processes that name something, by their id."""
    found = {}
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            line = file.read_bytes().replace(b"\0", b" ").decode()
            if marker in line:
                found[int(file.parent.name)] = line
    return found


def folder(site: Site) -> Path:
    return site.platform.state / "services" / site.service


def supervision(site: Site) -> tuple[int, int]:
    """The keeper and the supervisor of the site's service."""
    found = processes(f"supervising {folder(site)} ")
    parents = {pid: int(Path(f"/proc/{pid}/stat").read_text().split()[3]) for pid in found}
    (supervisor,) = (pid for pid, parent in parents.items() if parent in found)
    return parents[supervisor], supervisor


def serving(release: Release) -> list[int]:
    return sorted(processes(f"{release.id}/plan.json"))


def data_megabytes(process: int) -> int:
    """What counts against a limit of private memory; none once the process has gone."""
    with suppress(FileNotFoundError):
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmData"))
    return 0


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)


def test_a_killed_supervisor_comes_back_and_no_request_is_lost(site: Site) -> None:
    release = site.start(times(2))
    site.route(release)
    keeper, supervisor = supervision(site)
    (child,) = serving(release)
    with Traffic(site.url) as traffic:
        traffic.wait_for(100)
        kill(supervisor)
        site.wait(lambda: serving(release), lambda found: found and child not in found)
        site.wait_ready(release)
        traffic.wait_for(100)
    assert traffic.failures == []
    assert supervision(site)[0] == keeper
    assert supervision(site)[1] != supervisor
    successor = site.start(times(3), fence=2)
    site.route(successor)
    assert site.serves() == successor.id


def test_without_its_keeper_a_supervisor_goes_on(site: Site) -> None:
    release = site.start(times(2))
    site.route(release)
    kill(supervision(site)[0])
    assert site.serves() == release.id
    successor = site.start(times(3), fence=2)
    site.route(successor)
    site.stop(release)
    assert site.ask(1.0).value == 3.0
    site.stop(successor)
    site.wait(lambda: processes(str(folder(site))), lambda found: not found)


def test_after_everything_died_the_next_route_brings_it_back(site: Site) -> None:
    """As after a reboot: the ledger says what is live, and reconciling gives it the traffic."""
    release, leftover = site.start(times(2)), site.start(times(3), fence=2)
    site.route(release)
    url = site.url
    for process in (*supervision(site), *serving(release), *serving(leftover)):
        kill(process)
    site.wait(lambda: processes(str(folder(site))), lambda found: not found)
    assert site.serves() == ""
    found = {running.release: running for running in site.target.running()}
    assert found.keys() == {release.id, leftover.id}
    assert not any(running.ready for running in found.values())
    assert "supervisor does not run" in found[release.id].detail
    site.route(release)
    site.wait(site.serves, lambda found: found == release.id)
    assert site.url == url
    site.stop(leftover)
    assert [running.release for running in site.target.running()] == [release.id]


@pytest.fixture
def losable_cache(site: Site, shared_cache: Path, tmp_path: Path) -> Path:
    """The cache of the site's platform, by a link that can be taken away."""
    link = tmp_path / "losable"
    link.symlink_to(shared_cache, target_is_directory=True)
    site.platform = replace(site.platform, cache=link)
    site.target = site.again()
    return link


def test_a_release_whose_environment_is_lost_is_no_more(site: Site, losable_cache: Path) -> None:
    """As in a container that was made anew, with its state on a volume."""
    lost = site.start(times(2))
    site.route(lost)
    for process in (*supervision(site), *serving(lost)):
        kill(process)
    site.wait(lambda: processes(str(folder(site))), lambda found: not found)
    losable_cache.rename(losable_cache.with_name("away"))
    assert site.target.running() == ()
    losable_cache.with_name("away").rename(losable_cache)
    assert [found.release for found in site.target.running()] == [lost.id]


def test_what_dies_without_its_environment_is_given_up(site: Site, losable_cache: Path) -> None:
    url = site.url
    lost = site.start(times(2))
    site.route(lost)
    losable_cache.rename(losable_cache.with_name("away"))
    assert site.serves() == lost.id
    assert [found.release for found in site.target.running()] == [lost.id]
    kill(serving(lost)[0])
    site.wait(site.target.running, lambda found: found == ())
    site.wait(lambda: processes(str(folder(site))), lambda found: not found)
    losable_cache.with_name("away").rename(losable_cache)
    restored = site.start(times(2), fence=2)
    site.route(restored)
    assert site.serves() == restored.id
    assert site.url == url
    assert [file.name for file in (folder(site) / "releases").iterdir()] == [restored.id]


def test_children_end_with_their_supervision(site: Site) -> None:
    release = site.start(times(2))
    site.route(release)
    for process in supervision(site):
        kill(process)
    site.wait(lambda: processes(release.id), lambda found: not found)


def test_it_outlives_the_task_that_started_it(site: Site, tmp_path: Path) -> None:
    release = site.release(times(2))
    site.target.prepare(release)
    program = f"""
import sys, time
from pathlib import Path
import model_envelope as me
from model_envelope.deployment.targets.protocol import Platform, Release
from model_envelope.deployment.targets.process import ProcessTarget
client = me.Client()
platform = Platform(store=client.store, artifacts=client.artifacts, cache=client.cache,
                    state=Path({str(site.platform.state)!r}))
release = Release(id={release.id!r}, service={release.service!r}, fence=1, options={{}},
                  record=client.get({release.record.id!r}).record)
ProcessTarget(platform).start(release)
print("started", flush=True)
time.sleep(600)
"""
    task = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True
    )
    assert task.stdout is not None
    with task.stdout as said:
        assert said.readline() == b"started\n"
        os.killpg(task.pid, signal.SIGKILL)
        # Nothing of ours holds the pipe that the task's parent reads.
        assert said.read() == b""
    task.wait()
    site.wait_ready(release)
    site.route(release)
    assert site.serves() == release.id
    keeper, supervisor = supervision(site)
    (child,) = serving(release)
    assert task.pid not in {os.getsid(process) for process in (keeper, supervisor, child)}
    assert Path(f"/proc/{keeper}/cwd").resolve() == Path("/")
    for process in (keeper, supervisor):
        streams = {Path(f"/proc/{process}/fd/{n}").resolve() for n in (0, 1, 2)}
        assert streams == {Path(os.devnull), folder(site) / "supervisor.log"}


def test_a_terminated_supervisor_ends_its_children_and_keeps_its_state(site: Site) -> None:
    release = site.start(times(2))
    site.route(release)
    os.kill(supervision(site)[0], signal.SIGTERM)
    site.wait(lambda: processes(str(folder(site))), lambda found: not found)
    assert [found.release for found in site.target.running()] == [release.id]
    site.route(release)
    site.wait(site.serves, lambda found: found == release.id)


def test_nothing_is_left_of_a_stopped_release(site: Site) -> None:
    release = site.start(times(2))
    site.route(release)
    site.stop(release)
    site.wait(lambda: processes(str(folder(site))), lambda found: not found)
    left = sorted(file.name for file in folder(site).rglob("*") if file.is_file())
    assert left == ["address.json", "lock", "state.json", "supervisor.log"]
    assert release.id not in (folder(site) / "state.json").read_text()


def test_only_the_owner_can_read_what_opens_a_service(site: Site) -> None:
    release = site.start(times(2))
    assert folder(site).stat().st_mode & 0o077 == 0
    token = json.loads((folder(site) / "releases" / release.id / "plan.json").read_text())[
        "control_token"
    ]
    assert len(token) == 64
    assert not any(token in line for line in processes("").values())
    readable = [f for f in folder(site).rglob("*") if f.stat().st_mode & 0o077]
    assert all(token.encode() not in f.read_bytes() for f in readable if f.is_file())


def test_a_taken_port_is_said_and_tried_again(site: Site) -> None:
    release = site.release(times(2))
    port = int(site.url.rpartition(":")[2])
    site.target.prepare(release)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(TargetFailed, match=str(port)):
        site.target.start(release)
    assert site.target.running() == ()
    site.target.start(release)
    site.wait_ready(release)
    site.route(release)
    assert site.serves() == release.id


def test_a_hanging_process_is_started_again(site: Site) -> None:
    release = site.start(times(2), options={"hang_seconds": 3})
    site.route(release)
    (child,) = serving(release)
    os.kill(child, signal.SIGSTOP)
    found = site.wait(lambda: site.running(release), lambda r: r.restarts >= 1 and r.ready)
    assert found.release == release.id
    assert site.wait(site.serves, bool) == release.id
    assert child not in serving(release)


def test_many_may_start_the_first_release_at_once(site: Site) -> None:
    release = site.release(times(2))
    site.target.prepare(release)
    with ThreadPoolExecutor(6) as pool:
        started = list(pool.map(lambda _: site.again().start(release), range(6)))
    assert {found.release for found in started} == {release.id}
    site.wait_ready(release)
    assert len(serving(release)) == 1
    supervision(site)


def test_a_drain_that_takes_too_long_is_cut_off(site: Site) -> None:
    release = site.start(sleeping())
    site.route(release)

    def ask() -> None:
        with suppress(OSError):
            site.ask(600.0)

    slow = threading.Thread(target=ask)
    slow.start()
    site.wait(lambda: site.target.logs(release.id), lambda log: "sleeping for 600.0" in log)
    site.target.stop(release.id, drain=timedelta(seconds=1))
    slow.join()
    assert not serving(release)


def test_options_reach_the_process(site: Site) -> None:
    options = {"env": {"REGION": "US"}, "threads": 1, "nice": 5}
    release = site.start(telling(), options=options)
    site.route(release)
    seen = site.ask().value.split()
    assert "REGION=US" in seen
    assert "OMP_NUM_THREADS=1" in seen
    (child,) = serving(release)
    assert os.getpriority(os.PRIO_PROCESS, child) == 5


def test_memory_is_bounded_and_the_service_goes_on(site: Site) -> None:
    release = site.start(hungry(), options={"memory_mb": 2048})
    site.route(release)
    assert site.ask(100.0).value == 100.0
    assert site.ask(4000.0).status == 500
    assert site.ask(100.0).value == 100.0
    assert site.running(release).restarts == 0


def test_a_process_that_leaks_is_replaced_before_it_fails(site: Site) -> None:
    release = site.start(leaking(), options={"memory_mb": 2048})
    site.route(release)
    (child,) = serving(release)
    while child in serving(release) and data_megabytes(child) < 0.92 * 2048:
        assert site.ask(50.0).value == 50.0
    site.wait(lambda: serving(release), lambda found: child not in found)
    found = site.running(release)
    assert (found.ready, found.restarts) == (True, 1)
    assert site.serves() == release.id


def test_an_older_fence_starts_nothing_also_after_all_was_stopped(site: Site) -> None:
    release = site.start(times(2), fence=7)
    site.stop(release)
    site.wait(lambda: processes(str(folder(site))), lambda found: not found)
    late = site.release(times(2), fence=6)
    with pytest.raises(FenceLost):
        site.target.start(late)
    assert site.target.running() == ()


def test_a_release_that_drains_is_still_listed(site: Site) -> None:
    release, other = site.start(sleeping()), site.start(times(2), fence=2)
    site.route(release)
    answers: list[float] = []
    slow = threading.Thread(target=lambda: answers.append(site.ask(10.0).value))
    slow.start()
    site.wait(lambda: site.target.logs(release.id), lambda log: "sleeping for 10.0" in log)
    site.route(other)
    # Two at once, as when a reconcile takes over from one that died.
    with ThreadPoolExecutor(2) as pool:
        stops = [pool.submit(site.stop, release, drain=60) for _ in range(2)]
        listed = site.wait(lambda: site.running(release), lambda r: not r.ready)
        assert "being stopped" in listed.detail
        for stop in stops:
            stop.result()
    slow.join()
    assert answers == [20.0]
    assert [found.release for found in site.target.running()] == [other.id]


def test_a_split_outlives_the_process_that_does_it(site: Site) -> None:
    live, candidate = site.start(mortal()), site.start(times(3), fence=2)
    route = site.route(live)
    site.target.split(route, Split(mode="canary", candidate=candidate.id, share=1.0))
    assert site.ask(1.0).value == 3.0
    kill(serving(live)[0])
    site.wait(lambda: site.running(live), lambda r: r.ready and r.restarts == 1)
    site.wait(lambda: site.ask(1.0).value, lambda value: value == 3.0)


def test_a_service_that_runs_nothing_says_so(site: Site) -> None:
    site.start(times(2))
    answer = site.ask()
    assert (answer.status, json.loads(answer.body)["error"]) == (503, "NotDeployed")


def test_the_address_stays_where_it_is_while_something_runs(site: Site) -> None:
    release = site.start(times(2))
    site.route(release)
    port = int(site.url.rpartition(":")[2])
    with pytest.raises(TargetFailed, match="undeploy"):
        site.target.url(site.service, {"port": port - 1})
    assert site.serves() == release.id


def test_an_upgrade_reaches_supervisors_and_no_request_is_lost(
    process_site: Site, tmp_path: Path
) -> None:
    site = process_site
    envelope = me.save_model(times(2), tags={"name": "m"}, api_input=SAMPLE)
    platform = site.platform
    platform.store.want(site.service, target={"kind": "process"}, envelope_id=envelope.id, by="ada")
    (outcome,) = reconcile(platform, services=[site.service])
    assert outcome.action == "deployed"
    keeper, supervisor = supervision(site)
    upgraded = tmp_path / "upgraded"
    package = Path(me.__file__).parent
    shutil.copytree(package, upgraded / package.name)
    code = upgraded / package.name / "deployment/targets/supervising/supervisor.py"
    code.write_text(code.read_text() + "\n# Of the next version.\n")
    command = [sys.executable, "-m", "model_envelope.cli", "reconcile", "-o", "json"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(upgraded),
        "MODEL_ENVELOPE_STATE": str(platform.state),
    }

    def reconcile_upgraded() -> str:
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        (told,) = json.loads(done.stdout)
        return str(told["outcome"])

    with Traffic(site.url, keeping=3, fresh=2) as traffic:
        traffic.wait_for(50)
        assert reconcile_upgraded() == "repaired"
        traffic.wait_for(50)
    assert not traffic.failures
    assert traffic.by_release.keys() == {outcome.deployment}
    assert supervision(site)[0] == keeper
    assert supervision(site)[1] != supervisor
    variables = Path(f"/proc/{keeper}/environ").read_bytes()
    assert f"PYTHONPATH={upgraded}".encode() in variables
    assert reconcile_upgraded() == "unchanged"
    # It is as alive as before: killed it comes back. For this version it is another one.
    kill(supervision(site)[1])
    site.wait(site.target.running, lambda found: found[0].ready and found[0].outdated)
    assert site.serves() == outcome.deployment
