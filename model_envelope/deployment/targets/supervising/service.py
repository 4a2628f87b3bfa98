"""A supervised service, as its target sees it: a folder, an address, somebody to ask."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from packaging.version import Version

from model_envelope._version import __version__
from model_envelope.deployment.targets.supervising import control
from model_envelope.deployment.targets.supervising.state import (
    LOG,
    SUCCESSOR,
    ServiceState,
    left_over,
    remove,
    write_private,
)
from model_envelope.deployment.targets.supervising.version import code_on_disk
from model_envelope.errors import TargetFailed

_PACKAGE_ROOT = Path(__file__).parents[4]
_START_SECONDS = 30.0
# Below the ports that kernels hand out for outgoing connections.
_PORTS = range(20000, 30000)


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where a service answers, for ever; the secret is what its tokens are made from."""

    host: str
    port: int
    secret: str

    @property
    def url(self) -> str:
        """The base URL."""
        host = socket.gethostname() if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def token(self, release: str) -> str:
        """What opens the control endpoints of a release; the same each time."""
        return hmac.new(self.secret.encode(), release.encode(), hashlib.sha256).hexdigest()


class SupervisedService:
    """The folder of one service, and its supervisor where there is one.

    Args:
        folder: its place below the platform's state; its name is the service's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def name(self) -> str:
        """The service's name."""
        return self.folder.name

    def address(self, host: str, port: int | None) -> Address:
        """Where the service answers: chosen once, unless the port is asked for.

        Raises:
            TargetFailed: it runs at another address now.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(self.folder.parent / "lock"):
            known = self._known()
            wanted = Address(
                host=host,
                port=port or (known.port if known else _free_port(host, self.folder.parent)),
                secret=known.secret if known else secrets.token_hex(32),
            )
            if wanted != known:
                if known and ServiceState.read(self.folder).launches:
                    raise TargetFailed(
                        f"Service {self.name} answers at {known.url}: undeploy it before you "
                        f"give it {wanted.url}."
                    )
                write_private(self.folder / "address.json", json.dumps(asdict(wanted)))
            return wanted

    def ask(self, request: Mapping[str, Any], *, timeout: float) -> Any:
        """Put a request to the supervisor, which is started if there is none.

        Raises:
            TargetFailed: it cannot be started, or does not answer in time.
            FenceLost: it says so.
        """
        end = time.monotonic() + _START_SECONDS
        while True:
            try:
                return self.ask_running(request, timeout=timeout)
            except control.NoSupervisor:
                if time.monotonic() > end:
                    raise TargetFailed(
                        f"The supervisor of service {self.name} does not stay: see "
                        f"{self.folder / LOG}."
                    ) from None
                self._start()
                time.sleep(0.05)

    def ask_running(self, request: Mapping[str, Any], *, timeout: float) -> Any:
        """Put a request to the supervisor that there is.

        Raises:
            NoSupervisor: there is none.
            TargetFailed: it does not answer in time.
        """
        try:
            return control.ask(self.folder, request, timeout=timeout)
        except TimeoutError:
            raise TargetFailed(
                f"The supervisor of service {self.name} has not done {request['do']!r} within "
                f"{timeout:.0f} s: see {self.folder / LOG}."
            ) from None

    def is_outdated(self) -> bool:
        """Whether its supervisor runs older code than this, and can be given ours."""
        try:
            about = self.ask_running({"do": "about"}, timeout=_START_SECONDS)
        except (control.NoSupervisor, TargetFailed):
            return False
        older = Version(about["version"]) <= Version(__version__)
        return about["keeper"] is not None and older and about["code"] != code_on_disk()

    def renew(self) -> bool:
        """Have its supervisor run the code of this installation; whether that was needed.

        Connections wait while its processes are started again, and none is refused.

        Raises:
            TargetFailed: it goes on as it was.
        """
        if not self.is_outdated():
            return False
        about = self.ask_running({"do": "about"}, timeout=_START_SECONDS)
        self._try_code()
        successor = {"command": self._command(), "environment": _environment()}
        write_private(self.folder / SUCCESSOR, json.dumps(successor))
        os.kill(about["keeper"], signal.SIGHUP)
        end = time.monotonic() + _START_SECONDS
        while self.is_outdated():
            if time.monotonic() > end:
                raise TargetFailed(
                    f"The supervisor of service {self.name} still runs the code of before the "
                    f"upgrade: see {self.folder / LOG}."
                )
            time.sleep(0.05)
        return True

    def _try_code(self) -> None:
        """See that ours can be run at all, before somebody's keeper becomes it."""
        tried = subprocess.run(
            [*self._command(), "--help"],
            env=_environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if tried.returncode:
            raise TargetFailed(f"A supervisor of this version cannot run: {tried.stderr[-2000:]}")

    def state(self) -> ServiceState:
        """What its supervisor last wrote down."""
        return ServiceState.read(self.folder)

    def prune(self, *, dry_run: bool) -> tuple[str, ...]:
        """Remove what a crash has left, unless a supervisor is there, which does so itself."""
        with (self.folder / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return ()
            found = left_over(self.folder)
            for item in () if dry_run else found:
                remove(item)
            return tuple(f"{self.name}/{item.relative_to(self.folder)}" for item in found)

    def _known(self) -> Address | None:
        try:
            return Address(**json.loads((self.folder / "address.json").read_text()))
        except FileNotFoundError:
            return None

    def _command(self) -> list[str]:
        known = self._known()
        if known is None:
            raise TargetFailed(f"Service {self.name} has no address here: start a release first.")
        place = ["--host", known.host, "--port", str(known.port)]
        return [sys.executable, "-m", str(control.__package__), str(self.folder), *place]

    def _start(self) -> None:
        started = subprocess.run(
            self._command(),
            env=_environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,
            check=False,
        )
        try:
            said = json.loads(started.stdout)
        except ValueError:
            last = started.stderr.strip()[-2000:]
            raise TargetFailed(
                f"The supervisor of service {self.name} cannot be started. It said:\n{last}"
            ) from None
        if "error" in said:
            raise TargetFailed(said["error"])


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _environment() -> dict[str, str]:
    """Next to nothing: what reaches a supervisor stays there for months."""
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "LC_ALL", "TZ") if key in os.environ}
    return kept | {
        "PYTHONPATH": str(_PACKAGE_ROOT),
        "PYTHONSAFEPATH": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _free_port(host: str, services: Path) -> int:
    """A port that nobody has and that no other service here was given."""
    given = {json.loads(f.read_text())["port"] for f in services.glob("*/address.json")}
    choice = secrets.SystemRandom()
    for port in choice.sample(_PORTS, 200):
        if port in given:
            continue
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            socket.create_server((host, port), family=family).close()
        except OSError:
            continue
        return port
    raise TargetFailed(
        f"No port of {host} from {_PORTS.start} to {_PORTS.stop} is free: give the service one."
    )
