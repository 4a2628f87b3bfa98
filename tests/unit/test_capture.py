from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from model_envelope.envelope import Distribution, Environment
from model_envelope.environment.capture import capture, environment_digest
from model_envelope.errors import EnvironmentNotCapturable, InvalidInput


class Site:
    """A folder of distributions, written as an installer writes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(
        self,
        name: str,
        version: str = "1.0",
        *,
        files: Sequence[str] | None = None,
        requires: Sequence[str] = (),
        extras: Sequence[str] = (),
        direct_url: dict[str, object] | None = None,
        installer: str = "pip",
    ) -> None:
        files = [f"{name.replace('-', '_')}/__init__.py"] if files is None else files
        for file in files:
            target = self.folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {r}" for r in requires]
        lines += [f"Provides-Extra: {e}" for e in extras]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        (info / "INSTALLER").write_text(f"{installer}\n")
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
        if direct_url is not None:
            (info / "direct_url.json").write_text(json.dumps(direct_url))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site folder that comes first, with what every environment has."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    site = Site(folder)
    site.install("pyarrow", "26.0")
    site.install("cloudpickle", "3.1")
    return site


def pins(environment: Environment) -> set[str]:
    always = {"pyarrow", "cloudpickle"}
    return {f"{d.name}=={d.version}" for d in environment.distributions if d.name not in always}


def editable(folder: Path) -> dict[str, object]:
    return {"url": folder.as_uri(), "dir_info": {"editable": True}}


def test_takes_distributions_and_all_that_they_require(site: Site) -> None:
    site.install("Alpha.One", requires=["beta>=1"], files=["alpha/__init__.py"])
    site.install("beta", "2.0", requires=["gamma"])
    site.install("gamma", "3.0.post1")
    site.install("unrelated")

    environment = capture({"alpha.inner", "json", "os.path", "__main__"})

    assert pins(environment) == {"alpha-one==1.0", "beta==2.0", "gamma==3.0.post1"}
    assert [d.name for d in environment.distributions if d.direct] == ["alpha-one"]
    assert environment.python.startswith(f"3.{sys.version_info.minor}.")


def test_always_has_what_the_runtime_needs(site: Site) -> None:
    environment = capture(set())
    assert [(d.name, d.version, d.direct) for d in environment.distributions] == [
        ("cloudpickle", "3.1", False),
        ("pyarrow", "26.0", False),
    ]


def test_never_has_this_package(site: Site) -> None:
    site.install("alpha", requires=["model-envelope"])
    assert pins(capture({"alpha", "model_envelope.metrics"})) == {"alpha==1.0"}


def test_follows_extras_that_are_asked_for(site: Site) -> None:
    site.install("alpha", requires=["beta[Fast_IO]"])
    site.install(
        "beta",
        requires=["gamma; extra == 'fast-io'", "delta; extra == 'slow'", "epsilon"],
        extras=["fast-io", "slow"],
    )
    for name in ("gamma", "delta", "epsilon"):
        site.install(name)
    assert pins(capture({"alpha"})) == {"alpha==1.0", "beta==1.0", "gamma==1.0", "epsilon==1.0"}
    with_slow = capture({"alpha"}, requirements=["beta[slow]"])
    assert "delta==1.0" in pins(with_slow)


def test_extras_found_late_are_followed(site: Site) -> None:
    site.install("alpha", requires=["beta", "gamma"])
    site.install("beta", requires=["delta; extra == 'x'"], extras=["x"])
    site.install("gamma", requires=["beta[x]"])
    site.install("delta")
    assert "delta==1.0" in pins(capture({"alpha", "beta"}))


def test_markers_are_evaluated_for_this_interpreter(site: Site) -> None:
    site.install(
        "alpha",
        requires=[
            "windows-only; sys_platform == 'win32'",
            "backport; python_version < '3.0'",
            "beta; python_version >= '3.0' and sys_platform != 'win32'",
        ],
    )
    site.install("beta")
    assert pins(capture({"alpha"})) == {"alpha==1.0", "beta==1.0"}


def test_cycles_end(site: Site) -> None:
    site.install("alpha", requires=["beta[x]"], extras=["y"])
    site.install("beta", requires=["alpha[y]"], extras=["x"])
    assert pins(capture({"alpha"})) == {"alpha==1.0", "beta==1.0"}


def test_parts_of_a_namespace_package_are_told_apart(site: Site) -> None:
    site.install("cloud-storage", files=["vendor/cloud/storage/__init__.py"])
    site.install("cloud-query", files=["vendor/cloud/query.py"])
    site.install("vendor-auth", files=["vendor/auth/__init__.py"])

    assert pins(capture({"vendor.cloud.storage.client"})) == {"cloud-storage==1.0"}
    assert pins(capture({"vendor", "vendor.cloud", "vendor.cloud.query.Client"})) == {
        "cloud-query==1.0"
    }
    with pytest.raises(EnvironmentNotCapturable, match=r"vendor\.cloud\.vision .*not installed"):
        capture({"vendor.cloud.vision"})


def test_checkout_beside_an_installed_part_of_its_namespace(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    (project / "vendor" / "models").mkdir(parents=True)
    (project / "vendor" / "models" / "__init__.py").touch()
    monkeypatch.syspath_prepend(project)
    site.install("vendor-core", files=["vendor/core/__init__.py"])
    site.install("vendor-models", files=["__editable__.pth"], direct_url=editable(project))
    __import__("vendor.models")
    try:
        with pytest.raises(EnvironmentNotCapturable, match="vendor-models is installed from a dir"):
            capture({"vendor.models"})
    finally:
        del sys.modules["vendor.models"], sys.modules["vendor"]


def test_extension_modules_at_the_top_level_belong_to_their_distribution(site: Site) -> None:
    site.install("fast", files=["_fast.cpython-311-x86_64-linux-gnu.so"])
    assert pins(capture({"_fast"})) == {"fast==1.0"}


def test_several_owners_of_one_module_are_all_taken(site: Site) -> None:
    site.install("legacy-a", files=["legacy/__init__.py", "legacy/a.py"])
    site.install("legacy-b", files=["legacy/__init__.py", "legacy/b.py"])
    assert pins(capture({"legacy.b"})) == {"legacy-b==1.0"}
    assert pins(capture({"legacy"})) == {"legacy-a==1.0", "legacy-b==1.0"}


def test_all_problems_are_told_at_once(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "features.py").touch()
    monkeypatch.syspath_prepend(scripts)
    site.install("alpha", requires=["absent>=2"])
    site.install(
        "from-git",
        direct_url={
            "url": "https://me:secret@git.example/x.git",
            "vcs_info": {"vcs": "git", "commit_id": "c0ffee"},
        },
    )
    site.install("a-file", direct_url={"url": "file:///w/a.whl", "archive_info": {}})

    with pytest.raises(EnvironmentNotCapturable) as caught:
        capture(
            {"alpha", "features.lags", "from_git", "a_file", "never_installed.x"},
            requirements=["alpha>=2", "beta", "alpha[nope]"],
        )

    message = str(caught.value)
    assert "absent is required by alpha but not installed here: pip install 'absent>=2'" in message
    assert "pass modules=[features]" in message
    assert "git+https://git.example/x.git@c0ffee" in message
    assert "no files with hashes" in message
    assert "secret" not in message
    assert "file:///w/a.whl" in message
    assert "never_installed.x" in message
    assert "alpha>=2 is asked for, but 1.0 is installed here" in message
    assert "beta is asked for, but not installed" in message
    assert "has no extra nope" in message
    assert message.count("\n  - ") == 8


def test_checkout_is_refused_and_then_covered_by_modules(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    (project / "src" / "churn").mkdir(parents=True)
    (project / "src" / "churn" / "__init__.py").touch()
    (project / "src" / "churn_tools.py").touch()
    monkeypatch.syspath_prepend(project / "src")
    site.install(
        "churn", "0.1.dev3", files=["churn.pth"], requires=["beta"], direct_url=editable(project)
    )
    site.install("beta")

    with pytest.raises(EnvironmentNotCapturable, match=re.escape("pass modules=[churn] ")):
        capture({"churn.features", "beta"})

    environment = capture({"churn.features"}, custom={"churn"})
    assert pins(environment) == {"churn==0.1.dev3", "beta==1.0"}
    (own,) = [d for d in environment.distributions if d.name == "churn"]
    assert own.source == project.as_uri()

    # Only what is named travels: another module of the same checkout is still missing.
    with pytest.raises(EnvironmentNotCapturable, match=re.escape("modules=[churn_tools]")):
        capture({"churn.features", "churn_tools"}, custom={"churn"})


def test_checkout_required_by_an_installed_distribution_is_named(
    site: Site, tmp_path: Path
) -> None:
    site.install("alpha", requires=["helpers"])
    site.install("helpers", direct_url={"url": tmp_path.as_uri(), "dir_info": {}})
    with pytest.raises(EnvironmentNotCapturable, match=re.escape("modules=[helpers]")):
        capture({"alpha"})
    assert pins(capture({"alpha"}, custom={"helpers"})) == {"alpha==1.0", "helpers==1.0"}


def test_development_install_of_the_old_kind_is_a_checkout(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    info = project / "oldstyle.egg-info"
    info.mkdir(parents=True)
    (info / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: oldstyle\nVersion: 0.1\n")
    (info / "top_level.txt").write_text("oldstyle\n")
    (project / "oldstyle.py").touch()
    monkeypatch.syspath_prepend(project)
    with pytest.raises(EnvironmentNotCapturable, match=re.escape(project.as_uri())):
        capture({"oldstyle"})
    assert pins(capture({"oldstyle"}, custom={"oldstyle"})) == {"oldstyle==0.1"}


def test_folder_of_the_machine_that_built_a_conda_package_is_no_origin(site: Site) -> None:
    site.install(
        "alpha", installer="conda", direct_url={"url": "file:///croot/alpha", "dir_info": {}}
    )
    assert pins(capture({"alpha"})) == {"alpha==1.0"}


def test_unreadable_metadata_is_a_problem(site: Site) -> None:
    site.install("alpha", requires=["beta (dev)"])
    with pytest.raises(EnvironmentNotCapturable, match="metadata of alpha cannot be read"):
        capture({"alpha"})


def test_requirements_are_roots_of_their_own(site: Site) -> None:
    site.install("alpha", "1.5rc1", requires=["beta"])
    site.install("beta")
    environment = capture(
        set(), requirements=["Alpha>=1.5rc1,<2", "absent; sys_platform == 'win32'"]
    )
    assert pins(environment) == {"alpha==1.5rc1", "beta==1.0"}
    assert [d.name for d in environment.distributions if d.direct] == ["alpha"]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "--index-url https://evil.example/simple",
        "-r other.txt",
        "-e .",
        "./folder",
        "numpy==1\n--extra-index-url https://evil.example",
        "numpy\r\n-e .",
        "numpy==1\n",
        "numpy==1 --hash=sha256:00",
        "numpy @ https://evil.example/numpy.whl",
        "numpy @ git+https://evil.example/numpy",
        "numpy @ file:///etc/passwd",
        "git+https://evil.example/numpy",
        "numpy; import os",
        "numpy\0",
        "$(id)",
    ],
)
def test_hostile_requirements_are_refused(site: Site, line: str) -> None:
    with pytest.raises(InvalidInput):
        capture(set(), requirements=[line])


def test_one_string_is_no_list_of_requirements(site: Site) -> None:
    with pytest.raises(InvalidInput, match="list of strings"):
        capture(set(), requirements="numpy")


def test_install_in_the_same_process_is_seen(site: Site) -> None:
    with pytest.raises(EnvironmentNotCapturable):
        capture({"alpha"})
    site.install("alpha")
    assert pins(capture({"alpha"})) == {"alpha==1.0"}


def test_digest_is_of_what_a_build_needs() -> None:
    alpha = Distribution(name="alpha", version="1.0")
    beta = Distribution(name="beta", version="1.0")
    first = environment_digest("3.11.7", "linux_x86_64", [alpha, beta])

    by_value = Distribution(name="own", version="0.1", source="file:///x")
    direct = Distribution(name="alpha", version="1.0", direct=True)
    assert first == environment_digest("3.11.9", "linux_x86_64", [beta, by_value, direct])

    newer = Distribution(name="alpha", version="1.1")
    others = {
        environment_digest("3.12.1", "linux_x86_64", [alpha, beta]),
        environment_digest("3.11.7", "linux_aarch64", [alpha, beta]),
        environment_digest("3.11.7", "linux_x86_64", [newer, beta]),
        environment_digest("3.11.7", "linux_x86_64", [alpha]),
    }
    assert len(others | {first}) == 5


def test_this_test_suite_can_be_captured() -> None:
    environment = capture({"sklearn.linear_model._base", "pandas.core.frame"})
    names = {d.name for d in environment.distributions}
    assert {"scikit-learn", "scipy", "numpy", "joblib", "pandas", "python-dateutil"} <= names
    assert "pytest" not in names
