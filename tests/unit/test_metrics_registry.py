"""Metric types of other packages, as installed wheels."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from textwrap import dedent

import pytest

from model_envelope import metrics
from model_envelope.errors import InvalidInput

LIFT = """
    from dataclasses import dataclass
    from typing import ClassVar

    from model_envelope.metrics import MetricType


    @dataclass(frozen=True)
    class Lift(MetricType):
        type: ClassVar[str] = "acme.lift"
        keys: ClassVar[tuple[str, ...]] = ("decile",)
        gains: tuple[float, ...]

        def scalars(self):
            return {"top": self.gains[0]}

        def rows(self):
            return [{"decile": i, "gain": gain} for i, gain in enumerate(self.gains, start=1)]

        @classmethod
        def spec(cls, n_models):
            return {
                "data": {"name": "data"},
                "mark": "line",
                "encoding": {
                    "x": {"field": "decile", "type": "ordinal"},
                    "y": {"field": "gain", "type": "quantitative"},
                },
            }
"""

ENTRY_POINTS = """
    [model_envelope.metric_types]
    acme.lift = acme_metrics:Lift
    acme.broken = acme_metrics.broken:Broken
    acme.other = acme_metrics:Lift
    roc_curve = acme_metrics:Lift
"""

ROUND_TRIP = """
    import json
    from model_envelope import metrics
    from acme_metrics import Lift

    points = metrics.to_points("lift", Lift((3.0, 2.0)))
    found = metrics.from_point(points[0])
    at = points[0].at

    def read(type_name):
        point = metrics.MetricPoint(name="m", at=at, type=type_name, body="{}")
        return repr(metrics.from_point(point))

    print(json.dumps({
        "names": [point.name for point in points],
        "equal": found == Lift((3.0, 2.0)),
        "chart": found.plot().to_vega_lite()["datasets"],
        "deltas": found.compare(Lift((2.5, 2.0))).rows[0],
        "broken": read("acme.broken"),
        "misnamed": read("acme.other"),
        "built_in": metrics.metric_types()["roc_curve"].__module__,
        "known": [name for name in metrics.metric_types() if name.startswith("acme.")],
    }))
"""

READ_ONLY = """
    from datetime import UTC, datetime
    from model_envelope import metrics

    point = metrics.MetricPoint(
        name="m", at=datetime.now(UTC), type="acme.lift", body='{"gains": [3.0]}'
    )
    print(repr(metrics.from_point(point)))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a wheel with metric types is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = folder / "acme_metrics-1.0-py3-none-any.whl"
    files = {
        "acme_metrics/__init__.py": dedent(LIFT),
        "acme_metrics/broken.py": "import a_package_that_is_not_there\n",
        "acme_metrics-1.0.dist-info/METADATA": (
            "Metadata-Version: 2.1\nName: acme-metrics\nVersion: 1.0\n"
        ),
        "acme_metrics-1.0.dist-info/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
        "acme_metrics-1.0.dist-info/entry_points.txt": dedent(ENTRY_POINTS),
        "acme_metrics-1.0.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    target = folder / "site"
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    install = [uv, "pip", "install", "--offline", "--no-deps", "--no-cache", "--quiet"]
    command = [*install, "--python", sys.executable, "--target", str(target), str(wheel)]
    subprocess.run(command, check=True)
    return target


def run(code: str, *, site: Path | None) -> str:
    path = {} if site is None else {"PYTHONPATH": str(site)}
    command = [sys.executable, "-c", dedent(code)]
    return subprocess.run(command, env=path, capture_output=True, text=True, check=True).stdout


def test_a_type_of_an_installed_package_works_like_a_built_in_one(site: Path) -> None:
    found = json.loads(run(ROUND_TRIP, site=site))
    assert found["names"] == ["lift", "lift.top"]
    assert found["equal"]
    assert found["chart"]["data"][0] == {"decile": 1, "gain": 3.0, "model": "acme.lift"}
    assert found["deltas"]["gain_delta"] == 0.5
    assert found["known"] == ["acme.lift"]


def test_an_entry_point_that_fails_says_why_and_harms_nothing(site: Path) -> None:
    found = json.loads(run(ROUND_TRIP, site=site))
    assert "acme_metrics.broken:Broken fails: ModuleNotFoundError" in found["broken"]
    assert "is no MetricType with the type 'acme.other'" in found["misnamed"]


def test_a_package_cannot_take_the_place_of_a_built_in_type(site: Path) -> None:
    assert json.loads(run(ROUND_TRIP, site=site))["built_in"] == "model_envelope.metrics.curves"


def test_the_package_is_imported_when_its_type_is_read(site: Path) -> None:
    assert run(READ_ONLY, site=site).strip() == "Lift(gains=(3.0,))"


def test_without_the_package_the_json_is_still_there() -> None:
    found = run(READ_ONLY, site=None)
    assert found.startswith("UnknownMetric('acme.lift': no installed package")


def test_a_type_can_be_registered_in_a_process() -> None:
    @metrics.register
    class Half(metrics.Vector):
        type = "test.half"

    (point, *_) = metrics.to_points("half", Half([1, 2]))
    assert point.type == "test.half"
    assert metrics.from_point(point) == Half([1, 2])


def test_a_built_in_type_cannot_be_registered_again() -> None:
    class Mine(metrics.RocCurve):
        pass

    with pytest.raises(InvalidInput, match="'roc_curve' is a built-in metric type"):
        metrics.register(Mine)
