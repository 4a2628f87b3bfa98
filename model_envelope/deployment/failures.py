"""Which failures pass by themselves, and when to try again."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from model_envelope.errors import (
    ArtifactError,
    EnvironmentNotBuildable,
    StoreUnavailable,
    TargetFailed,
)

FIRST = timedelta(seconds=10)
LONGEST = timedelta(minutes=15)

# What uv, pip and docker say when an index, or the way to it, is down.
_UNREACHABLE = re.compile(
    r"error sending request|client error \(connect\)|failed to fetch|connection (refused|reset)"
    r"|timed out|did not end within|dns error|temporary failure in name resolution"
    r"|\b50[0234] (internal|bad gateway|service|gateway)|no space left on device",
    re.IGNORECASE,
)


def is_passing(error: BaseException) -> bool:
    """Whether an error says nothing of the envelope: the target, the store, an index, a disk."""
    if isinstance(error, (TargetFailed, StoreUnavailable, OSError)):
        return True
    if type(error) is ArtifactError:
        # Neither missing nor corrupted: the place where files are does not answer.
        return True
    return isinstance(error, EnvironmentNotBuildable) and bool(_UNREACHABLE.search(str(error)))


def after(failed_at: datetime, tries: int) -> datetime:
    """When to try again what failed then, and `tries` times before: later each time."""
    return failed_at + min(FIRST * (1 << min(tries, 16)), LONGEST)
