"""Saving starts no process and asks nobody: not pip, not git, not an index."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SAVE = """
import sys
import pandas as pd
from sklearn.linear_model import LinearRegression
import model_envelope as me

FORBIDDEN = (
    "subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn",
    "pty.spawn", "socket.connect", "socket.getaddrinfo", "socket.gethostbyname",
)
seen = []


def watch(event, arguments):
    if event.startswith(FORBIDDEN):
        seen.append((event, arguments))


frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
fitted = LinearRegression().fit(frame, frame["a"])
sys.addaudithook(watch)
envelope = me.save_model(fitted, tags={"canonical_name": "alone"}, api_input=frame)
names = {distribution.name for distribution in envelope.environment.distributions}
assert {"scikit-learn", "scipy", "joblib", "threadpoolctl", "pandas"} <= names, names
assert envelope.environment.digest
assert len(envelope.record.manifest.provenance.git_commit) == 40
assert not seen, seen
"""


def test_a_save_starts_no_process_and_opens_no_connection(tmp_path: Path) -> None:
    identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "A commit"]):
        subprocess.run(["git", *identity, *command], cwd=tmp_path, check=True)
    command = [sys.executable, "-c", SAVE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
