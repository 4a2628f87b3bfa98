"""What a service needs beside its model, said in two places."""

from __future__ import annotations

from configparser import ConfigParser
from dataclasses import replace
from pathlib import Path

import pytest

from model_envelope.envelope import Distribution
from model_envelope.environment.capture import describe
from model_envelope.environment.service import SERVE, locked_environment, service_key
from model_envelope.errors import EnvironmentNotBuildable

HASHES = " \\\n    --hash=sha256:" + "0" * 64 + "\n"


def test_the_extra_names_what_services_get() -> None:
    setup = ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg")
    lines = setup["options.extras_require"]["serve"].split("\n")
    assert tuple(line for line in lines if line) == SERVE


def test_a_lock_tells_the_environment_it_was_made_of() -> None:
    own = Distribution(name="six", version="1.17", direct=True)
    carried = Distribution(name="travelling", version="0.1", source="file:///x")
    environment = describe([own, carried])
    lock = f"six==1.17.0{HASHES}uvicorn==1.1{HASHES}"
    extended = locked_environment(environment, lock)
    added = Distribution(name="uvicorn", version="1.1")
    assert extended.distributions == (own, carried, added)
    assert extended == replace(describe([own, carried, added]), python=environment.python)
    assert len({extended.digest, environment.digest, service_key(environment)}) == 3


def test_what_is_no_lock_is_refused() -> None:
    with pytest.raises(EnvironmentNotBuildable, match="something other than versions"):
        locked_environment(describe([]), "--index-url https://evil.example\n")


def test_a_models_own_copy_of_what_a_service_needs_is_refused() -> None:
    ours = Distribution(name="Uvicorn", version="1.0", source="git+https://x/uvicorn@1")
    with pytest.raises(EnvironmentNotBuildable, match=r"uvicorn.*brings its own.*git\+https"):
        locked_environment(describe([ours]), f"uvicorn==1.1{HASHES}")
