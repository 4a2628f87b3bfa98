"""Where the releases on this machine log what they predicted, and for how long that stays."""

from __future__ import annotations

import logging
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from model_envelope.errors import DeploymentError
from model_envelope.store.store import Store

_ENDED = ("failed", "superseded", "retired")
_log = logging.getLogger(__name__)


def log_folder(state: Path, service: str, release: str) -> Path:
    """The log of one release, below a platform's `state`."""
    return state / "predictions" / service / release


def prune(store: Store, state: Path, *, keep: timedelta, dry_run: bool = False) -> tuple[str, ...]:
    """Remove the logs of a store's releases that ended a while ago.

    A release that was started and is unknown to the store is another store's, and stays.

    Args:
        store: whose ledger says which releases have ended, and when.
        state: the folder that services keep on this machine.
        keep: for how long after its release a log stays.
        dry_run: remove nothing, and tell what would be.

    Returns:
        `<service>/<release>` of what was removed, or would be.

    Raises:
        StoreUnavailable: the ledger cannot be read.
    """
    oldest = datetime.now(UTC) - keep
    return tuple(
        f"{folder.parent.name}/{folder.name}"
        for folder in sorted(state.glob("predictions/*/*"))
        if _ended_before(store, folder.name, oldest) and (dry_run or _remove(folder))
    )


def _ended_before(store: Store, release: str, moment: datetime) -> bool:
    try:
        found = store.deployment(release)
    except DeploymentError:
        return False
    ended = found.finished_at if found.state in _ENDED else None
    return ended is not None and ended < moment


def _remove(folder: Path) -> bool:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        # Those of containers may belong to the user that these run as.
        _log.warning("Logged predictions stay, remove them as root: %s", error)
        return False
    return True
