"""A PostgreSQL of one's own for a benchmark: Debian's binaries, a temporary folder."""

from __future__ import annotations

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
        shutil.chown(folder, "postgres")

        def run(program: str, *arguments: str) -> None:
            command = [binaries / program, "-D", folder / "data", *arguments]
            subprocess.run(command, check=True, user="postgres", stdout=subprocess.DEVNULL)

        run("initdb", "--username=postgres", "--auth=trust")
        options = f"-c port={PORT} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        run("pg_ctl", "-w", "-o", options, "-l", str(folder / "log"), "start")
        try:
            yield f"postgresql+psycopg://postgres@127.0.0.1:{PORT}/postgres"
        finally:
            run("pg_ctl", "-w", "-m", "fast", "stop")
