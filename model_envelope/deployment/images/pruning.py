"""Removing images that no service needs any more, and nothing that is not ours."""

from __future__ import annotations

import fcntl
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from model_envelope.deployment.engine import connected, failures
from model_envelope.deployment.images.building import DEPENDENCIES, ENVELOPE, OWNER, in_turn
from model_envelope.optional import require
from model_envelope.store.store import Store

_OURS = re.compile(r".+:[0-9a-z]{20}-[0-9a-f]{16}|model-envelope-dependencies:[0-9a-f]{32}")


def prune(store: Store, cache: Path, *, keep: timedelta, dry_run: bool = False) -> tuple[str, ...]:
    """Remove a store's images that were not needed for a while, and what they stood on.

    An image stays while a service runs its envelope, wants it or would go back to it, while
    it was built or deployed less than `keep` ago, while a container uses it, and while
    somebody has given it a name of their own. One of dependencies stays while any other
    stands on it, also another store's.

    Args:
        store: whose images.
        cache: of whoever builds on this machine.
        keep: for how long after their last deployment they stay.
        dry_run: remove nothing, and tell what would be.

    Returns:
        The names of what was removed, or would be.

    Raises:
        MissingDependency: the docker package is not installed.
        TargetFailed: the engine does not answer.
    """
    oldest = datetime.now(UTC) - keep
    needed = _needed(store)
    with (
        connected() as client,
        in_turn(cache, fcntl.LOCK_EX),
        failures("Images cannot be removed"),
    ):
        used = {container["ImageID"] for container in client.api.containers(all=True)}
        images = client.images.list(filters={"label": DEPENDENCIES})
        free = [
            image
            for image in images
            if image.id not in used and _created(image) < oldest and _has_no_other_name(image)
        ]
        gone = [
            image
            for image in free
            if image.labels.get(OWNER) == store.identity
            and image.labels[ENVELOPE] not in needed
            and not _deployed_since(store, image.labels[ENVELOPE], oldest)
            and (dry_run or _remove(client, image))
        ]
        left = [image for image in images if ENVELOPE in image.labels and image not in gone]
        stood_on = {image.labels[DEPENDENCIES] for image in left}
        gone += [
            image
            for image in free
            if ENVELOPE not in image.labels
            and image.labels[DEPENDENCIES] not in stood_on
            and (dry_run or _remove(client, image))
        ]
    return tuple(name for image in gone for name in image.tags or [image.short_id])


def _needed(store: Store) -> set[str]:
    """The envelopes that services run, want, would go back to, or are being deployed."""
    found: set[str | None] = {d.envelope_id for d in store.deployments() if d.state == "running"}
    for service in store.services():
        found |= {service.live_envelope, service.desired_envelope, service.previous_envelope}
    return {envelope for envelope in found if envelope is not None}


def _deployed_since(store: Store, envelope: str, moment: datetime) -> bool:
    last = store.deployments(envelope_id=envelope, limit=1)
    return bool(last) and (last[0].finished_at is None or last[0].finished_at > moment)


def _created(image: Any) -> datetime:
    return datetime.fromisoformat(image.attrs["Created"][:19] + "+00:00")


def _has_no_other_name(image: Any) -> bool:
    return all(_OURS.fullmatch(tag) for tag in image.tags)


def _remove(client: Any, image: Any) -> bool:
    """Remove an image; false where the engine has a reason not to."""
    docker = require("docker", "docker")
    try:
        for name in image.tags or [image.id]:
            client.images.remove(name)
    except docker.errors.ImageNotFound:
        return True
    except docker.errors.APIError as error:
        if error.status_code != 409:
            raise
        return False
    return True
