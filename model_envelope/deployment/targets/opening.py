"""From the name of a target to the target, by entry point: third parties add their own."""

from __future__ import annotations

from importlib.metadata import entry_points

from model_envelope.deployment.targets.protocol import Platform, Target
from model_envelope.errors import InvalidInput, MissingDependency

GROUP = "model_envelope.targets"


def target_kinds() -> tuple[str, ...]:
    """The kinds of targets that installed packages bring, by name."""
    return tuple(sorted(entry_points(group=GROUP).names))


def open_target(kind: str, platform: Platform) -> Target:
    """The target of a kind, on a platform.

    Args:
        kind: `process`, `docker`, or another that an installed package has as an entry
            point of the group `model_envelope.targets`: a callable that takes a `Platform`.
        platform: what it works with.

    Raises:
        InvalidInput: there is no such kind; names those that there are.
        MissingDependency: its package needs another that is not installed.
    """
    points = {point.name: point for point in entry_points(group=GROUP)}
    if kind not in points:
        raise InvalidInput(
            f"There is no target {kind!r}; there are {', '.join(target_kinds())}. Others come "
            f"with packages that have an entry point in the group {GROUP}."
        )
    try:
        make = points[kind].load()
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"Target {kind!r} needs {error.name}: pip install 'model-envelope[{kind}]'."
        ) from error
    target: Target = make(platform)
    return target
