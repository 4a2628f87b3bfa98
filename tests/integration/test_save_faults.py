"""`save_model` itself, from the first line to the last: killed, out of room, without its database.

What must hold after each: an envelope is there with all of its files, or nobody sees anything;
the next save works; and garbage collection leaves what is needed and nothing else.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd
import pytest

import model_envelope
from model_envelope.client import saving
from model_envelope.client.client import Client
from model_envelope.errors import ArtifactError, StoreUnavailable

FRAME = pd.DataFrame({"a": [1.0, 2.0]})
TAGS = {"canonical_name": "test"}
LATER = timedelta(hours=2)
STEPS = ("client/saving.py", "artifacts/", "store/")
"""Code of a save from the moment on that it leaves traces."""


def model(frame: pd.DataFrame) -> pd.Series:
    return frame["a"] * 2


model.__module__ = "__main__"


def save(client: Client, key: str | None = None) -> str:
    return client.save_model(model, tags=TAGS, api_input=FRAME, save_key=key).id


@pytest.fixture
def opened() -> Iterator[Callable[..., Client]]:
    """Makes clients, and closes their stores."""
    clients: list[Client] = []

    def make(*arguments: Any, **options: Any) -> Client:
        clients.append(Client(*arguments, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.store.close()


def check(client: Client) -> int:
    """Everything that must hold after any fault; gives how many envelopes there are."""
    found = client.query({})
    for envelope in found:
        assert list(client.predict(envelope, FRAME)) == [2.0, 4.0]
    client.store.collect_garbage(client.artifacts, now=datetime.now(UTC) + LATER)
    assert set(client.artifacts.list_ids()) - {"0" * 20} == {envelope.id for envelope in found}
    return len(found)


def killed_at_call(number: int, action: Callable[[], object]) -> bool:
    """Act in a child that is killed at the n-th call or return of a save's code."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    root = str(Path(model_envelope.__file__).parent)
    ours = tuple(f"{root}/{part}" for part in STEPS)
    left = [number]

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(ours):
            return None
        if event in ("call", "return"):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    try:
        sys.settrace(trace)
        action()
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_killed_at_any_call_a_save_is_whole_or_not_there(opened: Callable[..., Client]) -> None:
    client = opened()
    save(client)
    number, saved, outcomes = 1, 1, []
    while killed_at_call(number, partial(save, client, f"killed-{number}")):
        found = client.count({})
        assert found in (saved, saved + 1)
        outcomes.append(found - saved)
        saved = found
        # Some steps are many calls; that each is hit once does.
        number += 1 if number < 40 else 7
    assert number > 200
    assert set(outcomes) == {0, 1}
    # Once it is there, it is there for every later kill.
    assert outcomes == sorted(outcomes)
    saved = client.count({})
    assert check(client) == saved
    last = number - 7
    save(client, f"killed-{last}")
    assert client.count({}) == saved, "a retry of an acknowledged save made another"
    save(client, "killed-1")
    assert check(client) == saved + 1


SAVER = """
import sys
import pandas as pd
import model_envelope as me

FRAME = pd.DataFrame({"a": [1.0, 2.0]})
print("ready", flush=True)
sys.stdin.readline()
for i in range(3):
    me.save_model(lambda f: f["a"] * 2, tags={"canonical_name": "test"}, api_input=FRAME)
"""


def test_processes_save_into_one_embedded_store_at_once(opened: Callable[..., Client]) -> None:
    """From nothing: they also make the store at once."""
    savers = [
        subprocess.Popen(
            [sys.executable, "-c", SAVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for process in savers:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in savers:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in savers:
        process.communicate()
    assert [process.returncode for process in savers] == [0] * 3
    assert check(opened()) == 9


def test_a_database_that_is_back_soon_is_waited_for(
    opened: Callable[..., Client], postgres_server: Any, postgres_store_url: str, tmp_path: Path
) -> None:
    client = opened(postgres_store_url, str(tmp_path / "artifacts"))
    restarted = threading.Event()
    restarting: list[threading.Thread] = []

    def restart() -> None:
        time.sleep(1.0)
        postgres_server.start()
        restarted.set()

    def stop(done: int, total: int) -> None:
        # The last file is on its way: what follows is the commit.
        if done == total and not restarting:
            postgres_server.stop()
            restarting.append(threading.Thread(target=restart))
            restarting[0].start()

    try:
        envelope = client.save_model(model, tags=TAGS, api_input=FRAME, progress=stop)
    finally:
        for thread in restarting:
            thread.join()
    assert restarted.is_set()
    assert client.latest(TAGS).id == envelope.id
    assert check(client) == 1


def test_a_database_that_stays_away_leaves_nothing(
    opened: Callable[..., Client],
    postgres_server: Any,
    postgres_store_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(saving, "_PATIENCE", (0.1,))
    client = opened(postgres_store_url, str(tmp_path / "artifacts"))
    save(client)
    stopped: list[bool] = []

    def stop(*_: int) -> None:
        if not stopped:
            stopped.append(True)
            postgres_server.stop()

    try:
        with pytest.raises(StoreUnavailable, match="cannot be reached") as caught:
            client.save_model(model, tags=TAGS, api_input=FRAME, progress=stop)
    finally:
        postgres_server.start()
    assert "pg-secret" not in str(caught.value)
    assert check(client) == 1
    save(client)
    assert check(client) == 2


def test_a_full_disk_for_artifacts_leaves_nothing(
    opened: Callable[..., Client], small_disk: Callable[[int], Path]
) -> None:
    client = opened(artifacts=str(small_disk(2) / "artifacts"))
    save(client)
    weights = np.random.default_rng(0).random(500_000)
    with pytest.raises(ArtifactError, match=r"bytes are free.*model-envelope gc"):
        client.save_model(lambda f: f["a"] * weights[0], tags=TAGS, api_input=FRAME)
    assert check(client) == 1
    save(client)
    assert check(client) == 2


def test_a_full_disk_for_temporary_files_is_named(
    opened: Callable[..., Client],
    small_disk: Callable[[int], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = opened()
    saved = client.get(save(client))
    folder = small_disk(1)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    weights = np.random.default_rng(0).random(500_000)

    def large(frame: pd.DataFrame) -> Any:
        return frame["a"] * weights[0]

    attempts: list[Callable[[], object]] = [
        partial(client.save_model, large, tags=TAGS, api_input=FRAME),
        partial(saved.add_query_function, "large", large),
    ]
    for attempt in attempts:
        with pytest.raises(ArtifactError, match=rf"{folder}: .*bytes are free.*TMPDIR"):
            attempt()
        assert list(folder.iterdir()) == []
    assert check(client) == 1
    assert list(client.get(saved.id).functions) == ["predict"]


def test_without_a_temporary_folder_it_says_what_to_set(
    opened: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(ArtifactError, match=r"No usable temporary directory.*TMPDIR"):
        save(opened())
