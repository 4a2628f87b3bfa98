"""A PostgreSQL of one's own for a benchmark: Debian's binaries, a temporary folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PORT = 54329


@contextmanager
def server() -> Iterator[str]:
    """A running server's URL, gone afterwards. Its settings are PostgreSQL's defaults."""
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # It refuses to run as root.
        user = "postgres" if os.geteuid() == 0 else None
        if user:
            shutil.chown(folder, user)

        def run(program: str, *arguments: str) -> None:
            command = [str(binaries / program), "-D", str(folder / "data"), *arguments]
            subprocess.run(command, check=True, user=user, stdout=subprocess.DEVNULL)

        run("initdb", "--username=postgres", "--auth=trust")
        options = f"-c port={PORT} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        run("pg_ctl", "-w", "-o", options, "-l", str(folder / "log"), "start")
        try:
            yield f"postgresql+psycopg://postgres@127.0.0.1:{PORT}/postgres"
        finally:
            run("pg_ctl", "-w", "-m", "fast", "stop")
