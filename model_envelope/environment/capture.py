"""The environment of a model, captured from what is installed: no subprocess, no network."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import sysconfig
from collections.abc import Collection, Iterable, Sequence

from model_envelope.envelope import Distribution, Environment
from model_envelope.environment.closure import Closure
from model_envelope.environment.installed import installation
from model_envelope.environment.requirements import read_requirements
from model_envelope.errors import EnvironmentNotBuildable, EnvironmentNotCapturable

_ALWAYS = ("cloudpickle", "pyarrow")


def capture(
    reached: Collection[str],
    *,
    custom: Collection[str] = (),
    requirements: Sequence[str] | None = None,
) -> Environment:
    """Every distribution that a model needs here, with its version.

    These are the distributions of the modules it reaches and those in `requirements`, and
    all that they require in this interpreter, markers and extras evaluated.

    Args:
        reached: dotted names of modules, from the pickle and from `imports_of`.
        custom: modules that travel with the model by value. Where their distribution is
            installed from a checkout, it is recorded with its source, and what it requires
            is taken.
        requirements: PEP 508 requirements beyond what is reached, e.g. for modules that are
            imported by name at run time.

    Raises:
        InvalidInput: a requirement is malformed.
        EnvironmentNotCapturable: a module or a distribution could not be installed
            elsewhere; the message lists all of them.
    """
    named = read_requirements(requirements or ())
    closure = Closure(installation(), custom)
    for module in sorted(reached):
        closure.add_module(module)
    for requirement in named:
        closure.add_requirement(requirement)
    direct = frozenset(closure.names)
    for module in _ALWAYS:
        closure.add_module(module)
    closure.close()
    if closure.problems:
        lines = ("The environment cannot be captured:", *closure.problems)
        raise EnvironmentNotCapturable("\n  - ".join(lines))
    return describe(
        Distribution(
            name=package.name,
            version=package.version,
            direct=package.name in direct,
            source=package.origin.source if package.origin is not None else None,
        )
        for package in closure.packages
    )


def describe(distributions: Iterable[Distribution]) -> Environment:
    """The environment of this interpreter with these distributions."""
    ordered = tuple(sorted(distributions, key=lambda distribution: distribution.name))
    python, here = platform.python_version(), this_platform()
    digest = environment_digest(python, here, ordered)
    return Environment(python=python, platform=here, distributions=ordered, digest=digest)


def this_platform() -> str:
    """The wheel platform of this interpreter, e.g. `linux_x86_64`."""
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")


def environment_digest(
    python: str, wheel_platform: str, distributions: Iterable[Distribution]
) -> str:
    """SHA-256, in hex, of what is installed: equal for environments that can share a build.

    The patch level of Python does not count, nor do distributions that travel by value.
    """
    pins = sorted(f"{d.name}=={d.version}" for d in distributions if d.source is None)
    content = [minor_version(python), wheel_platform, pins]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def minor_version(python: str) -> str:
    """`3.11` of `3.11.7`."""
    return ".".join(python.split(".")[:2])


def check_platform(environment: Environment) -> None:
    """See that an environment can be installed on this machine.

    Raises:
        EnvironmentNotBuildable: it is of another operating system or processor.
    """
    here, wanted = (_family(name) for name in (this_platform(), environment.platform))
    if here != wanted:
        raise EnvironmentNotBuildable(
            f"The model was saved on {environment.platform}, and this machine is "
            f"{this_platform()}: its distributions differ. Save the model on the platform "
            "where it is to run, for example in a container."
        )


def _family(wheel_platform: str) -> str:
    # macosx_14_0_arm64 runs what macosx_15_0_arm64 runs, near enough.
    return re.sub(r"_\d+_\d+_", "_", wheel_platform)
