"""Metric types of somebody else, in a wheel of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

MODULE = """
from dataclasses import dataclass
from model_envelope.metrics import MetricType

@dataclass(frozen=True)
class Lift(MetricType):
    type = "acme.lift"
    keys = ("decile",)
    gains: tuple[float, ...]

    def rows(self):
        return [{"decile": i, "gain": gain} for i, gain in enumerate(self.gains)]

    @classmethod
    def spec(cls, n_models):
        return {
            "data": {"name": "data"},
            "mark": "line",
            "encoding": {
                "x": {"field": "decile", "type": "ordinal", "title": "<b>Decile</b>"},
                "y": {"field": "gain", "type": "quantitative"},
                "color": {"field": "model", "type": "nominal"},
            },
        }

@dataclass(frozen=True)
class Beacon(Lift):
    type = "acme.beacon"

    @classmethod
    def spec(cls, n_models):
        return {"data": {"url": "https://example.org/steal"}, "mark": "line"}
"""

INFO = "acme_charts-1.0.dist-info"
FILES = {
    "acme_charts.py": MODULE,
    f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: acme-charts\nVersion: 1.0\n",
    f"{INFO}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{INFO}/entry_points.txt": "[model_envelope.metric_types]\n"
    "acme.lift = acme_charts:Lift\nacme.beacon = acme_charts:Beacon\n",
    f"{INFO}/RECORD": "",
}


def installed(folder: Path) -> Path:
    """A folder for `PYTHONPATH` that has `acme.lift`, and `acme.beacon`, which reaches out."""
    wheel = folder / "acme_charts-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    site = folder / "site"
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    install = [uv, "pip", "install", "--offline", "--no-deps", "--no-cache", "--quiet"]
    target = ["--python", sys.executable, "--target", str(site), str(wheel)]
    subprocess.run([*install, *target], check=True)
    return site
