"""Environments locked, built and packed for real: with uv, from the package index."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from model_envelope.envelope import Distribution, Environment
from model_envelope.environment.build import BuiltEnvironment, build
from model_envelope.environment.capture import capture, describe, environment_digest
from model_envelope.environment.interpreters import find_interpreter
from model_envelope.environment.lock import lock
from model_envelope.environment.pack import pack
from model_envelope.errors import EnvironmentNotBuildable

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def light() -> Environment:
    """An environment that builds in a moment."""
    return describe([Distribution(name="six", version="1.17.0")])


@pytest.fixture(scope="module")
def light_lock(light: Environment, tmp_path_factory: pytest.TempPathFactory) -> str:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("MODEL_ENVELOPE_CACHE", str(tmp_path_factory.mktemp("cache")))
        return lock(light)


def other_interpreters() -> Iterator[str]:
    """Minor versions of Python on this machine that are not this one."""
    for minor in ("3.12", "3.13", "3.11", "3.10", "3.14"):
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
            try:
                find_interpreter(minor, folder=Path.home())
            except EnvironmentNotBuildable:
                continue
        if minor != HERE:
            yield minor


def for_python(environment: Environment, minor: str) -> Environment:
    digest = environment_digest(minor, environment.platform, environment.distributions)
    return replace(environment, python=f"{minor}.0", digest=digest)


def run(python: Path, code: str, **variables: str) -> str:
    command: list[str | Path] = [python, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, env=variables, cwd=python.parent, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_was_captured_is_what_runs(cache: Path) -> None:
    environment = capture({"pandas.core.frame"})
    built = build(environment, lock(environment), cache=cache)

    code = "from importlib.metadata import distributions as d; import json, pandas, pyarrow\n"
    code += "print(json.dumps({x.name: x.version for x in d()}))"
    installed = json.loads(run(built.python, code))
    assert {name.lower(): version for name, version in installed.items()} == {
        d.name: d.version for d in environment.distributions
    }
    assert run(built.python, "import sys; print(sys.prefix)") == str(built.prefix)


def test_second_build_is_the_first(
    light: Environment, light_lock: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(light, light_lock, cache=cache)
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(cache / "empty"))
    assert build(light, light_lock, cache=cache) == first


def test_environment_whose_interpreter_is_gone_is_built_again(
    light: Environment, light_lock: str, cache: Path
) -> None:
    built = build(light, light_lock, cache=cache)
    built.python.unlink()
    built.python.symlink_to("/removed/interpreter")
    build(light, light_lock, cache=cache)
    assert run(built.python, "import six; print(six.__version__)") == "1.17.0"


def test_lock_is_the_same_whatever_surrounds_it(
    light: Environment, light_lock: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = 'index-url = "http://127.0.0.1:9/simple"\n'
    (tmp_path / "uv.toml").write_text(evil)
    (tmp_path / "pyproject.toml").write_text("[tool.uv]\n" + evil)
    (tmp_path / "constraints.txt").write_text("six<1.0\n")
    monkeypatch.chdir(tmp_path)
    # The cache is in the user's home, above which nobody else writes.
    monkeypatch.delenv("MODEL_ENVELOPE_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path.parent / "home-of-user"))
    monkeypatch.setenv("UV_CONSTRAINT", str(tmp_path / "constraints.txt"))
    monkeypatch.setenv("UV_PYTHON", "2.7")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert lock(light) == light_lock


def test_nothing_of_the_callers_environment_leaks_in(
    light: Environment, light_lock: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    monkeypatch.setenv("VIRTUAL_ENV", "/nowhere")
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
    monkeypatch.setenv("UV_PROJECT_ENVIRONMENT", "/nowhere")
    built = build(light, light_lock, cache=cache)
    assert run(built.python, "import six; print(six.__version__)") == "1.17.0"
    path = json.loads(run(built.python, "import sys, json; print(json.dumps(sys.path))"))
    assert not any("site-packages" in p and not p.startswith(str(built.prefix)) for p in path)


def test_all_that_cannot_be_found_is_named() -> None:
    wanted = {"six": "1.17.0", "numpy": "0.0.999", "never-published-by-us": "1.0"}
    local = Distribution(name="attrs", version="25.1.0+ours")
    distributions = [Distribution(name=n, version=v) for n, v in wanted.items()]
    with pytest.raises(EnvironmentNotBuildable) as caught:
        lock(describe([*distributions, local]))
    message = str(caught.value)
    assert "\n  - numpy==0.0.999: there is no version" in message
    assert "\n  - never-published-by-us==1.0: " in message
    assert "\n  - attrs==25.1.0+ours: " in message
    assert "index of its own" in message
    assert "UV_INDEX" in message
    assert "six" not in message


def test_index_that_does_not_answer(
    light: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://user:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    with pytest.raises(EnvironmentNotBuildable, match=r"uv says: .*127\.0\.0\.1:9") as caught:
        lock(light)
    assert "secret" not in str(caught.value)


def test_file_with_another_hash_is_not_installed(
    light: Environment, light_lock: str, cache: Path
) -> None:
    other = re.sub(r"sha256:\w{8}", "sha256:00000000", light_lock)
    with pytest.raises(EnvironmentNotBuildable, match=r"[Hh]ash mismatch.*six"):
        build(light, other, cache=cache)
    assert [item.suffix for item in (cache / "environments").iterdir()] == [".lock"]


def test_python_that_does_not_exist(light: Environment, light_lock: str, cache: Path) -> None:
    with pytest.raises(EnvironmentNotBuildable, match=r"needs Python 3\.99.*pyenv"):
        build(for_python(light, "3.99"), light_lock, cache=cache)


def test_model_of_another_python(light: Environment, light_lock: str, cache: Path) -> None:
    minor = next(other_interpreters(), None)
    if minor is None:
        pytest.skip(f"no other Python than {HERE} on this machine")
    built = build(for_python(light, minor), light_lock, cache=cache)
    assert run(built.python, "import sys, six; print('%d.%d' % sys.version_info[:2])") == minor


BUILDER = """
import logging, sys
from pathlib import Path
import msgspec
from model_envelope.envelope import Environment
from model_envelope.environment.build import build
logging.basicConfig(level=logging.INFO, stream=sys.stdout)
environment = msgspec.json.decode(sys.argv[1], type=Environment)
print("built at", build(environment, sys.argv[2], cache=Path(sys.argv[3])).prefix)
"""


def start_builder(environment: Environment, text: str, cache: Path) -> subprocess.Popen[str]:
    arguments = [msgspec.json.encode(environment).decode(), text, str(cache)]
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_of_builders_at_the_same_time_one_builds(
    light: Environment, light_lock: str, cache: Path
) -> None:
    builders = [start_builder(light, light_lock, cache) for _ in range(4)]
    told = [builder.communicate()[0] for builder in builders]
    assert [builder.returncode for builder in builders] == [0] * 4
    assert sum("Building environment" in text for text in told) == 1
    assert len({text.splitlines()[-1] for text in told}) == 1


def test_killed_build_is_swept_and_done_again(
    light: Environment, light_lock: str, cache: Path
) -> None:
    builder = start_builder(light, light_lock, cache)
    folder = cache / "environments"
    while not list(folder.glob("*.building-*")):
        assert builder.poll() is None, "the build ended before it could be killed"
        time.sleep(0.001)
    os.killpg(builder.pid, signal.SIGKILL)
    builder.communicate()
    assert not (folder / light.digest).exists()

    built = build(light, light_lock, cache=cache)

    assert run(built.python, "import six; print(six.__version__)") == "1.17.0"
    assert {item.name for item in folder.iterdir()} == {light.digest, f"{light.digest}.lock"}


class Index:
    """A package index of one's own, with or without hashes in its pages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def _handler(self, *arguments: object) -> http.server.SimpleHTTPRequestHandler:
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None: ...

        return Quiet(*arguments, directory=str(self.folder))  # type: ignore[arg-type]

    def publish(self, name: str, version: str, *, hashed: bool) -> None:
        page = self.folder / "simple" / name
        page.mkdir(parents=True)
        wheel = page / f"{name}-{version}-py3-none-any.whl"
        info = f"{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"{name}.py", f"version = '{version}'\n")
            archive.writestr(f"{info}/METADATA", metadata)
            archive.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr(f"{info}/RECORD", "")
        digest = f"#sha256={hashlib.sha256(wheel.read_bytes()).hexdigest()}" if hashed else ""
        (page / "index.html").write_text(f'<a href="{wheel.name}{digest}">{wheel.name}</a>')


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    index = Index(tmp_path / "index")
    monkeypatch.setenv("UV_INDEX", index.url)
    yield index
    index.close()


def test_private_index_of_the_operator_is_used(index: Index, cache: Path) -> None:
    index.publish("ourprivate", "1.0+local.1", hashed=True)
    ours = Distribution(name="ourprivate", version="1.0+local.1")
    environment = describe([ours, Distribution(name="six", version="1.17.0")])
    built = build(environment, lock(environment), cache=cache)
    code = "import six, ourprivate; print(ourprivate.version)"
    assert run(built.python, code) == "1.0+local.1"


def test_index_without_hashes_is_refused(index: Index) -> None:
    index.publish("ourprivate", "1.0", hashed=False)
    with pytest.raises(EnvironmentNotBuildable, match=r"ourprivate==1\.0: .*no hashes"):
        lock(describe([Distribution(name="ourprivate", version="1.0")]))


REPORT = """
import json, multiprocessing, ssl, sqlite3, ctypes, subprocess, sys
import numpy
assert multiprocessing.get_context("spawn").Pool(1).map(abs, [-3]) == [3]
child = subprocess.check_output([sys.executable, "-c", "import numpy; print(numpy.__file__)"])
mapped = {line.split(None, 5)[-1].strip() for line in open("/proc/self/maps") if "/" in line}
files = [m.__file__ for m in list(sys.modules.values()) if getattr(m, "__file__", None)]
print(json.dumps({
    "prefix": [sys.prefix, sys.base_prefix, sys.exec_prefix],
    "path": [p for p in sys.path if p],
    "files": files + [sys.executable, child.decode().strip()],
    "mapped": sorted(mapped),
    "version": numpy.__version__,
}))
"""


def packed(minor: str, cache: Path) -> BuiltEnvironment:
    environment = for_python(describe([Distribution(name="numpy", version="2.2.6")]), minor)
    return build(environment, lock(environment), cache=cache)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="environments are packed on Linux only")
@pytest.mark.parametrize("which", ["this Python", "another Python"])
def test_packed_environment_runs_elsewhere(which: str, cache: Path, tmp_path: Path) -> None:
    minor = HERE if which == "this Python" else next(other_interpreters(), None)
    if minor is None:
        pytest.skip(f"no other Python than {HERE} on this machine")
    built = packed(minor, cache)
    base = Path(run(built.python, "import sys; print(sys.base_prefix)"))
    archive = pack(built)
    elsewhere = tmp_path / "a folder elsewhere"
    with tarfile.open(archive) as tar:
        folders = {part for name in tar.getnames() for part in Path(name).parts[:-1]}
    elsewhere.mkdir()
    subprocess.run(["tar", "-xzf", str(archive), "-C", str(elsewhere)], check=True)
    assert not folders & {"test", "idlelib", "tkinter", "ensurepip", "__pycache__", "pip"}
    shutil.rmtree(built.prefix)

    python = elsewhere / "bin" / "python"
    users_own = tmp_path / f".local/lib/python{minor}/site-packages"
    users_own.mkdir(parents=True)
    hostile = {"PYTHONHOME": "/nowhere", "HOME": str(tmp_path), "PATH": os.defpath}
    told = json.loads(run(python, REPORT, **hostile))

    inside = [*told["prefix"], *told["path"], *told["files"]]
    assert [p for p in inside if not Path(p).is_relative_to(elsewhere)] == []
    libraries = [p for p in told["mapped"] if "python" in Path(p).name]
    assert libraries
    assert [p for p in libraries if not p.startswith(str(elsewhere))] == []
    assert told["version"] == "2.2.6"
    assert run(elsewhere / "bin" / f"python{minor}", "print(1)", PATH=os.defpath) == "1"
    _runs_without_the_interpreter_it_came_from(python, base)


def _runs_without_the_interpreter_it_came_from(python: Path, base: Path) -> None:
    """Where the machine allows it, hide that interpreter from a process and run there."""
    script = 'mount -t tmpfs none "$1" && exec "$2" -c "import numpy, ssl; print(1)"'
    hidden = ["unshare", "--mount", "sh", "-c", script, "sh", str(base), str(python)]
    if str(base) == "/usr" or os.geteuid() != 0 or shutil.which("unshare") is None:
        return
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0:
        assert subprocess.run(hidden, check=True, capture_output=True).stdout == b"1\n"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="environments are packed on Linux only")
def test_packing_again_gives_the_same_bytes(
    light: Environment, light_lock: str, cache: Path, tmp_path: Path
) -> None:
    first = pack(build(light, light_lock, cache=cache))
    again = pack(build(light, light_lock, cache=tmp_path / "other"))
    assert first.read_bytes() == again.read_bytes()
    written = first.stat().st_ino
    assert pack(build(light, light_lock, cache=cache)).stat().st_ino == written
