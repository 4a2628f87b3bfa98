"""The `process` target before anything runs: its options, its logs, its address."""

import fcntl
import socket
from pathlib import Path
from typing import Any

import pytest

from model_envelope.deployment.targets.process_options import DEFAULTS, check_options
from model_envelope.deployment.targets.supervising import control
from model_envelope.deployment.targets.supervising.log_file import rotate, tail
from model_envelope.deployment.targets.supervising.service import SupervisedService
from model_envelope.deployment.targets.supervising.state import Launch, ServiceState
from model_envelope.errors import InvalidInput, TargetFailed


def test_options_are_completed() -> None:
    assert check_options({}) == DEFAULTS
    given = {"port": 8080, "replicas": 2, "env": {"REGION": "US"}, "memory_mb": 512}
    assert check_options(given) == DEFAULTS | given


@pytest.mark.parametrize(
    "options",
    [
        {"prot": 1},
        {"port": 0},
        {"port": 65536},
        {"port": "80"},
        {"port": True},
        {"host": "example.com"},
        {"host": 1},
        {"replicas": 0},
        {"replicas": None},
        {"threads": 0.5},
        {"memory_mb": 1},
        {"nice": -5},
        {"hang_seconds": 0},
        {"env": ["A=1"]},
        {"env": {"A": 1}},
        {"env": {"A=B": "1"}},
        {"env": {"A": "\0"}},
        {"env": {"LD_PRELOAD": "x.so"}},
        {"env": {"PYTHONPATH": "/tmp"}},
        {"env": {"path": "/tmp"}},
        {"env": {"MODEL_ENVELOPE_STORE": "x"}},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(options))):
        check_options(options)


def test_all_wrong_options_are_named_at_once() -> None:
    with pytest.raises(InvalidInput) as refused:
        check_options({"prot": 1, "replicas": 0, "nice": 40})
    for part in ("'prot' is unknown", "replicas must be", "nice must be"):
        assert part in str(refused.value)


def test_a_log_is_read_from_its_end_also_after_it_was_moved(tmp_path: Path) -> None:
    file = tmp_path / "log"
    assert tail(file, 5) == ""
    with file.open("ab", buffering=0) as writer:
        for number in range(50_000):
            writer.write(b"line %d\n" % number)
        rotate(file, largest=100_000)
        # Whoever had it open goes on in the emptied file.
        assert file.stat().st_size == 0
        writer.write(b"after\n")
    assert tail(file, 1) == "after\n"
    assert tail(file, 3) == "line 49998\nline 49999\nafter\n"
    assert len(tail(file, 49_000).splitlines()) == 49_000
    rotate(file, largest=100_000)
    assert tail(file, 2) == "line 49999\nafter\n"


def test_a_log_of_one_endless_line_is_read(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"x" * 200_000 + b"\xff")
    assert len(tail(file, 5)) == 200_001


def launch() -> Launch:
    return Launch(release="r", fence=3, command=("a", "b"), environment={"A": "1"}, token="")


def test_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert ServiceState.read(tmp_path) == ServiceState()
    state = ServiceState(fence=3, live="r", live_fence=3, launches={"r": launch()})
    state.write(tmp_path)
    assert ServiceState.read(tmp_path) == state
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o077 == 0


def test_an_address_is_chosen_once(tmp_path: Path) -> None:
    first = SupervisedService(tmp_path / "first").address("127.0.0.1", None)
    assert SupervisedService(tmp_path / "first").address("127.0.0.1", None) == first
    assert first.url == f"http://127.0.0.1:{first.port}"
    second = SupervisedService(tmp_path / "second").address("127.0.0.1", None)
    assert second.port != first.port
    assert second.token("r") != first.token("r") == first.token("r") != first.token("s")
    moved = SupervisedService(tmp_path / "first").address("127.0.0.1", second.port + 1)
    assert (moved.port, moved.secret) == (second.port + 1, first.secret)


def test_a_service_that_runs_keeps_its_address(tmp_path: Path) -> None:
    service = SupervisedService(tmp_path / "first")
    address = service.address("127.0.0.1", None)
    ServiceState(launches={"r": launch()}).write(service.folder)
    with pytest.raises(TargetFailed, match="undeploy"):
        service.address("127.0.0.1", address.port + 1)
    assert service.address("127.0.0.1", address.port) == address


def test_an_address_of_version_six_is_a_url(tmp_path: Path) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    assert SupervisedService(tmp_path / "six").address("::1", 4711).url == "http://[::1]:4711"


@pytest.mark.parametrize("length", [1, 200])
def test_nobody_to_ask_is_told_apart_however_long_the_path(tmp_path: Path, length: int) -> None:
    folder = tmp_path / ("x" * length)
    with pytest.raises(control.NoSupervisor):
        control.ask(folder, {"do": "state"}, timeout=1)
    folder.mkdir()
    with pytest.raises(control.NoSupervisor):
        control.ask(folder, {"do": "state"}, timeout=1)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(control.NoSupervisor):
        control.ask(folder, {"do": "state"}, timeout=1)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_a_crash_left_goes_and_what_is_known_stays(tmp_path: Path) -> None:
    launch = Launch(release="known", fence=1, command=("x",), environment={}, token="t")  # noqa: S106
    ServiceState(launches={"known": launch}).write(tmp_path)
    for name in ("known", "left"):
        (tmp_path / "releases" / name).mkdir(parents=True)
        (tmp_path / "releases" / name / "plan.json").touch()
    (tmp_path / ".state.json-abc").touch()
    (tmp_path / "address.json").touch()
    service = SupervisedService(tmp_path)
    left = (f"{tmp_path.name}/.state.json-abc", f"{tmp_path.name}/releases/left")
    with (tmp_path / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as a supervisor does
        assert service.prune(dry_run=False) == ()
    assert service.prune(dry_run=True) == left
    assert service.prune(dry_run=False) == left
    assert service.prune(dry_run=False) == ()
    names = {file.name for file in tmp_path.rglob("*")}
    assert names == {"address.json", "known", "lock", "plan.json", "releases", "state.json"}
