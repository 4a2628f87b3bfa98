"""Models that behave, and that do not. Made in functions, so that they travel by value."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pandas as pd

Model = Callable[[pd.DataFrame], Any]


def times(factor: float) -> Model:
    """Multiplies its column `a`."""

    def model(frame: pd.DataFrame) -> pd.Series:
        return frame["a"] * factor

    return model


def sleeping() -> Model:
    """Doubles `a`, and takes as many seconds as it says; prints when it begins."""

    def model(frame: pd.DataFrame) -> pd.Series:
        print("sleeping for", float(frame["a"].max()), flush=True)
        time.sleep(float(frame["a"].max()))
        return frame["a"] * 2

    return model


def mortal() -> Model:
    """Doubles `a` and prints it; 666 is its end."""

    def model(frame: pd.DataFrame) -> pd.Series:
        print("asked for", list(frame["a"]), flush=True)
        if (frame["a"] == 666).any():
            os._exit(7)
        return frame["a"] * 2

    return model


def telling() -> Model:
    """The variables of its process."""

    def model(frame: pd.DataFrame) -> pd.DataFrame:
        seen = " ".join(f"{name}={value}" for name, value in os.environ.items())
        return pd.DataFrame({"seen": [seen] * len(frame)})

    return model


def unloadable(fault: str) -> Any:
    """Loads where it is saved, and not where it is served: it raises, exits or hangs."""

    class Unloadable:
        def __init__(self) -> None:
            self.fault = fault

        def __setstate__(self, state: dict[str, Any]) -> None:
            self.__dict__.update(state)
            if "PYTEST_CURRENT_TEST" in os.environ:
                return
            if self.fault == "raises":
                raise RuntimeError("the weights are not what they were")
            if self.fault == "exits":
                print("out of here", flush=True)
                os._exit(3)
            time.sleep(3600)

        def predict(self, frame: pd.DataFrame) -> pd.Series:
            return frame["a"] * 2

    return Unloadable()


def hungry() -> Model:
    """Gives `a`, and needs as many MiB meanwhile."""

    def model(frame: pd.DataFrame) -> pd.Series:
        import numpy as np

        used = np.zeros(int(frame["a"].max()) << 20, dtype="uint8")
        return frame["a"] + float(used[0])

    return model


def leaking() -> Model:
    """Gives `a`, and keeps as many MiB for ever."""

    class Leaking:
        def __init__(self) -> None:
            self.kept: list[bytes] = []

        def __getstate__(self) -> dict[str, Any]:
            return {"kept": []}

        def predict(self, frame: pd.DataFrame) -> pd.Series:
            self.kept.append(bytes(int(frame["a"].max()) << 20))
            return frame["a"]

    return Leaking().predict
