"""Crashes, outages and crowds: what must hold after each.

No envelope without its verified artifact; what was acknowledged is there; one envelope for
each save key; revisions without gaps; and garbage collection leaves exactly what is needed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine, create_engine, event, text

from model_envelope.artifacts.opening import open_artifacts
from model_envelope.artifacts.protocol import ArtifactStore
from model_envelope.envelope import EnvelopeRecord, Manifest
from model_envelope.errors import StoreError, StoreUnavailable
from model_envelope.names import new_id
from model_envelope.store import disk
from model_envelope.store.opening import open_store
from model_envelope.store.store import Store
from model_envelope.tag_query import parse

Save = Callable[..., EnvelopeRecord]
NewManifest = Callable[..., Manifest]

HOUR = timedelta(hours=1)
EVERYTHING = parse({})

SAVER = """
import hashlib, os, signal, sys, uuid
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, event

from model_envelope.artifacts.opening import open_artifacts
from model_envelope.envelope import Environment, FileRef, Manifest, Provenance
from model_envelope.errors import ArtifactError, LeaseLost
from model_envelope.names import new_id
from model_envelope.store.opening import open_store

BODY = os.urandom(200_000)
REF = FileRef(sha256=hashlib.sha256(BODY).hexdigest(), size=len(BODY))
ENVIRONMENT = Environment(python="3.11.7", platform="x", distributions=(), digest="d")


def step(name):
    if name == die_at:
        os.kill(os.getpid(), signal.SIGKILL)


def save(store, artifacts, save_key):
    manifest = Manifest(
        id=new_id(), created_at=datetime.now(UTC), functions={}, files={"predict.bundle": REF},
        environment=ENVIRONMENT, provenance=Provenance(),
    )
    store.begin_upload(manifest.id, timedelta(hours=1))
    step("leased")
    artifacts.put(
        f"{manifest.id}/predict.bundle", BODY, sha256=REF.sha256,
        progress=lambda *_: step("writing"),
    )
    step("written")
    event.listen(Engine, "commit", on_commit := lambda _: step("committing"))
    store.commit_envelope(
        manifest=manifest, manifest_sha256=hashlib.sha256(manifest.to_bytes()).hexdigest(),
        description="", tags={"save_key": save_key, "model": "x"}, save_key=save_key,
    )
    event.remove(Engine, "commit", on_commit)
    step("committed")
    print(save_key, flush=True)


url, place, die_at, count, prefix = sys.argv[1:]
store, artifacts = open_store(url), open_artifacts(place)
print("ready", flush=True)
for i in range(int(count)):
    try:
        save(store, artifacts, f"{prefix}{i}")
    except (LeaseLost, ArtifactError) as error:
        # Garbage collection was told that the lease is over, and swept the folder.
        print(f"lost {error}", file=sys.stderr)
"""


@pytest.fixture
def artifacts(tmp_path: Path, store: Store) -> ArtifactStore:
    opened = open_artifacts(str(tmp_path / "artifacts"))
    store.claim_artifacts(opened)
    return opened


@pytest.fixture
def saver(store_url: str, artifacts: ArtifactStore) -> Callable[..., subprocess.Popen[str]]:
    """Starts a process that saves: `saver(die_at="written", count=1, prefix="a")`."""

    def start(die_at: str = "", count: int = 1, prefix: str = "k") -> subprocess.Popen[str]:
        arguments = [store_url, artifacts.address, die_at, str(count), prefix]
        return subprocess.Popen(
            [sys.executable, "-c", SAVER, *arguments], stdout=subprocess.PIPE, text=True
        )

    return start


def acknowledged(process: subprocess.Popen[str]) -> set[str]:
    output, _ = process.communicate()
    return set(output.split("\n")[:-1]) - {"ready"}


def check(store: Store, artifacts: ArtifactStore, acknowledged_keys: set[str]) -> None:
    """Everything that must hold after any fault."""
    records: list[EnvelopeRecord] = []
    after = None
    while not records or after:
        page = store.query(EVERYTHING, limit=1000, after=after)
        records += page.records
        after = page.next
        if not records:
            break
    keys = [record.tags["save_key"] for record in records]
    assert len(keys) == len(set(keys))
    assert acknowledged_keys <= set(keys)
    for record in records:
        for name, ref in record.files.items():
            artifacts.fetch(f"{record.id}/{name}", sha256=ref.sha256)
    revisions: list[int] = []
    while changes := store.changes(revisions[-1] if revisions else 0):
        revisions += [change.revision for change in changes]
    assert revisions == list(range(1, store.head() + 1))
    assert sorted(record.revision for record in records) == revisions
    store.collect_garbage(artifacts, now=datetime.now(UTC) + 2 * HOUR)
    assert set(artifacts.list_ids()) - {"0" * 20} == {record.id for record in records}


@pytest.mark.parametrize("die_at", ["leased", "writing", "written", "committing", "committed"])
def test_a_saver_killed_at_any_step_leaves_all_or_nothing(
    store: Store, artifacts: ArtifactStore, saver: Any, die_at: str
) -> None:
    killed = saver(die_at)
    assert acknowledged(killed) == set()
    assert killed.returncode == -signal.SIGKILL
    assert store.count(EVERYTHING) == (die_at == "committed")
    check(store, artifacts, set())
    if die_at != "committed":
        again = saver()
        assert acknowledged(again) == {"k0"}
    assert store.find_save("k0") is not None
    check(store, artifacts, {"k0"})


def test_a_crowd_of_savers_killed_while_garbage_is_collected(
    store: Store, artifacts: ArtifactStore, saver: Any
) -> None:
    savers = [saver(count=100_000, prefix=f"{n}-") for n in range(3)]
    for process in savers:
        assert process.stdout.readline() == "ready\n"
    swept = 0
    # Collecting as if every lease had run out hits saves in the middle of any step.
    while store.head() < 40 or swept < 5:
        now = datetime.now(UTC) + 2 * HOUR if store.head() % 2 else None
        swept += store.collect_garbage(artifacts, now).expired_uploads
    for process in savers:
        process.kill()
    saved = set().union(*(acknowledged(process) for process in savers))
    assert len(saved) > 30
    check(store, artifacts, saved)


def test_eight_processes_may_save_at_once(
    store: Store, artifacts: ArtifactStore, saver: Any
) -> None:
    savers = [saver(count=5, prefix=f"{n}-") for n in range(8)]
    saved = set().union(*(acknowledged(process) for process in savers))
    assert [process.returncode for process in savers] == [0] * 8
    assert len(saved) == 40
    check(store, artifacts, saved)
    assert store.count(EVERYTHING) == 40


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_garbage_collection_killed_at_any_step_is_taken_up_again(
    store: Store, artifacts: ArtifactStore, save: Save
) -> None:
    body = b"model"
    sha256 = hashlib.sha256(body).hexdigest()
    kept, deleted = save(), save()
    store.delete(deleted.id, HOUR)
    store.begin_upload(expired := new_id(), HOUR)
    for envelope_id in (kept.id, deleted.id, expired, new_id()):
        artifacts.put(f"{envelope_id}/predict.bundle", body, sha256=sha256)
    later = datetime.now(UTC) + 2 * HOUR
    killed = 0
    while collect_and_die(store, artifacts, later, after=killed + 1):
        killed += 1
        artifacts.fetch(f"{kept.id}/predict.bundle", sha256=sha256)
        assert store.get(kept.id) == kept
    assert killed > 5
    assert set(artifacts.list_ids()) - {"0" * 20} == {kept.id}
    assert store.head() == 4
    report = store.collect_garbage(artifacts, later)
    assert (report.expired_uploads, report.purged_envelopes, report.unknown) == (0, (), ())


def collect_and_die(store: Store, artifacts: ArtifactStore, now: datetime, after: int) -> bool:
    """Collect garbage in a process that dies at a step: a commit or a removal of files."""
    child = os.fork()
    if child:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, -signal.SIGKILL)
        return status != 0
    left = [after]

    def step(*_: object) -> None:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    def remove(*arguments: Any, rmtree: Any = shutil.rmtree) -> None:
        step()
        rmtree(*arguments)
        step()

    try:
        shutil.rmtree = remove  # type: ignore[assignment]
        event.listen(Engine, "commit", step)
        store.collect_garbage(artifacts, now)
        os._exit(0)
    finally:
        os._exit(1)


# A database that goes away


@contextmanager
def at_commit(action: Callable[[Connection], None], times: int = 1) -> Iterator[None]:
    """Do something after all statements of a transaction, before its commit."""
    left = [times]

    def act(connection: Connection) -> None:
        if left[0]:
            left[0] -= 1
            action(connection)

    event.listen(Engine, "commit", act)
    try:
        yield
    finally:
        event.remove(Engine, "commit", act)
        assert left == [0]


@pytest.fixture
def postgres(postgres_store_url: str) -> Iterator[Store]:
    with open_store(postgres_store_url) as store:
        yield store


def end_backend(connection: Connection) -> None:
    """Terminate the server's process of a connection, and see it go."""
    pid = connection.connection.dbapi_connection.info.backend_pid  # type: ignore[union-attr]
    url = connection.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def test_a_backend_terminated_before_the_commit_is_no_matter(
    postgres: Store, new_manifest: NewManifest
) -> None:
    manifest = new_manifest()
    postgres.begin_upload(manifest.id, HOUR)
    with at_commit(end_backend):
        saved = commit(postgres, manifest, region="US")
    assert postgres.get(manifest.id) == saved
    assert [change.revision for change in postgres.changes(0)] == [1]


def test_a_commit_whose_answer_was_lost_is_not_done_twice(
    postgres: Store, new_manifest: NewManifest
) -> None:
    def commit_and_end(connection: Connection) -> None:
        connection.exec_driver_sql("COMMIT")
        end_backend(connection)

    manifest = new_manifest()
    with at_commit(commit_and_end):
        postgres.begin_upload(manifest.id, HOUR)
    with at_commit(commit_and_end):
        saved = commit(postgres, manifest, region="US")
    with at_commit(commit_and_end):
        postgres.set_tags(saved.id, {"region": "UK"})
    with at_commit(commit_and_end):
        postgres.delete(saved.id, HOUR)
    with at_commit(commit_and_end):
        postgres.undelete(saved.id)
    assert postgres.latest(parse("region == 'UK'")) == saved.evolve(tags={"region": "UK"})
    kinds = [change.kind for change in postgres.changes(0)]
    assert kinds == ["saved", "tags", "deleted", "undeleted"]
    assert postgres.head() == 4


def commit(store: Store, manifest: Manifest, **tags: str) -> EnvelopeRecord:
    return store.commit_envelope(
        manifest=manifest,
        manifest_sha256=hashlib.sha256(manifest.to_bytes()).hexdigest(),
        description="",
        tags=tags,
        save_key=manifest.id,
    )


def test_a_database_that_is_away_during_a_save_loses_nothing(
    postgres: Store, postgres_server: Any, new_manifest: NewManifest
) -> None:
    manifest = new_manifest()
    postgres.begin_upload(manifest.id, HOUR)
    postgres_server.stop()
    try:
        with pytest.raises(StoreUnavailable, match="cannot be reached") as caught:
            commit(postgres, manifest)
        assert "pg-secret" not in str(caught.value)
        with pytest.raises(StoreUnavailable):
            postgres.head()
    finally:
        postgres_server.start()
    assert postgres.count(EVERYTHING) == 0
    saved = commit(postgres, manifest)
    assert postgres.get(manifest.id) == saved
    assert postgres.head() == 1


def test_a_database_that_crashes_under_load_loses_nothing(
    postgres: Store, postgres_server: Any, new_manifest: NewManifest
) -> None:
    stop = threading.Event()
    saved: list[str] = []
    failures: list[BaseException] = []

    def save() -> None:
        while not stop.is_set():
            manifest = new_manifest()
            for attempt in range(50):
                try:
                    postgres.begin_upload(manifest.id, HOUR)
                    saved.append(commit(postgres, manifest).id)
                    break
                except StoreUnavailable:
                    time.sleep(0.05)
                except BaseException as error:
                    failures.append(error)
                    return
                assert attempt < 49

    threads = [threading.Thread(target=save) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        time.sleep(0.7)
        postgres_server.stop()
        postgres_server.start()
    target = len(saved) + 10
    while len(saved) < target and not failures:
        time.sleep(0.02)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    found = {change.envelope_id for change in postgres.changes(0, limit=10_000)}
    assert found == set(saved)
    revisions = [change.revision for change in postgres.changes(0, limit=10_000)]
    assert revisions == list(range(1, len(saved) + 1))


def test_a_writer_that_stalls_is_ended_and_holds_up_nobody_for_long(
    postgres_store_url: str, postgres: Store, new_manifest: NewManifest
) -> None:
    impatient = f"{postgres_store_url}?options=-c%20idle_in_transaction_session_timeout%3D300ms"
    manifest, other = new_manifest(), new_manifest()
    for begun in (manifest, other):
        postgres.begin_upload(begun.id, HOUR)
    with open_store(impatient) as stalling:
        stalled = threading.Event()

        def stall(_: Connection) -> None:
            stalled.set()
            time.sleep(1.0)

        with at_commit(stall):
            thread = threading.Thread(target=commit, args=(stalling, manifest))
            thread.start()
            stalled.wait()
            commit(postgres, other)
            # The one that stalled was rolled back by the server, and tried again.
            thread.join()
    order = [change.envelope_id for change in postgres.changes(0)]
    assert order == [other.id, manifest.id]


def test_a_lock_that_is_never_released_is_named(
    postgres_store_url: str, postgres: Store, new_manifest: NewManifest
) -> None:
    impatient = f"{postgres_store_url}?options=-c%20lock_timeout%3D100ms"
    dsn = postgres_store_url.replace("+psycopg", "")
    with psycopg.connect(dsn) as holder, open_store(impatient) as store:
        manifest = new_manifest()
        postgres.begin_upload(manifest.id, HOUR)
        saved = commit(postgres, manifest)
        holder.execute("UPDATE clock SET revision = revision")
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            store.set_tags(saved.id, {"a": "b"})
        holder.rollback()
        store.set_tags(saved.id, {"a": "b"})
        assert [change.revision for change in store.changes(0)] == [1, 2]


def test_a_full_disk_of_the_server_is_named(postgres_url: str, new_manifest: NewManifest) -> None:
    with open_store(postgres_url, create=True) as store:
        engine = create_engine(postgres_url)
        with engine.begin() as connection:
            for statement in (
                "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE "
                "'No space left on device' USING ERRCODE = '53100'; END $$",
                "CREATE TRIGGER full_disk BEFORE INSERT ON tag EXECUTE FUNCTION full_disk()",
            ):
                connection.execute(text(statement))
        engine.dispose()
        manifest = new_manifest()
        store.begin_upload(manifest.id, HOUR)
        with pytest.raises(StoreError, match="No space left on device") as caught:
            commit(store, manifest, region="US")
        assert not isinstance(caught.value, StoreUnavailable)
        assert store.head() == 0
        assert store.count(EVERYTHING) == 0


# SQLite


@contextmanager
def write_lock(url: str) -> Iterator[None]:
    """Another process in the middle of a write."""
    script = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('BEGIN IMMEDIATE'); print('locked', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, url.removeprefix("sqlite:///")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"locked\n"
    try:
        yield
    finally:
        holder.communicate()


def test_a_locked_sqlite_store_is_waited_for_then_named(sqlite_store_url: str) -> None:
    with open_store(f"{sqlite_store_url}?timeout=0.2") as impatient:
        with write_lock(sqlite_store_url):
            assert impatient.head() == 0
            with pytest.raises(StoreUnavailable, match="locked by another process"):
                impatient.put_lock("d", "x")
        assert impatient.put_lock("d", "x") == "x"
    with open_store(sqlite_store_url) as patient:
        with write_lock(sqlite_store_url):
            waiting = threading.Thread(target=patient.put_lock, args=("e", "y"))
            waiting.start()
            time.sleep(0.5)
        waiting.join()
        assert patient.get_lock("e") == "y"


def test_a_full_disk_keeps_what_was_saved_and_can_be_collected(
    small_disk: Callable[[int], Path], new_manifest: NewManifest
) -> None:
    folder = small_disk(24)
    file = folder / "store.sqlite"
    artifacts = open_artifacts(str(folder / "artifacts"))
    with open_store(f"sqlite:///{file}") as store:
        store.claim_artifacts(artifacts)
        saved = new_manifest()
        store.begin_upload(saved.id, HOUR)
        commit(store, saved, model="kept")
        expired = new_manifest()
        store.begin_upload(expired.id, HOUR)
        body = os.urandom(4 << 20)
        sha256 = hashlib.sha256(body).hexdigest()
        artifacts.put(f"{expired.id}/predict.bundle", body, sha256=sha256)
        fill(folder / "others")

        with pytest.raises(StoreError, match=r"store\.sqlite cannot grow.*model-envelope gc"):
            save_for_ever(store, new_manifest)
        head = store.head()
        assert store.get(saved.id).tags == {"model": "kept"}

        report = store.collect_garbage(artifacts, now=datetime.now(UTC) + 2 * HOUR)
        assert report.expired_uploads >= 1
        assert expired.id not in set(artifacts.list_ids())
        another = new_manifest()
        store.begin_upload(another.id, HOUR)
        commit(store, another)
        assert [c.revision for c in store.changes(0)] == list(range(1, head + 2))
    assert disk.ballast(file).exists() or has_no_room(folder)


def save_for_ever(store: Store, new_manifest: NewManifest) -> None:
    while True:
        manifest = new_manifest()
        store.begin_upload(manifest.id, HOUR)
        commit(store, manifest, model="x" * 1000)


def has_no_room(folder: Path) -> bool:
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize < 4 * disk.BALLAST_BYTES


def fill(file: Path) -> None:
    """Leave no room on the disk of a file."""
    with file.open("wb", buffering=0) as out:
        for size in (1 << 20, 4096):
            try:
                while True:
                    out.write(bytes(size))
            except OSError:
                continue
