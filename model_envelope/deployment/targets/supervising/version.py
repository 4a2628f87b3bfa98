"""Which code a supervisor runs, so that one from before an upgrade is known."""

from __future__ import annotations

import hashlib
from pathlib import Path

_FOLDER = Path(__file__).parent


def code_on_disk() -> str:
    """A digest of the code that a supervisor would run if it were started now."""
    total = hashlib.sha256()
    for file in sorted(_FOLDER.glob("*.py")):
        total.update(file.read_bytes())
    return total.hexdigest()[:16]


CODE = code_on_disk()
"""What this process runs."""
