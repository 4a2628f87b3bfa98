from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from model_envelope.envelope import Distribution, Environment
from model_envelope.environment.build import build, current_matches
from model_envelope.environment.caching import prune
from model_envelope.environment.capture import capture, describe
from model_envelope.environment.lock import lock
from model_envelope.errors import EnvironmentNotBuildable, MissingDependency

HASH = "0" * 64
OTHER = "f" * 64


def environment(**versions: str) -> Environment:
    return describe(Distribution(name=name, version=v) for name, v in versions.items())


def entry(pin: str) -> str:
    return f"{pin} \\\n    --hash=sha256:{HASH}\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        entry("six==1.17.0"),
        entry("six==1.17.0") + entry("attrs==25.1.0") + entry("evil==1"),
        entry("six==1.16.0") + entry("attrs==25.1.0"),
        entry("six==1.17.0") + "attrs==25.1.0\n",
        entry("six==1.17.0") + entry("attrs==25.1.0") + "--index-url https://evil.example\n",
        "--extra-index-url https://evil.example\n" + entry("six==1.17.0") + entry("attrs==25.1.0"),
        entry("six==1.17.0") + f"attrs @ https://evil.example/a.whl --hash=sha256:{HASH}\n",
        entry("six==1.17.0") + entry("attrs==25.1.0").replace("\n", " --config-settings x\n", 1),
        entry("six==1.17.0") + entry("attrs>=25.1.0"),
        entry("six==1.17.0") + entry("attrs==25.1.0").replace(HASH, HASH[:-1]),
    ],
)
def test_lock_that_is_not_of_the_environment_is_not_used(tmp_path: Path, text: str) -> None:
    with pytest.raises(EnvironmentNotBuildable, match=r"[Ll]ock"):
        build(environment(six="1.17.0", attrs="25.1.0"), text, cache=tmp_path)
    assert not list(tmp_path.rglob("bin"))


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("six", "1.0\n--index-url https://evil.example"),
        ("six", "1.0 --hash=sha256:00"),
        ("six", "1.0; python_version > '3'"),
        ("six", "1.*"),
        ("six", "not a version"),
        ("six", ""),
        ("-e .", "1.0"),
        ("six @ file:///etc/passwd", "1.0"),
        ("six>=0,", "1.0"),
        ("../six", "1.0"),
    ],
)
def test_hostile_names_and_versions_reach_no_installer(name: str, version: str) -> None:
    # A manifest may have been written by anyone who can write to the store.
    with pytest.raises(EnvironmentNotBuildable, match="no released version"):
        lock(describe([Distribution(name=name, version=version)]))


def test_hostile_digest_is_no_path(tmp_path: Path) -> None:
    hostile = replace(environment(six="1.17.0"), digest="../../outside")
    with pytest.raises(EnvironmentNotBuildable, match="digest"):
        build(hostile, entry("six==1.17.0"), cache=tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())


def test_environment_of_another_platform_is_refused(tmp_path: Path) -> None:
    elsewhere = replace(environment(six="1.17.0"), platform="win_amd64")
    with pytest.raises(EnvironmentNotBuildable, match="saved on win_amd64"):
        lock(elsewhere)
    with pytest.raises(EnvironmentNotBuildable, match="saved on win_amd64"):
        build(elsewhere, entry("six==1.17.0"), cache=tmp_path)


def test_without_uv_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "uv", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingDependency, match="pip install uv"):
        lock(environment(six="1.17.0"))


def test_cache_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentNotBuildable, match="MODEL_ENVELOPE_CACHE"):
        build(environment(six="1.17.0"), entry("six==1.17.0"), cache=tmp_path / "file")


def test_the_environment_of_this_process_matches_itself() -> None:
    captured = capture({"pandas"})
    assert current_matches(captured) == ()


def test_differences_of_this_process_are_told() -> None:
    captured = capture({"pandas"})
    own = Distribution(name="own-package", version="0.1", source="file:///x")
    changed = [
        replace(d, version="0.0.1") if d.name == "pandas" else d for d in captured.distributions
    ]
    absent = Distribution(name="never-installed", version="3.0")
    differences = current_matches(
        replace(captured, python="2.7.18", distributions=(*changed, absent, own))
    )
    assert len(differences) == 3
    assert differences[0].startswith("Python 2.7.18 is needed, this is 3.")
    assert any(line.startswith("pandas 0.0.1 is needed, ") for line in differences)
    assert "never-installed 3.0 is needed, but not installed" in differences


def test_prune_removes_what_was_long_unused_and_what_was_never_finished(tmp_path: Path) -> None:
    folder = tmp_path / "environments"
    old, new = folder / HASH, folder / OTHER
    for prefix in (old, new):
        (prefix / "bin").mkdir(parents=True)
        (prefix / ".last-used").touch()
        Path(f"{prefix}.v1.tar.gz").touch()
    for file in (old / ".last-used", Path(f"{old}.v1.tar.gz")):
        os.utime(file, (1, 1))
    (folder / f"{OTHER}.building-1234" / "bin").mkdir(parents=True)
    (folder / f"{OTHER}.removing-1234").mkdir()
    (folder / "somebody-elses").mkdir()

    removed = prune(tmp_path, keep=timedelta(days=1))

    assert removed == (HASH, f"{HASH}.v1.tar.gz")
    left = {item.name for item in folder.iterdir() if item.suffix != ".lock"}
    assert left == {OTHER, f"{OTHER}.v1.tar.gz", "somebody-elses"}
