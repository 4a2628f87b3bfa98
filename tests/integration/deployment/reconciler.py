"""A process that reconciles: `reconciler.py SERVICE LEASE FAULT`; prints its outcome.

FAULT is what befalls it, and where: `kill@start:passed` when the step `start` was written to
the ledger as passed; `kill@after:go_live` when that method of the store or the target has
come back; `stop@…` stops it, as by SIGSTOP, instead of killing it.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from model_envelope.client.client import Client
from model_envelope.deployment.reconciling import reconcile
from model_envelope.deployment.targets.process import ProcessTarget
from model_envelope.store.store import Store

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def main(service: str, lease: str, fault: str) -> None:
    what, _, where = fault.partition("@")

    def befall() -> None:
        os.kill(os.getpid(), SIGNALS[what])

    def tell(_service: str, step: str, state: str) -> None:
        if where == f"{step}:{state}":
            befall()

    if where.startswith("after:"):
        befall_after(where.removeprefix("after:"), befall)
    client = Client()
    (outcome,) = reconcile(
        client.platform, services=[service], lease=timedelta(seconds=float(lease)), tell=tell
    )
    print(outcome.action)


def befall_after(method: str, befall: Callable[[], None]) -> None:
    owner: Any = ProcessTarget if hasattr(ProcessTarget, method) else Store
    original = getattr(owner, method)

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        found = original(*args, **kwargs)
        befall()
        return found

    setattr(owner, method, wrapped)


if __name__ == "__main__":
    main(*sys.argv[1:])
