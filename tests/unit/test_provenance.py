from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from model_envelope.environment.git import checkout
from model_envelope.environment.provenance import provenance

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> str:
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "HOME": str(folder)}
    settings = ["user.name=a", "user.email=a@example.org", "protocol.file.allow=always"]
    options = [part for setting in settings for part in ("-c", setting)]
    done = subprocess.run(
        ["git", "-C", str(folder), *options, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], **own},
    )
    return done.stdout.strip()


def commit_all(folder: Path, message: str = "work") -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A committed checkout with folders, an executable, a symlink and names that sort oddly."""
    folder = tmp_path / "repository"
    for name in ("a.py", "a/b/c.py", "a-b.py", "a0/x.py", "ü mlaut.txt", "run.sh"):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"# {name}\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("a.py")
    git(folder, "init", "-q")
    commit_all(folder)
    return folder


def is_dirty(folder: Path) -> bool:
    found = checkout(folder)
    assert found is not None
    # Git's own answer; untracked files do not count.
    status = git(folder, "--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
    assert found.dirty == bool(status)
    return found.dirty


@needs_git
def test_commit_of_a_clean_checkout(repository: Path) -> None:
    found = checkout(repository / "a" / "b")
    assert found is not None
    assert found.commit == git(repository, "rev-parse", "HEAD")
    assert not is_dirty(repository)


@needs_git
@pytest.mark.parametrize(
    "change",
    [
        lambda r: (r / "a.py").write_text("# other and longer\n"),
        lambda r: (r / "a.py").write_text("# A.py\n"),
        lambda r: (r / "a/b/c.py").unlink(),
        lambda r: (r / "run.sh").chmod(0o644),
        lambda r: ((r / "link").unlink(), (r / "link").symlink_to("b.py")),
        lambda r: ((r / "a.py").write_text("# new\n"), git(r, "add", "a.py")),
        lambda r: ((r / "new.py").touch(), git(r, "add", "new.py")),
        lambda r: git(r, "rm", "-q", "--cached", "a.py"),
        lambda r: git(r, "mv", "a.py", "z.py"),
    ],
    ids=[
        "longer", "same size", "deleted", "mode", "symlink",
        "staged", "staged new file", "staged removal", "renamed",
    ],
)  # fmt: skip
def test_every_change_to_tracked_files_is_dirty(repository: Path, change) -> None:  # type: ignore[no-untyped-def]
    change(repository)
    assert is_dirty(repository)


@needs_git
def test_change_in_the_moment_of_the_commit_is_seen(repository: Path) -> None:
    file = repository / "a.py"
    file.write_text("# one\n")
    commit_all(repository)
    written = (repository / ".git" / "index").stat().st_mtime_ns
    file.write_text("# two\n")
    os.utime(file, ns=(written, written))
    assert is_dirty(repository)


@needs_git
def test_what_is_no_change_is_clean(repository: Path) -> None:
    (repository / "untracked.py").touch()
    later = time.time() + 100
    os.utime(repository / "a.py", (later, later))
    assert not is_dirty(repository)
    git(repository, "update-index", "--assume-unchanged", "a.py")
    (repository / "a.py").write_text("# unwatched\n")
    assert not is_dirty(repository)


@needs_git
@pytest.mark.parametrize("version", ["2", "3", "4"])
def test_index_versions(repository: Path, version: str) -> None:
    (repository / "intended.py").touch()
    git(repository, "update-index", "--index-version", version)
    assert not is_dirty(repository)
    # An entry with extended flags, which versions from 3 on have.
    git(repository, "add", "--intent-to-add", "intended.py")
    assert is_dirty(repository)


@needs_git
def test_fresh_clone_with_packed_objects_and_refs(repository: Path, tmp_path: Path) -> None:
    for number in range(3):
        (repository / "a.py").write_text(f"# {number}\n")
        commit = commit_all(repository, f"change {number}")
    git(repository, "gc", "-q", "--aggressive", "--prune=now")
    git(tmp_path, "clone", "-q", "--no-local", str(repository), "clone")
    for folder in (repository, tmp_path / "clone"):
        found = checkout(folder)
        assert found is not None
        assert found.commit == commit
        assert not is_dirty(folder)
    assert (repository / ".git" / "packed-refs").is_file()
    assert not list((repository / ".git" / "objects").glob("??/*"))


@needs_git
def test_detached_head_worktree_and_submodule(repository: Path, tmp_path: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    git(repository, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    (tmp_path / "side" / "a.py").write_text("# side\n")
    on_side = commit_all(tmp_path / "side")
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    git(outer, "submodule", "--quiet", "add", str(repository), "inner")
    commit_all(outer)
    git(repository, "checkout", "-q", "--detach")

    expected = {repository: commit, tmp_path / "side": on_side, outer / "inner": commit}
    for folder, wanted in expected.items():
        found = checkout(folder)
        assert found is not None
        assert found.commit == wanted
        assert not is_dirty(folder)
    assert not is_dirty(outer)


@needs_git
def test_sha256_repository(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "--object-format=sha256")
    (folder / "a.py").touch()
    commit = commit_all(folder)
    found = checkout(folder)
    assert found is not None
    assert found.commit == commit
    assert not is_dirty(folder)


@needs_git
def test_before_the_first_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    found = checkout(tmp_path)
    assert found is not None
    assert (found.commit, found.dirty) == ("", True)


@needs_git
def test_what_cannot_be_told_counts_as_dirty(repository: Path) -> None:
    index = repository / ".git" / "index"
    body = index.read_bytes()
    for broken in (b"", b"DIRC" + bytes(40), body[: len(body) // 2], bytes(len(body))):
        index.write_bytes(broken)
        found = checkout(repository)
        assert found is not None
        assert found.commit
        assert found.dirty


def test_no_checkout(tmp_path: Path) -> None:
    assert checkout(tmp_path) is None
    made = provenance(tmp_path)
    assert (made.git_commit, made.git_dirty) == ("", False)


def test_who_and_where(tmp_path: Path) -> None:
    made = provenance(tmp_path)
    assert made.user
    assert made.host
    assert made.python == platform.python_version()
    assert made.library_version
    assert made.airflow == {}


def test_airflow_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "train")
    monkeypatch.setenv("AIRFLOW_CTX_DAG_RUN_ID", "manual__2026-01-01")
    monkeypatch.setenv("AIRFLOW_CTX_TASK_ID", "fit")
    monkeypatch.setenv("AIRFLOW_CTX_TRY_NUMBER", "2")
    monkeypatch.setenv("AIRFLOW_CTX_MAP_INDEX", "")  # it is no mapped one
    task = {
        "dag_id": "train",
        "run_id": "manual__2026-01-01",
        "task_id": "fit",
        "try_number": "2",
    }
    assert provenance(tmp_path).airflow == task
    monkeypatch.setenv("AIRFLOW_CTX_MAP_INDEX", "0")
    assert provenance(tmp_path).airflow == {**task, "map_index": "0"}


def test_user_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    assert provenance(tmp_path).user == str(os.getuid())
