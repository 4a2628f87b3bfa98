"""What a container runs: the image's plan, completed by what this release was told."""

from __future__ import annotations

import json
import os
import secrets
import sys
from pathlib import Path

_HERE = Path(__file__).parent
_PLAN = Path("/tmp/plan.json")  # noqa: S108 - a container's own, in memory


def main() -> None:
    """Become the service."""
    plan = json.loads((_HERE / "plan.json").read_text())
    plan["control_token"] = secrets.token_urlsafe()
    plan |= json.loads(os.environ.pop("MODEL_ENVELOPE_RELEASE", "{}"))
    _PLAN.unlink(missing_ok=True)
    with os.fdopen(os.open(_PLAN, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(plan, file)
    os.environ["PYTHONPATH"] = str(_HERE / "service.zip")
    service = ["-m", "model_envelope.serving", str(_PLAN), "--host", "0.0.0.0", "--port", "8080"]  # noqa: S104
    os.execv(sys.executable, [sys.executable, *service])  # noqa: S606


if __name__ == "__main__":
    main()
