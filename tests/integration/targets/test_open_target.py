"""Targets of other packages, found by their entry points."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_envelope.deployment.targets.opening import open_target
from model_envelope.deployment.targets.protocol import Platform
from model_envelope.errors import InvalidInput, MissingDependency


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with two targets, of which one needs what is not there."""
    (tmp_path / "acme_targets.py").write_text(
        "class Moon:\n    kind = 'moon'\n    def __init__(self, platform):\n"
        "        self.platform = platform\n"
    )
    (tmp_path / "acme_mars.py").write_text("import acme_rocket\n")
    about = tmp_path / "acme_targets-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-targets\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[model_envelope.targets]\nmoon = acme_targets:Moon\nmars = acme_mars:Mars\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("installed")
def test_a_package_brings_a_target(platform: Platform) -> None:
    target = open_target("moon", platform)
    assert target.kind == "moon"
    assert vars(target) == {"platform": platform}


@pytest.mark.usefixtures("installed")
def test_what_a_target_needs_is_named(platform: Platform) -> None:
    with pytest.raises(MissingDependency, match="acme_rocket"):
        open_target("mars", platform)


def test_those_that_there_are_are_named(platform: Platform) -> None:
    with pytest.raises(InvalidInput, match=r"docker.* process"):
        open_target("moon", platform)
