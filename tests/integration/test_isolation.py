"""Envelopes in their own environments, built by uv and run by their own interpreters."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import model_envelope as me
from model_envelope.envelope import Distribution
from model_envelope.errors import (
    EnvironmentNotBuildable,
    MissingDependency,
    PredictionFailed,
    SchemaError,
)

FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [1, 2, 3]})
TAGS = {"canonical_name": "isolated"}

pytestmark = pytest.mark.usefixtures("shared_cache")


def test_a_model_runs_in_its_own_environment(tmp_path: Path) -> None:
    package = tmp_path / "travelling"
    package.mkdir()
    (package / "__init__.py").write_text("RATE = 3\n")
    sys.path.insert(0, str(tmp_path))
    try:
        import travelling  # type: ignore[import-not-found]

        fitted = LinearRegression().fit(FRAME, FRAME["a"])

        def model(frame: pd.DataFrame) -> pd.DataFrame:
            import sys

            return pd.DataFrame(
                {
                    "answer": fitted.predict(frame) * travelling.RATE,
                    "prefix": sys.prefix,
                    "foreign": "sqlalchemy" in sys.modules or "airflow" in sys.modules,
                }
            )

        envelope = me.save_model(model, tags=TAGS, api_input=FRAME, modules=[travelling])
        here = me.predict(envelope, FRAME)
    finally:
        sys.path.remove(str(tmp_path))
        del sys.modules["travelling"]
    there = me.predict(envelope, FRAME, isolated=True)
    np.testing.assert_array_equal(there["answer"], here["answer"])
    prefix = there["prefix"].iloc[0]
    assert prefix != sys.prefix
    assert envelope.environment.digest in prefix
    assert not there["foreign"].any()
    # The prefix differs, and that is what verification is for.
    found = envelope.verify()
    assert found.reproducible == "failed"
    assert "prefix: row 0" in found.record.reproducible_reason


def test_verification_is_recorded() -> None:
    def model(frame: pd.DataFrame) -> pd.Series:
        return frame["a"] * 2

    envelope = me.save_model(model, tags=TAGS, api_input=FRAME)
    assert envelope.reproducible == "unproved"
    assert envelope.verify().reproducible == "proved"
    assert me.get(envelope.id).reproducible == "proved"
    assert [c.kind for c in envelope.history()] == ["saved", "verified"]


def test_what_goes_wrong_in_there_is_told_here() -> None:
    def model(frame: pd.DataFrame) -> pd.Series:
        if (frame["a"] > 5).any():
            raise ZeroDivisionError("five is right out")
        if (frame["a"] < 0).any():
            import os

            os._exit(7)
        return frame["a"]

    envelope = me.save_model(model, tags=TAGS, api_input=FRAME)
    with pytest.raises(PredictionFailed, match="ZeroDivisionError: five is right out") as error:
        me.predict(envelope, FRAME * 2, isolated=True)
    assert "in model" in error.value.__notes__[0]
    with pytest.raises(PredictionFailed, match="ended with 7"):
        me.predict(envelope, FRAME.assign(a=-1.0), isolated=True)
    with pytest.raises(SchemaError, match="'a' is missing"):
        me.predict(envelope, FRAME[["b"]], isolated=True)


def test_an_environment_that_cannot_be_resolved_says_which_package() -> None:
    def model(frame: pd.DataFrame) -> pd.Series:
        return frame["a"]

    envelope = me.save_model(model, tags=TAGS, api_input=FRAME)
    manifest, pins = envelope.record.manifest, envelope.environment.distributions
    unknown = Distribution(name="no-such-package-of-ours", version="9.9")
    environment = replace(manifest.environment, distributions=(*pins, unknown), digest="0" * 64)
    envelope.record = envelope.record.evolve(manifest=replace(manifest, environment=environment))
    with pytest.raises(EnvironmentNotBuildable, match="no-such-package-of-ours"):
        me.predict(envelope, FRAME, isolated=True)


def test_without_uv_the_error_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MODEL_ENVELOPE_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setitem(sys.modules, "uv", None)
    envelope = me.save_model(lambda f: f["a"], tags=TAGS, api_input=FRAME)
    with pytest.raises(MissingDependency, match="pip install uv"):
        me.predict(envelope, FRAME, isolated=True)
