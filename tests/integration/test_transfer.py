"""Envelopes move between stores whole, or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import random
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

import model_envelope as me
from model_envelope.artifacts.local import LocalArtifacts
from model_envelope.artifacts.protocol import Progress
from model_envelope.cli.app import app
from model_envelope.errors import (
    ArtifactCorrupted,
    ArtifactError,
    ArtifactExists,
    EnvelopeError,
    EnvelopeNotFound,
    InvalidInput,
)

FRAME = pd.DataFrame({"age": [20.0, 30.0], "region": ["US", "UK"]})
Connect = Callable[[str, object], me.Client]

TAGS = {"canonical_name": "moved", "region": "US"}


@pytest.fixture
def connect() -> Iterator[Callable[[str, object], me.Client]]:
    """Makes clients, whose stores are closed in the end."""
    with ExitStack() as stack:

        def connect(url: str, artifacts: object) -> me.Client:
            client = me.Client(url, str(artifacts))
            stack.callback(client.store.close)
            return client

        yield connect


@pytest.fixture
def source(connect: Connect, sqlite_store_url: str, tmp_path: Path) -> me.Client:
    """Where envelopes are exported from."""
    return connect(sqlite_store_url, tmp_path / "source")


@pytest.fixture
def target(connect: Connect, tmp_path: Path) -> me.Client:
    """An empty store to import into."""
    return connect(f"sqlite:///{tmp_path}/target.sqlite", tmp_path / "target")


@pytest.fixture
def team(connect: Connect, postgres_store_url: str, s3_address: str) -> me.Client:
    """A store that is shared by a team."""
    return connect(postgres_store_url, s3_address)


@pytest.fixture(params=["sqlite", "postgres"])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Another store than the source's; the test runs on both databases."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_store_url"))
    return f"sqlite:///{tmp_path}/shared.sqlite"


@pytest.fixture
def file(source: me.Client, tmp_path: Path) -> Path:
    """An exported envelope."""
    return source.export_envelope(save(source), tmp_path / "moved.envelope")


def save(client: me.Client, **options: Any) -> me.Envelope:
    """Save a small model with something of everything."""

    def predict(frame):  # type: ignore[no-untyped-def]
        return frame["age"] * 2

    def thrice(frame):  # type: ignore[no-untyped-def]
        return frame["age"] * 3

    values: dict[str, Any] = {
        "tags": TAGS,
        "description": "Of clients\nand their ages",
        "api_input": FRAME,
        "metrics": {
            "auc": 0.9,
            "loss": float("nan"),
            "roc": me.metrics.RocCurve.from_scores([0, 1, 1], [0.1, 0.4, 0.8]),
        },
        "hyperparameters": {"depth": 3, "layers": [1, 2], "rate": float("inf")},
        **options,
    }
    envelope = client.save_model(predict, **values)
    envelope.log_metrics(auc=0.95, step=7, at=datetime(2024, 1, 1, tzinfo=UTC))
    envelope.add_query_function("thrice", thrice)
    return envelope


def everything(client: me.Client, envelope_id: str) -> dict[str, Any]:
    """All that must arrive, as plain data."""
    record = client.store.get(envelope_id)
    rows = client.store.metric_rows(envelope_ids=[envelope_id])
    return {
        "manifest": record.manifest,
        "digest": record.manifest_sha256,
        "description": record.description,
        "tags": record.tags,
        "archived": record.archived,
        "functions": record.functions,
        "files": record.files,
        "metrics": {name: rows[name] for name in ("name", "step", "at", "type", "value", "body")},
        "hyperparameters": client.store.hyperparameters([envelope_id]),
        "lock": client.store.get_lock(record.manifest.environment.digest),
    }


def is_empty(client: me.Client) -> bool:
    """Whether nothing was stored, not even a file."""
    return client.store.head() == 0 and not set(client.artifacts.list_ids()) - {"0" * 20}


@pytest.mark.parametrize("there", [True, False], ids=["to-the-team", "back-home"])
def test_everything_moves_between_all_kinds_of_stores(
    source: me.Client, team: me.Client, tmp_path: Path, there: bool
) -> None:
    first, second = (source, team) if there else (team, source)
    envelope = save(first)
    digest = envelope.environment.digest
    pins = [f"{d.name}=={d.version}" for d in envelope.environment.distributions]
    lock = "".join(f"{pin} \\\n    --hash=sha256:{'ab' * 32}\n" for pin in pins)
    first.store.put_lock(digest, lock)
    file = first.export_envelope(envelope, tmp_path / "moved.envelope")
    moved = second.import_envelope(file)
    assert everything(second, moved.id) == everything(first, envelope.id)
    assert moved.predict(FRAME, function="thrice").tolist() == [60.0, 90.0]
    assert second.latest(TAGS).id == envelope.id
    again = second.export_envelope(moved, tmp_path / "again.envelope")
    assert again.read_bytes() == file.read_bytes()


def test_importing_twice_changes_nothing(file: Path, target: me.Client) -> None:
    first = target.import_envelope(file)
    first.set_tags(region="UK")
    head = target.store.head()
    assert target.import_envelope(file).tags["region"] == "UK"
    assert target.store.head() == head


def test_importing_where_it_was_saved_gives_the_envelope(source: me.Client, file: Path) -> None:
    (envelope,) = source.query(TAGS)
    head = source.store.head()
    assert source.import_envelope(file) == envelope
    assert source.store.head() == head


def test_an_archived_envelope_arrives_archived(
    source: me.Client, target: me.Client, tmp_path: Path
) -> None:
    envelope = save(source).archive()
    moved = target.import_envelope(source.export_envelope(envelope, tmp_path / "archived"))
    assert moved.archived
    assert target.query(TAGS) == []


def test_an_imported_envelope_is_the_newest_here(
    source: me.Client, target: me.Client, file: Path
) -> None:
    newer = save(target)
    moved = target.import_envelope(file)
    assert moved.created_at < newer.created_at
    assert target.latest(TAGS).id == moved.id


def test_a_deleted_envelope_is_not_brought_back_by_an_import(file: Path, target: me.Client) -> None:
    moved = target.import_envelope(file)
    moved.delete(timedelta(days=7))
    with pytest.raises(InvalidInput, match=f"undelete {moved.id}"):
        target.import_envelope(file)
    with pytest.raises(EnvelopeNotFound):
        target.get(moved.id)
    target.store.undelete(moved.id)
    assert moved.refresh().predict(FRAME).tolist() == [40.0, 60.0]


def test_an_envelope_that_was_removed_can_be_imported_again(file: Path, target: me.Client) -> None:
    moved = target.import_envelope(file)
    moved.delete(timedelta(0))
    target.store.collect_garbage(target.artifacts)
    again = target.import_envelope(file)
    assert again.id == moved.id
    assert again.predict(FRAME).tolist() == [40.0, 60.0]


def test_an_id_that_another_model_has_gives_way(
    source: me.Client, target: me.Client, file: Path, tmp_path: Path
) -> None:
    (mine,) = source.query(TAGS)
    theirs = rewritten(file, manifest=lambda m: {**m, "created_at": "2020-01-01T00:00:00Z"})
    target.import_envelope(file)
    other = target.import_envelope(theirs)
    assert other.id != mine.id
    assert other.predict(FRAME).tolist() == [40.0, 60.0]
    assert target.import_envelope(theirs).id == other.id
    assert target.count(TAGS) == 2


def test_a_file_is_replaced_only_on_demand(source: me.Client, file: Path) -> None:
    before = file.read_bytes()
    save(source)
    with pytest.raises(InvalidInput, match="exists"):
        source.export_envelope(TAGS, file)
    assert file.read_bytes() == before
    source.export_envelope(TAGS, file, overwrite=True)
    assert file.read_bytes() != before


def test_a_damaged_artifact_is_not_exported(source: me.Client, tmp_path: Path) -> None:
    envelope = save(source)
    stored = tmp_path / "source" / envelope.id / "model.bin"
    stored.chmod(0o600)
    stored.write_bytes(stored.read_bytes()[:-1] + b"!")
    with pytest.raises(ArtifactCorrupted):
        source.export_envelope(envelope, tmp_path / "moved.envelope")
    assert not [path for path in tmp_path.iterdir() if "moved.envelope" in path.name]


def test_a_full_disk_leaves_no_file(source: me.Client, tmp_path: Path) -> None:
    ballast = random.Random(1).randbytes(3_000_000)

    def predict(frame):  # type: ignore[no-untyped-def]
        return frame["age"] * len(ballast)

    source.save_model(predict, tags=TAGS, api_input=FRAME)
    program = [sys.executable, "-m", "model_envelope.cli"]
    where = ["--store", f"sqlite:///{tmp_path}/store.sqlite", "--artifacts", f"{tmp_path}/source"]
    command = [*program, *where, "export", "canonical_name", str(tmp_path / "moved.envelope")]
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 2000; exec "$@"', "-", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "moved.envelope cannot be written: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in tmp_path.iterdir() if "moved.envelope" in path.name]


def test_progress_counts_to_the_end(source: me.Client, target: me.Client, tmp_path: Path) -> None:
    envelope = save(source)
    for move in (
        lambda report: source.export_envelope(envelope, tmp_path / "moved", progress=report),
        lambda report: target.import_envelope(tmp_path / "moved", progress=report),
    ):
        steps: list[tuple[int, int]] = []
        move(lambda done, total, steps=steps: steps.append((done, total)))
        assert [done for done, _ in steps] == sorted(done for done, _ in steps)
        assert len({total for _, total in steps}) == 1
        assert steps[-1][0] == steps[-1][1] > 0


# Cut off, and at the same time


class Interrupted(LocalArtifacts):
    """Artifacts that do something before the first file whose name ends so is put."""

    def __init__(self, root: Path, ending: str, before: Callable[[], None]) -> None:
        super().__init__(root)
        self.ending, self.before = ending, [before]

    def put(
        self, key: str, source: Path | bytes, *, sha256: str, progress: Progress | None = None
    ) -> None:
        if key.endswith(self.ending) and self.before:
            self.before.pop()()
        super().put(key, source, sha256=sha256, progress=progress)


def fail() -> None:
    raise ArtifactError("The disk is full.")


def test_an_import_that_was_cut_off_is_completed_by_the_next(
    file: Path, source: me.Client, target: me.Client, tmp_path: Path
) -> None:
    (envelope,) = source.query(TAGS)
    target.artifacts = Interrupted(tmp_path / "target", "function-thrice.bin", fail)
    with pytest.raises(ArtifactError, match="full"):
        target.import_envelope(file)
    assert list(target.get(envelope.id).functions) == ["predict"]
    target.import_envelope(file)
    assert everything(target, envelope.id) == everything(source, envelope.id)


def test_an_import_that_failed_early_left_nothing_visible(
    file: Path, source: me.Client, target: me.Client, tmp_path: Path
) -> None:
    (envelope,) = source.query(TAGS)
    target.artifacts = Interrupted(tmp_path / "target", "model.bin", fail)
    with pytest.raises(ArtifactError, match="full"):
        target.import_envelope(file)
    assert target.count("True") == 0
    target.store.collect_garbage(target.artifacts)
    assert target.import_envelope(file).id == envelope.id


@pytest.mark.parametrize("ending", ["golden-input.arrow", "model.bin", "envelope.json"])
def test_two_imports_of_one_file_at_the_same_time_give_one_envelope(
    file: Path, connect: Connect, shared_url: str, tmp_path: Path, ending: str
) -> None:
    place = tmp_path / "shared"
    quick, slow = connect(shared_url, place), connect(shared_url, place)
    first: list[me.Envelope] = []
    slow.artifacts = Interrupted(place, ending, lambda: first.append(quick.import_envelope(file)))
    second = slow.import_envelope(file)
    assert [second.id] == [envelope.id for envelope in first]
    assert quick.count("True") == 1
    # Nor does what the slower one reserved take the files away later.
    quick.store.collect_garbage(quick.artifacts, now=datetime.now(UTC) + timedelta(days=2))
    assert quick.get(second.id).predict(FRAME).tolist() == [40.0, 60.0]


# By command


@pytest.mark.usefixtures("shared_cache")
def test_an_imported_envelope_proves_itself(file: Path, tmp_path: Path) -> None:
    def run(*arguments: str, code: int = 0, **options: Any) -> str:
        where = ["--store", f"sqlite:///{tmp_path}/b.sqlite", "--artifacts", f"{tmp_path}/b"]
        result = CliRunner().invoke(app, [*where, *arguments], **options)
        assert result.exit_code == code, result.output
        return str(result.stdout)

    envelope_id = run("import", str(file)).strip()
    assert "proved" in run("verify", envelope_id)
    isolated = ("predict", envelope_id, "-i", "-", "--isolated", "--function", "thrice")
    assert run(*isolated, input="age,region\n5,US\n") == '"age"\n15\n'
    shown = json.loads(run("show", envelope_id, "-o", "json"))
    assert shown["reproducible"] == "proved"


def test_a_model_that_says_something_else_fails_verification(
    source: me.Client, sqlite_store_url: str, tmp_path: Path
) -> None:
    def predict(frame):  # type: ignore[no-untyped-def]
        import os

        return frame["age"] * os.getpid()

    envelope = source.save_model(predict, tags=TAGS, api_input=FRAME)
    where = ["--store", sqlite_store_url, "--artifacts", f"{tmp_path}/source"]
    result = CliRunner().invoke(app, [*where, "verify", envelope.id])
    assert result.exit_code == 1
    assert "failed" in result.stdout
    assert "age: row 0" in result.stderr


# Hostile files

Change = Callable[[dict[str, Any]], Any]


def members(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(path: Path, content: Mapping[str, bytes], **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, body in content.items():
            archive.writestr(zipfile.ZipInfo(name), body)
    return path


def rewritten(
    file: Path,
    *,
    manifest: Change = lambda body: body,
    contents: Change = lambda body: body,
    files: Callable[[dict[str, bytes]], Mapping[str, bytes]] = lambda files: files,
) -> Path:
    """The file with its descriptions and members changed."""
    body = members(file)
    body["envelope.json"] = json.dumps(manifest(json.loads(body["envelope.json"]))).encode()
    body["contents.json"] = json.dumps(contents(json.loads(body["contents.json"]))).encode()
    return packed(file.with_name("hostile.envelope"), files(body))


def with_function(**fields: Any) -> Change:
    def change(body: dict[str, Any]) -> Any:
        body["functions"]["predict"] |= fields
        return body

    return change


def with_file(name: str, **fields: Any) -> Change:
    def change(body: dict[str, Any]) -> Any:
        body["files"][name] = {**body["files"]["model.bin"], **fields}
        return body

    return change


def with_environment(**fields: Any) -> Change:
    def change(body: dict[str, Any]) -> Any:
        body["environment"] |= fields
        return body

    return change


def with_metric(**fields: Any) -> Change:
    point = {"name": "auc", "step": 0, "at": "2024-01-01T00:00:00Z", "type": "scalar"}
    return lambda body: {**body, "metrics": [{**point, "value": None, "body": None, **fields}]}


def nested(depth: int) -> Any:
    found: Any = []
    for _ in range(depth):
        found = [found]
    return found


MANIFESTS: dict[str, Change] = {
    "a file outside": with_file("../outside"),
    "an absolute file": with_file("/etc/outside"),
    "a file that is missing": with_file("other.bin"),
    "a file of another size": with_file("model.bin", size=1),
    "a file of another digest": with_file("model.bin", sha256="ab" * 32),
    "no digest": with_file("model.bin", sha256="../../x"),
    "the manifest as a file": with_file("envelope.json"),
    "a function of another file": with_function(file="golden-none.arrow"),
    "a function of another name": with_function(name="other"),
    "a function called oddly": lambda body: {
        **body,
        "functions": {**body["functions"], "../x": body["functions"]["predict"]},
    },
    "an unknown kind of input": with_function(input_kind="pickle"),
    "no functions": lambda body: {**body, "functions": {}},
    "an id that leads elsewhere": lambda body: {**body, "id": "../../../../etc"},
    "a time without a zone": lambda body: {**body, "created_at": "2024-01-01T00:00:00"},
    "modules that are not there": lambda body: {**body, "modules": ["os"]},
    "a newer format": lambda body: {**body, "format": 99},
    "another environment's digest": with_environment(digest="ab" * 32),
    "another package": with_environment(
        distributions=[{"name": "evil", "version": "1", "direct": True, "source": None}]
    ),
    "no manifest": lambda body: [],
}

CONTENTS: dict[str, Change] = {
    "a newer format": lambda body: {**body, "format": 2},
    "no contents": lambda body: None,
    "a tag that steers": lambda body: {**body, "tags": {"a": "\x1b[31m"}},
    "a tag that is no text": lambda body: {**body, "tags": {"a": 1}},
    "too many tags": lambda body: {**body, "tags": {f"t{i}": "x" for i in range(1000)}},
    "a description without end": lambda body: {**body, "description": "x" * 30_000},
    "a hyperparameter called oddly": lambda body: {**body, "hyperparameters": {"a b": 1}},
    "a metric called oddly": with_metric(name="a b", value=1.0),
    "a metric without a value": with_metric(),
    "a metric with two values": with_metric(value=1.0, body="NaN"),
    "a metric that is no number": with_metric(body="__import__('os')"),
    "a metric of an odd type": with_metric(type="../x", body="{}"),
    "a metric without a zone": with_metric(value=1.0, at="2024-01-01T00:00:00"),
    "a step beyond": with_metric(value=1.0, step=2**63),
    "a structure too large": with_metric(type="vector", body="1" * 2_000_000),
    "a lock with an index": lambda body: {**body, "lock": "--index-url https://evil.test\n"},
    "a lock of something else": lambda body: {
        **body,
        "lock": f"evil==1 \\\n    --hash=sha256:{'ab' * 32}\n",
    },
    "a function that is there": lambda body: {
        **body,
        "functions": {"predict": body["functions"]["thrice"]},
    },
    "an added file outside": lambda body: {
        **body,
        "files": {"../x": {"sha256": "ab" * 32, "size": 0}},
    },
    "no end of brackets": lambda body: {**body, "hyperparameters": {"a": nested(900)}, "tags": []},
}

FILES: dict[str, Callable[[dict[str, bytes]], Mapping[str, bytes]]] = {
    "a member outside": lambda files: {**files, "../outside": b"x"},
    "a member at the root": lambda files: {**files, "/outside": b"x"},
    "a member too many": lambda files: {**files, "files/more": b"x"},
    "a member too few": lambda files: {k: v for k, v in files.items() if k != "files/model.bin"},
    "no manifest": lambda files: {k: v for k, v in files.items() if k != "envelope.json"},
    "no contents": lambda files: {k: v for k, v in files.items() if k != "contents.json"},
    "another model": lambda files: {
        **files,
        "files/model.bin": files["files/model.bin"][:-1] + b"!",
    },
    "a longer model": lambda files: {**files, "files/model.bin": files["files/model.bin"] + b"!"},
    "a folder": lambda files: {**files, "files/": b""},
}


@pytest.mark.parametrize("change", MANIFESTS.values(), ids=MANIFESTS)
def test_a_hostile_manifest_is_refused(file: Path, target: me.Client, change: Change) -> None:
    with pytest.raises(ArtifactCorrupted):
        target.import_envelope(rewritten(file, manifest=change))
    assert is_empty(target)


@pytest.mark.parametrize("change", CONTENTS.values(), ids=CONTENTS)
def test_hostile_contents_are_refused(file: Path, target: me.Client, change: Change) -> None:
    with pytest.raises(ArtifactCorrupted):
        target.import_envelope(rewritten(file, contents=change))
    assert is_empty(target)


@pytest.mark.parametrize("change", FILES.values(), ids=FILES)
def test_hostile_members_are_refused(
    file: Path,
    target: me.Client,
    tmp_path: Path,
    change: Callable[[dict[str, bytes]], Mapping[str, bytes]],
) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(ArtifactCorrupted):
        target.import_envelope(rewritten(file, files=change))
    assert is_empty(target)
    new = {path.name for path in tmp_path.iterdir()} - before
    assert {name.partition("-")[0] for name in new} <= {"hostile.envelope", "target.sqlite"}
    assert not Path("/outside").exists()


def test_an_unchanged_rewrite_is_accepted(file: Path, target: me.Client) -> None:
    # Else the tests above would hold for a wrong reason.
    assert target.import_envelope(rewritten(file)).tags == TAGS


def test_links_are_refused(file: Path, target: me.Client, tmp_path: Path) -> None:
    content = members(file)
    path = tmp_path / "hostile.envelope"
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in content.items():
            member = zipfile.ZipInfo(name)
            if name == "files/model.bin":
                member.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(member, body)
    with pytest.raises(ArtifactCorrupted, match="no regular file"):
        target.import_envelope(path)


def test_compressed_members_are_refused(file: Path, target: me.Client, tmp_path: Path) -> None:
    bomb = {**members(file), "files/model.bin": bytes(50_000_000)}
    path = tmp_path / "bomb.envelope"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in bomb.items():
            archive.writestr(name, body)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(ArtifactCorrupted, match="compressed"):
        target.import_envelope(path)


def test_two_members_of_one_name_are_refused(file: Path, target: me.Client, tmp_path: Path) -> None:
    path = tmp_path / "hostile.envelope"
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in members(file).items():
            archive.writestr(name, body)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("files/model.bin", b"other")
    with pytest.raises(ArtifactCorrupted, match="one name"):
        target.import_envelope(path)


def test_members_that_overlap_are_refused(file: Path, target: me.Client, tmp_path: Path) -> None:
    ballast = bytes(1_000_000)
    names = [f"part{i}.bin" for i in range(100)]
    ref = {"sha256": hashlib.sha256(ballast).hexdigest(), "size": len(ballast)}
    body = members(file)
    manifest = json.loads(body["envelope.json"])
    manifest["files"] |= dict.fromkeys(names, ref)
    body["envelope.json"] = json.dumps(manifest).encode()
    path = tmp_path / "hostile.envelope"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in body.items():
            archive.writestr(zipfile.ZipInfo(name), content)
        archive.writestr(zipfile.ZipInfo("files/part0.bin"), ballast)
        first = archive.infolist()[-1]
        for name in names[1:]:
            copy = zipfile.ZipInfo(f"files/{name}")
            for field in ("CRC", "compress_size", "file_size", "header_offset"):
                setattr(copy, field, getattr(first, field))
            archive.filelist.append(copy)
            archive.NameToInfo[copy.filename] = copy
    assert path.stat().st_size < 2_000_000
    with pytest.raises(ArtifactCorrupted, match="overlap"):
        target.import_envelope(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x1f\x8b tar", b"PK\x05\x06" + bytes(18)])
def test_other_files_are_refused(target: me.Client, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(ArtifactCorrupted, match="no exported envelope"):
        target.import_envelope(path)


def test_what_cannot_be_read_is_named(target: me.Client, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"gone.envelope cannot be read: No such file"):
        target.import_envelope(tmp_path / "gone.envelope")
    with pytest.raises(InvalidInput, match="Is a directory"):
        target.import_envelope(tmp_path)


def test_damage_anywhere_is_refused_or_harmless(
    file: Path, source: me.Client, target: me.Client
) -> None:
    (envelope,) = source.query(TAGS)
    sound = file.read_bytes()
    chance = random.Random(20_240_101)
    refused = 0
    for _ in range(400):
        damaged = bytearray(sound)
        match chance.randrange(3):
            case 0:
                del damaged[chance.randrange(len(damaged)) :]
            case 1:
                start = chance.randrange(len(damaged))
                del damaged[start : start + chance.randrange(1, 200)]
            case _:
                for _ in range(chance.randrange(1, 4)):
                    # The directory at the end is what zip readers stumble over.
                    damaged[-chance.randrange(1, 2000)] = chance.randrange(256)
        file.write_bytes(damaged)
        try:
            moved = target.import_envelope(file)
        except EnvelopeError:
            refused += 1
            continue
        assert moved.record.manifest == envelope.record.manifest
        assert moved.tags == TAGS
    assert refused > 200


def test_another_envelope_s_files_are_left_alone(
    file: Path, source: me.Client, target: me.Client, tmp_path: Path
) -> None:
    (envelope,) = source.query(TAGS)
    stranger = tmp_path / "target" / envelope.id / "model.bin"
    stranger.parent.mkdir(parents=True)
    stranger.write_bytes(b"not ours")
    with pytest.raises(ArtifactExists):
        target.import_envelope(file)
    assert stranger.read_bytes() == b"not ours"


def test_an_export_is_a_zip_that_anybody_reads(file: Path, source: me.Client) -> None:
    (envelope,) = source.query(TAGS)
    with zipfile.ZipFile(io.BytesIO(file.read_bytes())) as archive:
        assert archive.testzip() is None
        manifest = archive.read("envelope.json")
        assert hashlib.sha256(manifest).hexdigest() == envelope.record.manifest_sha256
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_STORED}
