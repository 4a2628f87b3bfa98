"""Removing what targets have left of releases that nobody needs."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol, runtime_checkable

from model_envelope.deployment.placing import Places
from model_envelope.deployment.targets.protocol import Platform
from model_envelope.errors import InvalidInput, MissingDependency, TargetFailed

_LEDGER = 1000


@runtime_checkable
class Prunable(Protocol):
    """A target that keeps things beyond the releases that made them."""

    def prune(self, *, keep: timedelta, dry_run: bool) -> tuple[str, ...]:
        """Remove what no service needs, and none did for the time `keep`; names it.

        Raises:
            TargetFailed: the place does not answer.
        """
        ...


def prune(
    platform: Platform, *, keep: timedelta, dry_run: bool = False
) -> dict[str, tuple[str, ...] | str]:
    """Remove what the targets of a store's services have left over, by kind of target.

    Returns:
        The names of what was removed, or would be; a text where a target does not answer.

    Raises:
        StoreUnavailable: the services cannot be read.
    """
    store, places = platform.store, Places(platform)
    targets = [service.target for service in store.services()]
    targets += [deployment.target for deployment in store.deployments(limit=_LEDGER)]
    found: dict[str, tuple[str, ...] | str] = {}
    for kind in sorted({str(target["kind"]) for target in targets if "kind" in target}):
        try:
            target = places.target(kind)
            if isinstance(target, Prunable):
                found[kind] = target.prune(keep=keep, dry_run=dry_run)
        except (InvalidInput, MissingDependency, TargetFailed) as error:
            found[kind] = str(error)
    return found
