"""A whole Airflow over what the demo left, to see and to click: `make look`."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from demo.airflow_runs import settle

PORT = 8080
USER = "admin"
RULES = "continuous_deployment"
PATIENCE = 300


def look(home: Path, port: int = PORT) -> int:
    """Run Airflow for this machine until it is interrupted; gives an exit code."""
    screen = Console(soft_wrap=True, highlight=False, markup=False)
    if not (home / "envelopes").is_dir():
        screen.print(f"There is nothing in {home} yet: make demo")
        return 1
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            screen.print(f"Port {port} of this machine is taken: make look port={port + 1}")
            return 1
    settle(home)
    os.environ.update(_settings(home, port))
    log = home / "look.log"
    screen.print(f"Airflow starts, which takes half a minute; its log is {log}.")
    try:
        with _airflow(log) as airflow:
            _until_it_deploys(airflow, f"http://127.0.0.1:{port}", password(home))
            screen.print(f"\n{where(home, port)}\n\nCtrl-C ends it; services go on.")
            return airflow.wait()
    except TimeoutError as error:
        screen.print(f"{error}: {log}")
        return 1
    except KeyboardInterrupt:
        return 0


def where(home: Path, port: int = PORT) -> str:
    """Where to look, and as whom."""
    return f"http://127.0.0.1:{port}/plugin/models as {USER}, password {password(home)}"


def password(home: Path) -> str:
    """The user's password: made once for each folder, and read by its owner only."""
    file = _passwords(home)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(0o600)
        file.write_text(json.dumps({USER: secrets.token_urlsafe(9)}))
    return str(json.loads(file.read_text())[USER])


def _passwords(home: Path) -> Path:
    return home / "airflow" / "passwords.json"


def _settings(home: Path, port: int) -> dict[str, str]:
    url = f"http://127.0.0.1:{port}"
    return {
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_passwords(home)),
    }


@contextmanager
def _airflow(log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """All of Airflow's processes, which end together."""
    with log.open("wb") as file:
        airflow = subprocess.Popen(
            [sys.executable, "-m", "airflow", "standalone"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    family = [psutil.Process(airflow.pid)]
    try:
        yield airflow
    finally:
        with suppress(psutil.NoSuchProcess):
            family += family[0].children(recursive=True)
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        for process in psutil.wait_procs(family, timeout=20)[1]:
            process.kill()


def _until_it_deploys(airflow: subprocess.Popen[bytes], url: str, word: str) -> None:
    """Wait for Airflow, and switch on the DAG that does what rules say."""
    deadline = time.monotonic() + PATIENCE
    while airflow.poll() is None and time.monotonic() < deadline:
        with suppress(OSError):
            answer = _ask(f"{url}/auth/token", "POST", {"username": USER, "password": word})
            bearer = {"Authorization": f"Bearer {answer['access_token']}"}
            _ask(f"{url}/api/v2/dags/{RULES}", "PATCH", {"is_paused": False}, bearer)
            return
        time.sleep(1)
    raise TimeoutError("Airflow did not start")


def _ask(url: str, method: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> Any:
    request = urllib.request.Request(  # noqa: S310 - of this machine
        url,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **(headers or {})},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


if __name__ == "__main__":
    # Whoever ends it ends all of it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-home").resolve()
    sys.exit(look(folder, int(sys.argv[2]) if len(sys.argv) > 2 else PORT))
