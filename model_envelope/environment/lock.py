"""The lock of an environment: every distribution with the hashes of its files."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from model_envelope import config
from model_envelope.envelope import Distribution, Environment
from model_envelope.environment.capture import check_platform
from model_envelope.environment.uv import run_uv, spoken
from model_envelope.errors import EnvironmentNotBuildable

_TIMEOUT = 600
_PIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.+!_-]*")
_LOCKED = re.compile(
    rf"(?P<pin>{_PIN.pattern})(?: \\\n    --hash=sha(?:256:\w{{64}}|384:\w{{96}}|512:\w{{128}}))+\n"
)
_UNHASHED = re.compile(r"^(\S+==\S+)$", re.MULTILINE)
_REASON = re.compile(r"Because (.+?)(?: and you require|, we can conclude)")


def lock(environment: Environment) -> str:
    """Resolve an environment: requirements with hashes, as pip and uv read them.

    Distributions are looked for where uv is configured to look: by `UV_INDEX` and
    `UV_DEFAULT_INDEX`, or in the user's or the system's `uv.toml`. The set is taken as it
    was captured: what it requires is not resolved again.

    Raises:
        MissingDependency: uv is not installed.
        EnvironmentNotBuildable: a distribution cannot be found; names all of them.
    """
    check_platform(environment)
    pins = pins_of(environment)
    missing: dict[str, str] = {}
    while True:
        text, complaint = _compile(environment, pins.values())
        # uv stops at the first that it cannot find; a person wants to know all of them.
        culprit = next((name for name, pin in pins.items() if mentions(complaint, pin)), None)
        if culprit is None:
            break
        reason = _REASON.search(complaint)
        missing[pins.pop(culprit)] = reason[1] if reason else complaint
    if complaint:
        raise EnvironmentNotBuildable(f"The environment cannot be locked; uv says: {complaint}")
    missing |= dict.fromkeys(_UNHASHED.findall(text), "the index gives no hashes of its files")
    if missing:
        raise EnvironmentNotBuildable(_missing_message(missing))
    check_lock(text, environment)
    return text


def pins_of(environment: Environment) -> dict[str, str]:
    """`name==version` of what is to be installed, by name.

    Raises:
        EnvironmentNotBuildable: a name or a version is none.
    """
    pins: dict[str, str] = {}
    for distribution in environment.distributions:
        if distribution.source is None:
            pin = _pin(distribution)
            pins[canonicalize_name(pin.name)] = str(pin)
    return pins


def check_lock(text: str, environment: Environment) -> None:
    """See that a lock has the distributions of an environment, with hashes, and nothing else.

    Raises:
        EnvironmentNotBuildable: it differs, or has options or URLs.
    """
    locked = locked_versions(text)
    wanted = {name: Requirement(pin).specifier for name, pin in pins_of(environment).items()}
    if locked.keys() != wanted.keys() or not all(
        wanted[name].contains(version, prereleases=True) for name, version in locked.items()
    ):
        raise EnvironmentNotBuildable(
            f"The lock is not of environment {environment.digest[:12]}: lock it again."
        )


def locked_versions(text: str) -> dict[str, str]:
    """The versions in a lock, by name.

    Raises:
        EnvironmentNotBuildable: it has something else in it, such as options or URLs.
    """
    entries = list(_LOCKED.finditer(text))
    if "".join(entry[0] for entry in entries) != text:
        raise EnvironmentNotBuildable(
            "The lock of the environment holds something other than versions with hashes: it "
            "is not used. Lock the environment again."
        )
    found = [Requirement(entry["pin"]) for entry in entries]
    return {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in found}


def _pin(distribution: Distribution) -> Requirement:
    text = f"{distribution.name}=={distribution.version}"
    try:
        if _PIN.fullmatch(text):
            return Requirement(text)
    except InvalidRequirement:
        pass
    raise EnvironmentNotBuildable(
        f"{text!r:.200} cannot be installed: it is no released version of a distribution."
    )


def _compile(environment: Environment, pins: Iterable[str]) -> tuple[str, str]:
    folder = config.cache()
    folder.mkdir(parents=True, exist_ok=True)
    arguments = ["pip", "compile", "-", "--no-deps", "--generate-hashes", "--no-header"]
    arguments += ["--no-annotate", f"--python={sys.executable}"]
    arguments += [f"--python-version={environment.python.rstrip('+')}"]
    done = run_uv(arguments, folder=folder, timeout=_TIMEOUT, text="\n".join(pins))
    return done.stdout, spoken(done.stderr) if done.returncode else ""


def mentions(complaint: str, pin: str) -> bool:
    """Whether uv's words name a pin, and not only a longer one that starts like it."""
    return re.search(rf"(?<![\w.-]){re.escape(pin)}(?![\w+!-]|\.\w)", complaint) is not None


def _missing_message(missing: dict[str, str]) -> str:
    lines = ["The environment cannot be locked:"]
    for pin, reason in missing.items():
        local = "; a local version like this comes from an index of its own" if "+" in pin else ""
        lines.append(f"{pin}: {reason}{local}")
    return "\n  - ".join(lines) + (
        "\nName an index that has them, with hashes, to uv: by UV_INDEX=https://… or in "
        "~/.config/uv/uv.toml (uv does not read pip's configuration). Or save the model with "
        "published versions."
    )
