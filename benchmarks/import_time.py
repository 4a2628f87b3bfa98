"""Importing the package: `import model_envelope` against `import mlflow`.

    python -m benchmarks.import_time [--times 7]

Whole processes, so the interpreter's own start is measured too and taken off.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks import peer, report


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=7)
    times = options.parse_args().times
    ours, theirs = Path(sys.executable), peer.mlflow_python()
    found = {
        "nothing": _process(ours, "pass", times),
        "import model_envelope": _process(ours, "import model_envelope", times),
        "import model_envelope; .save_model": _process(
            ours, "import model_envelope; model_envelope.save_model", times
        ),
        "import mlflow": _process(theirs, "import mlflow", times),
    }
    bare = found["nothing"]
    rows = [
        {"code": code, "median s": value, "beyond start-up s": value - bare}
        for code, value in found.items()
    ]
    mlflow = found["import mlflow"] - bare
    report.show(
        "import",
        rows,
        times_faster_than_mlflow=mlflow / max(found["import model_envelope"] - bare, 1e-3),
        times_faster_with_all_that_saving_imports=mlflow
        / (found["import model_envelope; .save_model"] - bare),
    )


def _process(python: Path, code: str, times: int) -> float:
    def start() -> None:
        subprocess.run([python, "-c", code], check=True)

    start()
    return report.median(report.seconds(start, times))


if __name__ == "__main__":
    main()
