"""Predict a table in this environment: `python -m model_envelope.runtime JOB`.

JOB is a folder with `job.json` (a load plan, and where the files are) and
`input.arrow`; `output.arrow` or `error.json` is added to it.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

import pyarrow as pa

from model_envelope.errors import EnvelopeError
from model_envelope.runtime.loading import LoadPlan, open_model


def main(folder: Path) -> int:
    """Run one job; 0 where the output was written."""
    job = json.loads((folder / "job.json").read_text())
    try:
        model = open_model(
            Path(job["directory"]), LoadPlan.from_json(job["plan"]), scratch=Path(job["scratch"])
        )
        with pa.OSFile(str(folder / "input.arrow")) as file, pa.ipc.open_file(file) as reader:
            table = model.predict(reader.read_all())
        with pa.ipc.new_file(str(folder / "output.arrow"), table.schema) as writer:
            writer.write_table(table)
    except EnvelopeError as error:
        lines = traceback.format_exception(error.__cause__ or error)
        body = {"type": type(error).__name__, "message": str(error), "traceback": "".join(lines)}
        (folder / "error.json").write_text(json.dumps(body))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
