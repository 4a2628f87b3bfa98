"""What a packed model is seen to reach."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from model_envelope import packing


def test_a_class_reaches_the_packages_of_its_bases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `lightgbm.LGBMRegressor`: its base is scikit-learn's where that is installed."""
    (tmp_path / "a_library.py").write_text("class Estimator:\n    pass\n")
    (tmp_path / "a_framework.py").write_text(
        "try:\n"
        "    from a_library import Estimator\n"
        "except ImportError:\n"
        "    Estimator = object\n"
        "class Regressor(Estimator):\n"
        "    def predict(self, frame):\n"
        "        return frame['a']\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    model = importlib.import_module("a_framework").Regressor()
    packed = packing.pack({"predict": model.predict}, tmp_path / "model.bin")
    assert {"a_framework", "a_library"} <= packed.reached
