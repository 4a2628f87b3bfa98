"""Run the demo: `make demo`, or `PYTHONPATH=dags python -m demo [folder]`."""

from __future__ import annotations

import sys
from pathlib import Path

from demo.run import run

sys.exit(run(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-home").resolve()))
